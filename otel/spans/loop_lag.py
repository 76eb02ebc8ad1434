"""How long the event loop was blocked, and during which span.

Spans of coroutines that block the loop overlap perfectly while nothing runs in parallel; only the
loop's own lateness shows it. A task ticks every 20 ms (every 5 ms would cost 2.5 % of a CPU) and
stores, for each tick, when it was due and when it ran. The time in which other programs had the CPU
does not count: a starved loop was not blocked.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from trading_graph.otel.witness.run_queue import RunQueue

TICK_NS = 20_000_000

LEAST_NS = 1_000_000
"""Below this a stall is not worth asking the run queue."""


class LoopLagMonitor:
    """Records when the event loop was late, as intervals of wall-clock nanoseconds."""

    def __init__(self) -> None:
        self._due: list[int] = []
        self._ran: list[int] = []
        self._next_due: int | None = None
        self._run_queue: RunQueue | None = None
        self._waited_at_tick = 0

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Watch the running loop for the duration of the block."""
        self._run_queue = run_queue = RunQueue()
        task = asyncio.create_task(self._tick(), name="loop-lag-monitor")
        # Let the loop run once: a stall right after this line then has a tick to delay.
        await asyncio.sleep(0)
        try:
            yield
        finally:
            self._next_due = None
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._run_queue = None
            run_queue.close()

    async def _tick(self) -> None:
        while True:
            self._next_due = due = time.time_ns() + TICK_NS
            self._waited_at_tick = self._waited_ns()
            await asyncio.sleep(TICK_NS / 1e9)
            now = max(time.time_ns(), due)
            self._due.append(min(due + self._waited_ns() - self._waited_at_tick, now))
            self._ran.append(now)

    def _waited_ns(self) -> int:
        """How long the loop's thread has waited for a CPU."""
        run_queue = self._run_queue
        return run_queue.waited_ns() if run_queue else 0

    def max_ms(self, start_ns: int, end_ns: int) -> float | None:
        """Return the longest stall inside [start_ns, end_ns] in milliseconds; None if unwatched.

        Only the part of a stall that falls inside the window counts. A stall that is not over yet
        counts too: a span that blocks the loop and then ends does so before the late tick can run.
        """
        if self._next_due is None:
            return None
        longest = end_ns - max(self._next_due, start_ns, 0)
        if longest > LEAST_NS:
            longest -= self._waited_ns() - self._waited_at_tick
        for tick in range(bisect_left(self._ran, start_ns), len(self._ran)):
            due = self._due[tick]
            if due >= end_ns:
                break
            longest = max(longest, min(self._ran[tick], end_ns) - max(due, start_ns))
        return max(longest, 0) / 1e6

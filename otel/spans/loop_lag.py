"""How long the event loop was blocked, and during which span.

Spans of coroutines that block the loop overlap perfectly while nothing runs in parallel; only the
loop's own lateness shows it. A task ticks every 20 ms (every 5 ms would cost 2.5 % of a CPU) and
stores, for each tick, when it was due and when it ran.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

TICK_NS = 20_000_000


class LoopLagMonitor:
    """Records when the event loop was late, as intervals of wall-clock nanoseconds."""

    def __init__(self) -> None:
        self._due: list[int] = []
        self._ran: list[int] = []
        self._next_due: int | None = None

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Watch the running loop for the duration of the block."""
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

    async def _tick(self) -> None:
        while True:
            self._next_due = due = time.time_ns() + TICK_NS
            await asyncio.sleep(TICK_NS / 1e9)
            now = time.time_ns()
            self._due.append(due)
            self._ran.append(max(now, due))

    def max_ms(self, start_ns: int, end_ns: int) -> float | None:
        """Return the longest stall inside [start_ns, end_ns] in milliseconds; None if unwatched.

        Only the part of a stall that falls inside the window counts. A stall that is not over yet
        counts too: a span that blocks the loop and then ends does so before the late tick can run.
        """
        if self._next_due is None:
            return None
        longest = end_ns - max(self._next_due, start_ns, 0)
        for tick in range(bisect_left(self._ran, start_ns), len(self._ran)):
            due = self._due[tick]
            if due >= end_ns:
                break
            longest = max(longest, min(self._ran[tick], end_ns) - max(due, start_ns))
        return max(longest, 0) / 1e6

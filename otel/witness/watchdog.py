"""The watchdog: a thread that looks at each loop every 50 ms, and finds the line that blocks it.

A loop that waits for events is left alone. Of one that is busy the stack is read, every time: most
turns are over by the next poll, and what is left is a turn that blocks. The longer it does, the
closer the polls, down to a fifth of the period.

What is certain, as long as the machine lets the watchdog run: a block of at least the threshold and
one period is found, wherever in its turn it lies; a block of half the threshold is none. Between
the two it depends on when the polls come. A block's start is exact if it is the first of its turn;
other edges lie halfway between two polls. Whoever holds the interpreter holds up the watchdog
too, which then looks as soon as that is over: the thread still stands at the line.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import NamedTuple

from trading_graph.otel.witness.blocks import Block, Mark, Place
from trading_graph.otel.witness.clock import now_ns
from trading_graph.otel.witness.cpu_time import RunQueue
from trading_graph.otel.witness.pauses import pauses
from trading_graph.otel.witness.stacks import RawStack, resolve, still_frames, walk
from trading_graph.otel.witness.tracks import Track, WatchedLoop

MAX_POLLS = 10_000
"""So many polls are remembered, some eight minutes."""
MAX_ENDED_LOOPS = 100
"""Of so many loops that have ended, and were blocked, the blocks are kept."""
FINEST = 5
"""The polls of a loop that is blocked come at most this many times as often."""
OF_AGE = 16
"""A block is measured to this part of its length, within the limits of the polls."""


class Watchdog:
    """Finds what blocks the loops; `errors` counts what went wrong inside it."""

    def __init__(
        self,
        loops: Callable[[], Sequence[WatchedLoop]],
        threshold_ns: int = 100_000_000,
        period_ns: int = 50_000_000,
    ) -> None:
        self.errors = 0
        self._loops = loops
        self._threshold_ns = threshold_ns
        self._period_ns = period_ns
        self._thread: threading.Thread | None = None
        self._ending: threading.Thread | None = None
        self._running = threading.Lock()
        self._tracks: dict[int, Track] = {}
        self._ended: deque[int] = deque()
        self._late_ns = 0
        self._cpu: deque[tuple[int, int]] = deque(maxlen=MAX_POLLS)
        own = RunQueue()
        self._has_account = own.read() is not None
        own.close()

    def start(self) -> None:
        """Begin to watch, with nothing found so far; after a fork the child calls it again."""
        if self._thread is not None and self._thread.is_alive():
            return
        self.join()
        for track in self._tracks.values():
            track.run_queue.close()
        self._tracks = {}
        self._ended.clear()
        self._running = running = threading.Lock()
        running.acquire()
        self._thread = threading.Thread(
            target=self._watch, args=(running,), name="witness-watchdog", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop watching, without waiting for it; what was found can still be asked for."""
        if self._thread is not None:
            self._ending, self._thread = self._thread, None
            self._running.release()

    def join(self) -> None:
        """Wait until it has stopped."""
        if self._ending is not None:
            self._ending.join()

    def blocks(self, loop_id: int, start_ns: int, end_ns: int) -> Sequence[Block]:
        """The blocks of a loop between two times, in order; also one that is not over yet.

        Those count of which at least half the threshold lies between them.
        """
        track = self._tracks.get(loop_id)
        if track is None:
            return ()
        try:
            return self._between(track, start_ns, end_ns)
        except Exception:
            self.errors += 1
            return ()

    def cpu_share(self, start_ns: int, end_ns: int) -> float | None:
        """The CPU time of the process over a time that is past; None if no two polls lie in it."""
        inside = [each for each in tuple(self._cpu) if start_ns <= each[0] <= end_ns]
        if len(inside) < 2:
            return None
        (first, before), (last, after) = inside[0], inside[-1]
        return (after - before) / max(last - first, 1)

    def _between(self, track: Track, start_ns: int, end_ns: int) -> Sequence[Block]:
        ended, turn = track.state
        going: Sequence[Block] = ()
        if turn is not None and end_ns - turn.start_ns >= self._threshold_ns:
            going = track.going(turn)
        if not ended and not going:
            return ()
        least_ns = self._threshold_ns // 2
        blocks = []
        for block in (*reversed(going), *reversed(ended)):
            if block.end_ns <= start_ns:
                break
            if min(block.end_ns, end_ns) - max(block.start_ns, start_ns) >= least_ns:
                blocks.append(block)
        blocks.reverse()
        return blocks

    def _watch(self, running: threading.Lock) -> None:
        wait_ns = self._period_ns
        due = time.monotonic_ns() + wait_ns
        # It is released to end this: a wait that costs next to nothing and can be cut short.
        while not running.acquire(timeout=wait_ns / 1e9):
            try:
                self._late_ns += max(time.monotonic_ns() - due, 0)
                wait_ns = self._poll()
            except Exception:
                self.errors += 1
                wait_ns = self._period_ns
            due = time.monotonic_ns() + wait_ns
        followed = [each for each, track in self._tracks.items() if track.watched]
        self._forget(followed, now_ns(), time.process_time_ns())

    def _poll(self) -> int:
        """Look at each loop, and say how long to wait until the next time."""
        # First of all the stacks: reading a file gives up the interpreter, and the line is lost.
        with still_frames() as frames:
            now = now_ns()
            looks = [look for each in self._loops() if (look := self._look(each, frames))]
            del frames
        process_ns = time.process_time_ns()
        self._cpu.append((now, process_ns))
        longest_ns = 0
        for watched, since, task, raw in looks:
            track = self._track(watched)
            reading = track.run_queue.read()
            if reading is None and self._has_account:
                since = None  # The thread has ended, and its id may be another's by now.
            mark = Mark(now, process_ns, self._late_ns, reading)
            track.note(mark, since, Place(task, resolve(raw)) if raw else None)
            if now_ns() - now > self._period_ns:
                return 0  # A block that held the interpreter held this up. It is there to be seen.
            if since is not None:
                longest_ns = max(longest_ns, now - since)
        if len(looks) + len(self._ended) < len(self._tracks):
            present = {look.watched.loop_id for look in looks}.union(self._ended)
            self._forget([each for each in self._tracks if each not in present], now, process_ns)
        if longest_ns < self._period_ns:
            return self._period_ns
        return min(max(longest_ns // OF_AGE, self._period_ns // FINEST), self._period_ns)

    def _look(self, watched: WatchedLoop, frames: Mapping[int, FrameType]) -> "_Look | None":
        """Note where a loop is; None if it cannot be told."""
        try:
            since = watched.busy_since_ns
            frame = frames.get(watched.thread_id)
            if since is None or frame is None:
                return _Look(watched, None, None, ())
            raw = walk(frame)
            task = asyncio.current_task(watched.loop)
            return _Look(watched, since, (id(task), task.get_name()) if task else None, raw)
        except Exception:
            self.errors += 1
            return None

    def _track(self, watched: WatchedLoop) -> Track:
        track = self._tracks.get(watched.loop_id)
        if track is None:
            fresh_ns = self._period_ns // FINEST
            track = Track(watched, self._threshold_ns, fresh_ns, pauses.collected_ns)
            self._tracks[watched.loop_id] = track
        elif track.watched is None:  # A loop can be run again.
            self._ended.remove(watched.loop_id)
        track.follow(watched)
        return track

    def _forget(self, loop_ids: Sequence[int], now: int, process_ns: int) -> None:
        """Let go of loops that have ended; the blocks of the newest of them stay."""
        for loop_id in loop_ids:
            track = self._tracks[loop_id]
            track.end(Mark(now, process_ns, self._late_ns, track.run_queue.read()))
            if track.state.ended:
                self._ended.append(loop_id)
            else:
                del self._tracks[loop_id]
        while len(self._ended) > MAX_ENDED_LOOPS:
            self._tracks.pop(self._ended.popleft(), None)


class _Look(NamedTuple):
    """What is read of a loop while nothing else runs."""

    watched: WatchedLoop
    since: int | None
    task: tuple[int, str] | None
    raw: RawStack

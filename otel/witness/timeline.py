"""What an activity did when: running, ready, or waiting, and for what."""

from collections import deque
from itertools import chain
from typing import TypeAlias

from trading_graph.otel.vocabularies import witness

RUNNING = "running"
READY = "ready"
SOCKET = "socket"
TIMER = "timer"
CHILDREN = "children"
IDLE = "idle"
UNACCOUNTED = "unaccounted"

WAITS = frozenset(witness.Wait)

BIN_NS = 1_000_000
MOST_BINS = 50_000
MOST_STEPS = 128
"""So many steps are kept as they were; then all of them go into bins at once."""

Step: TypeAlias = tuple[str, int, int, int, int]
"""A step of an activity: the kind of the wait before it, when that began, when the step could have
run, when it did, and when it was over. A plain tuple: the loop pays for each."""


class Bin:
    """A stretch of an activity's time, in nanoseconds since the epoch, and what it was spent on."""

    __slots__ = ("end", "start", "totals")

    def __init__(self, start: int, end: int, totals: dict[str, int]) -> None:
        self.start, self.end, self.totals = start, end, totals


class Timeline:
    """The time of one activity by kind: its newest steps, and before them bins.

    A bin is about a millisecond long where kinds change fast. Only the newest bins are kept; what
    has no bin is not accounted for.
    """

    __slots__ = ("_bins", "_steps")

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._bins: deque[Bin] | None = None

    def add(self, kind: str, start: int, end: int) -> None:
        """Add a stretch that begins where the one before it ended, or later."""
        if end > start:
            self.add_step((kind, start, end, end, end))

    def add_step(self, step: Step) -> None:
        """Add a step that comes after all others."""
        steps = self._steps
        steps.append(step)
        if len(steps) >= MOST_STEPS:
            self._fold()

    def totals(self, start: int, end: int, current: Step | None = None) -> dict[str, int]:
        """The nanoseconds of each kind inside a window, with those of a step that is not over.

        A bin at the edge of the window counts in proportion.
        """
        sums = self._binned(self._bins, start, end) if self._bins else {}
        running = ready = 0
        newest = () if current is None else (current,)
        for kind, since, could, began, over in chain(newest, reversed(self._steps)):
            if over <= start:
                break
            if since < start:
                since, could, began = start, max(could, start), max(began, start)
            if over > end:
                since, could, began = min(since, end), min(could, end), min(began, end)
                over = end
            running += over - began
            ready += began - could
            if could > since:
                sums[kind] = sums.get(kind, 0) + could - since
        if running:
            sums[RUNNING] = sums.get(RUNNING, 0) + running
        if ready:
            sums[READY] = sums.get(READY, 0) + ready
        return sums

    @staticmethod
    def _binned(bins: deque[Bin], start: int, end: int) -> dict[str, int]:
        sums: dict[str, int] = {}
        for each in reversed(bins):
            if each.end <= start:
                break
            inside = min(each.end, end) - max(each.start, start)
            if inside <= 0:
                continue
            length = each.end - each.start
            for kind, spent in each.totals.items():
                if inside < length:
                    spent = spent * inside // length
                sums[kind] = sums.get(kind, 0) + spent
        return sums

    def _fold(self) -> None:
        """Put the steps into bins."""
        bins = self._bins
        if bins is None:
            bins = self._bins = deque(maxlen=MOST_BINS)
        last = bins[-1] if bins else Bin(0, 0, {})
        for kind, since, ready, began, over in self._steps:
            for what, start, end in (
                (kind, since, ready),
                (READY, ready, began),
                (RUNNING, began, over),
            ):
                if end <= start:
                    continue
                if end - last.start > BIN_NS:
                    last = Bin(start, end, {})
                    bins.append(last)
                last.end = end
                last.totals[what] = last.totals.get(what, 0) + end - start
        self._steps = []

"""What an activity did when: running, ready, or waiting, and for what."""

from collections import deque

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


class Bin:
    """A stretch of an activity's time, in nanoseconds since the epoch, and what it was spent on."""

    __slots__ = ("end", "start", "totals")

    def __init__(self, start: int, end: int, totals: dict[str, int]) -> None:
        self.start, self.end, self.totals = start, end, totals


class Timeline:
    """The time of one activity by kind, in bins of about a millisecond where kinds change fast.

    Only the newest bins are kept; what has no bin is not accounted for.
    """

    __slots__ = ("_bins",)

    def __init__(self) -> None:
        self._bins: deque[Bin] = deque(maxlen=MOST_BINS)

    def add(self, kind: str, start: int, end: int) -> None:
        """Add a stretch that begins where the one before it ended, or later."""
        length = end - start
        if length <= 0:
            return
        bins = self._bins
        if bins:
            last = bins[-1]
            if end - last.start <= BIN_NS:
                last.end = end
                last.totals[kind] = last.totals.get(kind, 0) + length
                return
        bins.append(Bin(start, end, {kind: length}))

    def clear(self) -> None:
        """Forget everything."""
        self._bins.clear()

    def totals(self, start: int, end: int) -> dict[str, int]:
        """The nanoseconds of each kind inside a window; a bin at its edge counts in proportion."""
        sums: dict[str, int] = {}
        for each in self._within(start, end):
            inside = min(each.end, end) - max(each.start, start)
            length = each.end - each.start
            for kind, spent in each.totals.items():
                if inside < length:
                    spent = spent * inside // length
                sums[kind] = sums.get(kind, 0) + spent
        return sums

    def _within(self, start: int, end: int) -> list[Bin]:
        found = []
        for each in reversed(self._bins):  # Most spans began lately.
            if each.end <= start:
                break
            if each.start < end:
                found.append(each)
        return found

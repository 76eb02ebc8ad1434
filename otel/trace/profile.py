"""How much ran at once: the concurrency profile of a set of spans.

Sweep line over half-open intervals, ends before starts at equal times: spans that merely touch do
not overlap. Only meaningful over spans of which none contains another (leaves, or siblings).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from otel.trace.model import Trace


@dataclass(frozen=True, slots=True)
class Profile:
    """The concurrency of a set of spans.

    `busy_ns` is the time during which at least one ran, `work_ns` the sum of their durations.
    """

    spans: int
    peak: int
    busy_ns: int
    work_ns: int
    serial_ns: int

    @property
    def average(self) -> float:
        """The average number that ran at once while any ran; 0.0 for an empty set."""
        return self.work_ns / self.busy_ns if self.busy_ns else 0.0

    @property
    def serial_fraction(self) -> float:
        """The share of the busy time during which exactly one ran."""
        return self.serial_ns / self.busy_ns if self.busy_ns else 0.0


def profile(trace: Trace, rows: Sequence[int]) -> Profile:
    """The concurrency profile of the given spans.

    Plain Python: most groups are small, and 100,000 spans still take only a tenth of a second.
    """
    picked = list(rows)
    starts, ends = trace.start[picked].tolist(), trace.end[picked].tolist()
    # At equal times -1 sorts before +1: ends are taken before starts.
    events = sorted([(at, 1) for at in starts] + [(at, -1) for at in ends])
    peak = level = busy_ns = work_ns = serial_ns = 0
    before = events[0][0] if events else 0
    for at, change in events:
        if level > 0:
            lasting = at - before
            busy_ns += lasting
            work_ns += lasting * level
            if level == 1:
                serial_ns += lasting
        before = at
        level += change
        peak = max(peak, level)
    return Profile(len(picked), peak, busy_ns, work_ns, serial_ns)

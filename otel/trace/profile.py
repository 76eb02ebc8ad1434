"""How much ran at once: the concurrency profile of a set of spans.

Sweep line over half-open intervals, ends before starts at equal times: spans that merely touch do
not overlap. Only meaningful over spans of which none contains another (leaves, or siblings).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    """The concurrency profile of the given spans."""
    picked = np.asarray(rows, np.intp)
    start, end = trace.start[picked], trace.end[picked]
    times = np.concatenate([end, start])
    steps = np.concatenate([np.full(len(end), -1), np.ones(len(start), np.int64)])
    # Stable, and ends come first in the input: at equal times ends are taken before starts.
    order = np.argsort(times, kind="stable")
    times, level = times[order], np.cumsum(steps[order])
    lasting = np.diff(times)
    between = level[:-1]
    return Profile(
        spans=len(picked),
        peak=int(level.max(initial=0)),
        busy_ns=int(lasting[between > 0].sum()),
        work_ns=int((lasting * between).sum()),
        serial_ns=int(lasting[between == 1].sum()),
    )

"""How much ran at once: the concurrency profile of a set of spans.

Sweep line over half-open intervals, ends before starts at equal times: spans that merely touch do
not overlap. Only meaningful over spans of which none contains another (leaves, or siblings).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trading_graph.otel.trace.table import SpanTable

_FEW = 200
"""Up to so many spans plain Python is quicker than columns."""


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


def profile(trace: SpanTable, rows: Sequence[int]) -> Profile:
    """The concurrency profile of the given spans."""
    if len(rows) > _FEW:
        return _profile_of_many(trace, rows)
    intervals = [trace.intervals[row] for row in rows]
    starts = sorted([start for start, _ in intervals])
    ends = sorted([end for _, end in intervals])
    peak = started = busy_ns = serial_ns = 0
    before = starts[0] if starts else 0
    for ended, end in enumerate(ends):
        # At equal times ends are taken before starts.
        while started < len(starts) and starts[started] < end:
            at = starts[started]
            level = started - ended
            if level > 0:
                busy_ns += at - before
                if level == 1:
                    serial_ns += at - before
            before = at
            started += 1
        level = started - ended
        if level > 0:
            peak = max(peak, level)
            busy_ns += end - before
            if level == 1:
                serial_ns += end - before
        before = end
    return Profile(len(intervals), peak, busy_ns, sum(ends) - sum(starts), serial_ns)


def _profile_of_many(trace: SpanTable, rows: Sequence[int]) -> Profile:
    """The same in columns."""
    picked = np.asarray(rows, np.intp)
    starts, ends = trace.start[picked], trace.end[picked]
    times = np.concatenate((ends, starts))
    steps = np.repeat(np.array([-1, 1], np.int64), len(rows))
    # A stable sort leaves ends before starts at equal times.
    order = np.argsort(times, kind="stable")
    level = np.cumsum(steps[order])
    lasted = np.diff(times[order])
    at_work = level[:-1]
    return Profile(
        spans=len(rows),
        peak=max(int(level.max()), 0),
        busy_ns=int(lasted[at_work > 0].sum()),
        work_ns=int((ends - starts).sum()),
        serial_ns=int(lasted[at_work == 1].sum()),
    )


def serial_chain(trace: SpanTable, rows: Sequence[int]) -> list[int]:
    """The longest sequence of spans in which each starts no earlier than the one before ends.

    Earliest end first, which is optimal (interval scheduling); O(n log n). It counts what happened
    one after the other, whatever depended on what: short calls of one branch beside a long one of
    another count each.
    """
    chain: list[int] = []
    reached = 0
    picked = np.asarray(rows, np.intp)
    order = picked[np.lexsort((trace.start[picked], trace.end[picked]))]
    starts, ends = trace.start[order].tolist(), trace.end[order].tolist()
    for row, start, end in zip(order.tolist(), starts, ends, strict=True):
        if start >= reached:
            chain.append(row)
            reached = end
    return chain

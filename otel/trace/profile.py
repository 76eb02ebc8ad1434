"""The concurrency profile of a set of spans: how many ran at once, and for how long.

It is a sweep line over half-open intervals, with ends before starts at equal times, so that spans
that merely touch do not overlap. It has a meaning only for spans none of which contains another
(leaves, or siblings).
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from trading_graph.otel.trace.table import SpanTable

_FEW = 200
"""Up to this number of spans, plain Python is faster than numpy columns."""


class Profile(msgspec.Struct, frozen=True):
    """The concurrency of a set of spans; times are nanoseconds.

    `busy_ns` is the time during which at least one span ran, `serial_ns` that during which exactly
    one ran, and `work_ns` the sum of all durations.
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
    """The concurrency profile of the spans at these rows."""
    if len(rows) > _FEW:
        return _profile_of_many(trace, rows)
    intervals = [trace.intervals[row] for row in rows]
    starts = sorted([start for start, _ in intervals])
    ends = sorted([end for _, end in intervals])
    peak = starts_before = busy_ns = serial_ns = 0
    before = starts[0] if starts else 0
    for ends_before, end in enumerate(ends):
        # At equal times, ends come before starts.
        while starts_before < len(starts) and starts[starts_before] < end:
            at = starts[starts_before]
            level = starts_before - ends_before
            if level > 0:
                busy_ns += at - before
                if level == 1:
                    serial_ns += at - before
            before = at
            starts_before += 1
        level = starts_before - ends_before
        if level > 0:
            peak = max(peak, level)
            busy_ns += end - before
            if level == 1:
                serial_ns += end - before
        before = end
    return Profile(len(intervals), peak, busy_ns, sum(ends) - sum(starts), serial_ns)


def _profile_of_many(trace: SpanTable, rows: Sequence[int]) -> Profile:
    """The same as `profile`, with numpy columns."""
    selection = np.asarray(rows, np.intp)
    starts, ends = trace.start[selection], trace.end[selection]
    times = np.concatenate((ends, starts))
    steps = np.repeat(np.array([-1, 1], np.int64), len(rows))
    # A stable sort leaves ends before starts at equal times.
    order = np.argsort(times, kind="stable")
    level = np.cumsum(steps[order])
    lengths = np.diff(times[order])
    at_work = level[:-1]
    return Profile(
        spans=len(rows),
        peak=max(int(level.max()), 0),
        busy_ns=int(lengths[at_work > 0].sum()),
        work_ns=int((ends - starts).sum()),
        serial_ns=int(lengths[at_work == 1].sum()),
    )


def serial_chain(trace: SpanTable, rows: Sequence[int]) -> list[int]:
    """The longest sequence of spans in which each starts no earlier than the one before it ends.

    Takes the earliest end first, which is optimal (interval scheduling); O(n log n). It counts what
    happened in sequence, whether or not one depended on the other: short calls of one branch count
    each, although a long call of another branch ran beside them.
    """
    chain: list[int] = []
    last_end = 0
    selection = np.asarray(rows, np.intp)
    order = selection[np.lexsort((trace.start[selection], trace.end[selection]))]
    starts, ends = trace.start[order].tolist(), trace.end[order].tolist()
    for row, start, end in zip(order.tolist(), starts, ends, strict=True):
        if start >= last_end:
            chain.append(row)
            last_end = end
    return chain

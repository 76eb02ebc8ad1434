"""The consistent tree of calls below a run: what a parent waited for, and what it did not.

Clocks and late ends let children stick out of their parents by a little, and detached tasks by a
lot. In this tree every child that was waited for lies inside its parent, so that time can be
divided among spans without a remainder.
"""

from dataclasses import dataclass
from functools import cached_property

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.vocabularies import Role

LATE_NS = 1_000_000
"""A child that outlives its parent by no more than this just ended late."""

LATE_SHARE = 0.05
"""The same limit as a share of the child's duration; the greater of the two counts."""

_SERVER, _CONSUMER = 2, 5


@dataclass(frozen=True)
class CallTree:
    """The spans below one run, with start and end clipped to their parents', in nanoseconds.

    The lists are by row of the trace, with zeros for rows outside the tree. `rows` has parents
    before children. `waited_for` is false for spans outside their parent's time and for those that
    their parent did not wait for (detached tasks, messages handled elsewhere). `clipped` are the
    rows whose times were changed.
    """

    trace: SpanTable
    run: int
    rows: list[int]
    start: list[int]
    end: list[int]
    waited_for: list[bool]
    clipped: tuple[int, ...]

    @property
    def wall_ns(self) -> int:
        """The duration of the run."""
        return self.end[self.run] - self.start[self.run]

    def duration(self, row: int) -> int:
        """The duration of a span inside its parent."""
        return self.end[row] - self.start[row]

    def children(self, row: int) -> list[int]:
        """The direct children of a span, in order of start."""
        return self.trace.children(row)

    def call_path(self, row: int) -> tuple[str, ...]:
        """The names from below the run down to a span."""
        names = []
        while row != self.run and row >= 0:
            names.append(self.trace.names[row])
            row = int(self.trace.parent[row])
        return tuple(reversed(names))

    @cached_property
    def parents(self) -> list[int]:
        """The row of each span's parent."""
        parents: list[int] = self.trace.parent.tolist()
        return parents

    @cached_property
    def depth(self) -> list[int]:
        """The distance of each span from the run; 0 for the run."""
        depth, parents = [0] * len(self.trace), self.parents
        for row in self.rows[1:]:
            depth[row] = depth[parents[row]] + 1
        return depth


def call_tree(trace: SpanTable, run: int) -> CallTree:
    """The consistent tree below a run, made in one pass from the top down."""
    rows = trace.subtree(run)
    size = len(trace)
    start, end = [0] * size, [0] * size
    waited_for = [True] * size
    clipped: list[int] = []
    start[run], end[run] = trace.intervals[run]
    intervals, roles = trace.intervals, trace.roles
    for parent in rows:
        low, high, is_awaited = start[parent], end[parent], waited_for[parent]
        for row in trace.children(parent):
            begin, stop = intervals[row]
            if low <= begin <= stop <= high and is_awaited and roles[row] is not Role.PREFETCH:
                start[row], end[row] = begin, stop  # as almost all are
                continue
            waited_for[row] = is_awaited and _is_waited_for(trace, row, low, high)
            if not waited_for[row]:
                start[row], end[row] = begin, stop
                continue
            start[row], end[row] = max(begin, low), min(stop, high)
            if begin < low or stop > high:
                clipped.append(row)
    return CallTree(trace, run, rows, start, end, waited_for, tuple(clipped))


def _is_waited_for(trace: SpanTable, row: int, low: int, high: int) -> bool:
    """Whether the parent, which ran from low to high, can have waited for a child."""
    if trace.roles[row] is Role.PREFETCH:
        return False  # at most for its fetches, and then by those who share them
    begin, stop = trace.intervals[row]
    if stop < low or begin > high:
        return False
    if stop <= high or stop - high <= max(LATE_NS, LATE_SHARE * (stop - begin)):
        return True
    # A server may still be at work when its caller already has the answer; a task of the same
    # process that goes on was detached.
    return int(trace.kind[row]) == _SERVER and trace.roles[row] is not Role.RUN

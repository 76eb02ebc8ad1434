"""The tree of calls below a run, made consistent: what a parent waited for, and what it did not.

Clocks and late ends make children stick out of their parents by a little, and detached tasks by a
lot. Here every child that was waited for lies inside its parent, so that times can be divided among
spans without a remainder.
"""

from dataclasses import dataclass
from functools import cached_property

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.kinds import Role

LATE_NS = 1_000_000
"""A child that outlives its parent by no more than this only ended late."""

LATE_SHARE = 0.05
"""The same as a share of the child's duration."""

_SERVER, _CONSUMER = 2, 5


@dataclass(frozen=True)
class CallTree:
    """The spans below one run, with start and end clipped to their parents', in nanoseconds.

    Lists by row of the trace; rows outside the tree hold zeros. `rows` has parents before children.
    `waited_for` is false for spans that their parent did not wait for (detached tasks, messages
    taken up elsewhere) and for those that lie outside it; `clipped` are rows whose times changed.
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
        """How long the run took."""
        return self.end[self.run] - self.start[self.run]

    def duration(self, row: int) -> int:
        """How long a span took inside its parent."""
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
        found: list[int] = self.trace.parent.tolist()
        return found

    @cached_property
    def depth(self) -> list[int]:
        """How far below the run each span is; 0 for the run."""
        depth, parents = [0] * len(self.trace), self.parents
        for row in self.rows[1:]:
            depth[row] = depth[parents[row]] + 1
        return depth


def call_tree(trace: SpanTable, run: int) -> CallTree:
    """The consistent tree below a run; one pass from the top down."""
    rows = trace.subtree(run)
    size = len(trace)
    start, end = [0] * size, [0] * size
    waited_for = [True] * size
    clipped: list[int] = []
    start[run], end[run] = trace.intervals[run]
    intervals, roles = trace.intervals, trace.roles
    for parent in rows:
        low, high, waited = start[parent], end[parent], waited_for[parent]
        for row in trace.children(parent):
            began, ended = intervals[row]
            if low <= began <= ended <= high and waited and roles[row] is not Role.PREFETCH:
                start[row], end[row] = began, ended  # as almost all are
                continue
            waited_for[row] = waited and _is_waited_for(trace, row, low, high)
            if not waited_for[row]:
                start[row], end[row] = began, ended
                continue
            start[row], end[row] = max(began, low), min(ended, high)
            if began < low or ended > high:
                clipped.append(row)
    return CallTree(trace, run, rows, start, end, waited_for, tuple(clipped))


def _is_waited_for(trace: SpanTable, row: int, low: int, high: int) -> bool:
    """Whether the parent, which took from low to high, can have waited for a child."""
    if trace.roles[row] is Role.PREFETCH:
        return False  # for its fetches at most, and by those who share them
    began, ended = trace.intervals[row]
    if ended < low or began > high:
        return False
    if ended <= high or ended - high <= max(LATE_NS, LATE_SHARE * (ended - began)):
        return True
    # A server may still be at work when its caller has its answer; a task of the same process that
    # goes on was left to itself.
    return int(trace.kind[row]) == _SERVER and trace.roles[row] is not Role.RUN

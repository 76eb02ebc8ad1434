"""The consistent tree of calls below a run: what a parent waited for, and what it did not.

Children stick out of their parents: by a little where clocks are coarse or an answer is streamed,
by a lot where a task was detached. In this tree every child that was waited for lies inside its
parent, and siblings that follow each other do not overlap, so that time can be divided among spans
without a remainder. All limits are shares of spans, so that no unit of time matters.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.clocks import CLIENT_SIDE
from trading_graph.otel.vocabularies import Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

LATE_SHARE = 0.5
"""A child of which at least this share lies inside its parent ended late; else it was detached."""

DOUBT = 0.1
"""Shares this close to `LATE_SHARE` may be read either way."""

OVERLAP_SHARE = 0.05
"""Siblings that overlap by no more than this share of the shorter one follow each other."""

_SERVER = 2


class CallTree(msgspec.Struct, frozen=True, dict=True):
    """The spans below one run, each inside its parent, in nanoseconds.

    The lists are by row of the trace; rows outside the tree keep their recorded values. `rows` has
    parents before children. A detached span hangs on the nearest ancestor that contains it.
    `waited_for` is false for spans that nobody waited for, and for everything below them. `clipped`
    are the rows whose times were changed, and `doubtful` those of which the share inside their
    parent lets them be late or detached.
    """

    trace: SpanTable
    run: int
    rows: list[int]
    start: list[int]
    end: list[int]
    parents: list[int]
    child_rows: list[list[int]]
    waited_for: list[bool]
    clipped: tuple[int, ...]
    doubtful: tuple[int, ...]

    @property
    def wall_ns(self) -> int:
        """The duration of the run."""
        return self.end[self.run] - self.start[self.run]

    def duration(self, row: int) -> int:
        """The duration of a span inside its parent."""
        return self.end[row] - self.start[row]

    def children(self, row: int) -> list[int]:
        """The direct children of a span, in order of their recorded start; not to be changed."""
        return self.child_rows[row]

    def call_path(self, row: int) -> tuple[str, ...]:
        """The names from below the run down to a span, as recorded."""
        names = []
        while row != self.run and row >= 0:
            names.append(self.trace.names[row])
            row = int(self.trace.parent[row])
        return tuple(reversed(names))

    @cached_property
    def inside(self) -> frozenset[int]:
        """The rows of the tree."""
        return frozenset(self.rows)

    @cached_property
    def depth(self) -> list[int]:
        """The distance of each span from the run; 0 for the run."""
        depth, parents = [0] * len(self.trace), self.parents
        for row in self.rows[1:]:
            depth[row] = depth[parents[row]] + 1
        return depth


def call_tree(trace: SpanTable, run: int, late_share: float = LATE_SHARE) -> CallTree:
    """The consistent tree below a run; `late_share` divides late children from detached ones."""
    rows = trace.subtree(run)
    hanging = _Hanging(trace, run, late_share)
    hanging.hang(_sticking_out(trace, rows))
    parents, off = hanging.parents, hanging.off
    below = np.array(rows[1:], np.int64)
    if off:
        below = below[~np.isin(below, list(off))]
    cuts = _cuts(trace, below, parents)
    ends = trace.end.copy()
    ends[list(cuts)] = list(cuts.values())
    above = np.array(parents, np.int64)[below]
    out = (trace.start[below] < trace.start[above]) | (ends[below] > ends[above])
    start: list[int] = trace.start.tolist()
    end: list[int] = ends.tolist()
    waited_for = [True] * len(trace)
    clipped = list(cuts)
    if off or out.any():
        clipped.clear()
        for row in rows[1:]:  # parents before children, whose times depend on theirs
            parent = parents[row]
            if row in off or not waited_for[parent]:
                waited_for[row] = False
                end[row] = trace.intervals[row][1]
                continue
            low, high = start[parent], end[parent]
            if start[row] < low or end[row] > high:
                start[row] = min(max(start[row], low), high)
                end[row] = max(min(end[row], high), start[row])
                clipped.append(row)
            elif row in cuts:
                clipped.append(row)
    return CallTree(
        trace,
        run,
        rows,
        start,
        end,
        parents,
        hanging.child_rows,
        waited_for,
        tuple(clipped),
        tuple(hanging.doubtful),
    )


def _sticking_out(trace: SpanTable, rows: Sequence[int]) -> list[int]:
    """The spans that need a decision: outside their parents in part, or known not to be awaited."""
    below = np.array(rows[1:], np.int64)
    above = trace.parent[below]
    start, end = trace.start[below], trace.end[below]
    out = (start < trace.start[above]) | (end > trace.end[above]) | (end < start)
    prefetch = Role.PREFETCH
    alone = {row for row, role in enumerate(trace.roles) if role is prefetch} | trace.followers
    if alone:
        out |= np.isin(below, list(alone))
    sticking: list[int] = below[out].tolist()
    return sticking


class _Hanging:
    """Decides for each span that sticks out of its parent where it hangs."""

    def __init__(self, trace: SpanTable, run: int, late_share: float) -> None:
        self._trace = trace
        self._run = run
        self._late_share = late_share
        self.parents: list[int] = trace.parent.tolist()
        self.child_rows = trace.child_rows
        self.off: set[int] = set()
        self.doubtful: list[int] = []

    def hang(self, rows: Sequence[int]) -> None:
        """Hang these spans, parents before children."""
        trace, moved = self._trace, dict[int, list[int]]()
        for row in rows:
            parent = self.parents[row]
            place = self._place(row, parent)
            if place is None:
                self.off.add(row)
            elif place != parent:
                self.parents[row] = place
                moved.setdefault(parent, []).append(row)
                moved.setdefault(place, [])
        if moved:
            self.child_rows = self.child_rows.copy()
            for parent in moved:
                self.child_rows[parent] = [
                    row for row in trace.child_rows[parent] if self.parents[row] == parent
                ]
            for row in sorted(row for rows in moved.values() for row in rows):
                family = self.child_rows[self.parents[row]]
                family.insert(bisect_left(family, row), row)

    def _place(self, row: int, parent: int) -> int | None:
        """Where a span hangs: its parent, the nearest ancestor that contains it, or nowhere."""
        trace = self._trace
        if row in trace.followers or trace.roles[row] is Role.PREFETCH or parent in self.off:
            return None  # at most for what a prefetch fetches, and then by those who share it
        begin, stop = trace.intervals[row]
        if stop < begin:
            return None
        share = self._share(row, parent)
        if share > 0 and (begin < trace.intervals[parent][0] or self._is_served(row, parent)):
            # A parent cannot leave behind what started before it: the clocks are not the same. And
            # of a server, nobody but its client waits for the answer.
            return parent
        if abs(share - LATE_SHARE) < DOUBT:
            self.doubtful.append(row)
        limit = self._late_share
        while share < limit:
            if parent == self._run:
                return None
            parent, limit = self.parents[parent], LATE_SHARE
            share = self._share(row, parent)
        return parent

    def _share(self, row: int, parent: int) -> float:
        """The share of a span that lies inside another; negative where they are apart."""
        (begin, stop), (low, high) = self._trace.intervals[row], self._trace.intervals[parent]
        inside = min(stop, high) - max(begin, low)
        return inside / (stop - begin) if stop > begin else (1.0 if inside >= 0 else -1.0)

    def _is_served(self, row: int, parent: int) -> bool:
        kind = self._trace.kind
        return (
            int(kind[row]) == _SERVER
            and int(kind[parent]) in CLIENT_SIDE
            and self._trace.roles[row] is not Role.RUN
        )


def _cuts(trace: SpanTable, rows: "NDArray[np.int64]", parents: Sequence[int]) -> dict[int, int]:
    """When spans are cut off because a sibling that starts then follows them, by row.

    Of several followers the first counts.
    """
    if not len(rows):
        return {}
    parent_of = np.array(parents, np.int64)
    count = np.bincount(parent_of[rows])
    rows = np.sort(rows[count[parent_of[rows]] > 1])
    if not len(rows):
        return {}
    above = parent_of[rows]
    order = np.argsort(above, kind="stable")
    rows, above = rows[order], above[order]
    start, end = trace.start[rows], trace.end[rows]
    allowed = ((end - start) * OVERLAP_SHARE).astype(np.int64)
    # Rows are in order of start, so that the first sibling to start late enough is found by row.
    size = len(trace)
    late_enough = np.searchsorted(trace.start, end - allowed)
    first = np.searchsorted(above * size + rows, above * size + late_enough)
    first = np.minimum(first, len(rows) - 1)
    near = np.flatnonzero((above[first] == above) & (start[first] < end) & (start[first] > start))
    # The latest end of a span that each sibling follows.
    latest = start + allowed
    follows = latest[first[near]] >= end[near]
    sure, rest = near[follows], near[~follows]
    cuts = dict(zip(rows[sure].tolist(), start[first[sure]].tolist(), strict=True))
    if len(rest):
        last = np.searchsorted(above, above[rest], side="right") - 1
        queries = zip(first[rest].tolist(), end[rest].tolist(), last.tolist(), strict=True)
        followers = _first_followers(list(queries), start.tolist(), latest.tolist())
        for row, at in zip(rows[rest].tolist(), followers, strict=True):
            if at is not None:
                cuts[row] = at
    return cuts


def _first_followers(
    queries: Sequence[tuple[int, int, int]], start: Sequence[int], latest: Sequence[int]
) -> list[int | None]:
    """The start of the first sibling that follows each span, where the nearest does not.

    A query has the number of the nearest, the end of the span, and the number of its last sibling.
    The siblings are gone through from the last to the first, with a stack of those that no earlier
    one outdoes: O(n log n), however many start near one end.
    """
    found: list[int | None] = [None] * len(queries)
    numbers: list[int] = []
    outdone: list[int] = []  # the negative of `latest` of these, rising
    place = last_of = -1
    for query in sorted(range(len(queries)), key=lambda each: queries[each][0], reverse=True):
        first, end, last = queries[query]
        if last != last_of:
            numbers, outdone, place, last_of = [], [], last, last
        while place >= first:
            while outdone and outdone[-1] >= -latest[place]:
                outdone.pop()
                numbers.pop()
            outdone.append(-latest[place])
            numbers.append(place)
            place -= 1
        at = bisect_right(outdone, -end) - 1
        if at >= 0 and start[numbers[at]] < end:
            found[query] = start[numbers[at]]
    return found

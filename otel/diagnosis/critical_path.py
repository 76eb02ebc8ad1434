"""The critical path: which span every instant of a run was waiting for.

From the run's end backwards: the child that ended last before the instant is what was waited for,
and between children it is the parent itself. The segments partition the run's time exactly. Ends
and starts may touch: a child that ends when the next one starts is on the path too.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from otel.diagnosis.call_tree import CallTree


class Segment(NamedTuple):
    """A stretch of a run's time, in nanoseconds since the epoch, and the span it was spent in."""

    row: int
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class CriticalPath:
    """The segments of a run's critical path, in order of time; they sum to the run's time."""

    tree: CallTree
    segments: tuple[Segment, ...]

    @cached_property
    def self_ns(self) -> Mapping[int, int]:
        """Time on the path spent in each span itself, by row."""
        spent: dict[int, int] = defaultdict(int)
        for row, start, end in self.segments:
            spent[row] += end - start
        return dict(spent)

    @cached_property
    def total_ns(self) -> Mapping[int, int]:
        """Time on the path spent in each span and below it, by row; only of spans on it."""
        run, parents = self.tree.run, self.tree.trace.parent.tolist()
        above: set[int] = set()
        for row in self.self_ns:
            while row not in above:
                above.add(row)
                if row == run:
                    break
                row = parents[row]
        spent = {row: self.self_ns.get(row, 0) for row in above}
        for row in sorted(above, key=self.tree.depth.__getitem__, reverse=True):
            if row != run:
                spent[parents[row]] += spent[row]
        return spent

    @cached_property
    def by_name(self) -> Mapping[str, int]:
        """Time on the path by the span's name, most first."""
        names = self.tree.trace.names
        spent: dict[str, int] = defaultdict(int)
        for row, took in self.self_ns.items():
            spent[names[row]] += took
        return dict(sorted(spent.items(), key=lambda item: -item[1]))


def critical_path(
    tree: CallTree, declared: Mapping[int, tuple[int, ...]] | None = None
) -> CriticalPath:
    """The critical path of a run; O(n log n), without recursion.

    Where a span declares which siblings it waited for (`declared_predecessors`), the latest to end
    of those is taken, and the rest of the gap is its parent's own time; elsewhere times decide.
    """
    known = declared or {}
    start, end, waited_for = tree.start, tree.end, tree.waited_for
    segments: list[Segment] = []
    run = tree.run
    stack = [_Visit(run, start[run], end[run], _by_end(tree, run))]
    while stack:
        visit = stack[-1]
        row, low = visit.row, visit.low
        children = visit.children
        descended = False
        while children:
            child = children.pop()
            if not waited_for[child] or end[child] > visit.cursor:
                continue  # ran beside a later one
            if visit.allowed is not None and child not in visit.allowed:
                continue
            ended, began = end[child], max(start[child], low)
            if ended <= began:
                continue
            if visit.cursor > ended:
                segments.append(Segment(row, ended, visit.cursor))
            visit.cursor = began
            visit.allowed = known.get(child)
            stack.append(_Visit(child, began, ended, _by_end(tree, child)))
            descended = True
            break
        if not descended:
            if visit.cursor > low:
                segments.append(Segment(row, low, visit.cursor))
            stack.pop()
    segments.reverse()
    return CriticalPath(tree, tuple(segments))


class _Visit:
    """Where the walk is inside a span: down to `low`, now at `cursor`, these children to look at.

    `allowed` are the siblings that the last one looked at declares to have waited for.
    """

    __slots__ = ("allowed", "children", "cursor", "low", "row")

    def __init__(self, row: int, low: int, cursor: int, children: list[int]) -> None:
        self.row = row
        self.low = low
        self.cursor = cursor
        self.children = children
        self.allowed: tuple[int, ...] | None = None


def _by_end(tree: CallTree, row: int) -> list[int]:
    """The children of a span, the last to end (of equal ends the last to start) at the end."""
    children = tree.children(row)
    if len(children) < 2:
        return list(children)
    start, end = tree.start, tree.end
    return sorted(children, key=lambda child: (end[child], start[child]))

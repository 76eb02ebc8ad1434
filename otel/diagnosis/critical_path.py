"""The critical path: which span every instant of a run was waiting for.

From the run's end backwards: the child that ended last before the instant is what was waited for,
and between children it is the parent itself. The segments partition the run's time exactly. Ends
and starts may touch: a child that ends when the next one starts is on the path too.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from trading_graph.otel.diagnosis.call_tree import CallTree


class PathRow(NamedTuple):
    """A stretch of a run's time, in nanoseconds since the epoch, and the span it was spent in."""

    row: int
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class PathTable:
    """The critical path of a run in segments, in order of time; they sum to the run's time.

    Columns: `rows` is the span of each segment, and it takes from one of `bounds` to the next.
    """

    tree: CallTree
    rows: Sequence[int]
    bounds: Sequence[int]

    def segment(self, number: int) -> PathRow:
        """One segment."""
        return PathRow(self.rows[number], self.bounds[number], self.bounds[number + 1])

    @cached_property
    def segments(self) -> tuple[PathRow, ...]:
        """The segments."""
        return tuple(map(PathRow, self.rows, self.bounds, self.bounds[1:]))

    @cached_property
    def self_ns(self) -> Mapping[int, int]:
        """Time on the path spent in each span itself, by row."""
        spent: dict[int, int] = defaultdict(int)
        for row, (start, end) in zip(self.rows, pairwise(self.bounds), strict=True):
            spent[row] += end - start
        return dict(spent)

    @cached_property
    def total_ns(self) -> Mapping[int, int]:
        """Time on the path spent in each span and below it, by row; only of spans on it."""
        run, parents = self.tree.run, self.tree.parents
        above: set[int] = set()
        for row in self.self_ns:
            while row not in above:
                above.add(row)
                if row == run:
                    break
                row = parents[row]
        spent = {row: self.self_ns.get(row, 0) for row in above}
        for row in reversed(self.tree.rows):  # children before parents
            if row in spent and row != run:
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
) -> PathTable:
    """The critical path of a run; O(n log n), without recursion.

    Where a span declares which siblings it waited for (`declared_predecessors`), the latest to end
    of those is taken, and the rest of the gap is its parent's own time; elsewhere times decide.
    """
    known = declared or {}
    start, end, waited_for = tree.start, tree.end, tree.waited_for
    rows: list[int] = []
    starts: list[int] = []
    # Where the walk is: in a span, down to `low`, now at `cursor`, these children to look at, of
    # which the last one declares to have waited for those `allowed`.
    row, low, cursor = tree.run, start[tree.run], end[tree.run]
    children, allowed = _by_end(tree, row), None
    above: list[tuple[int, int, int, list[int], tuple[int, ...] | None]] = []
    while True:
        while children:
            child = children.pop()
            ended = end[child]
            if ended > cursor or not waited_for[child]:
                continue  # ran beside a later one
            if allowed is not None and child not in allowed:
                continue
            began = max(start[child], low)
            if ended <= began:
                continue
            if cursor > ended:
                rows.append(row)
                starts.append(ended)
            cursor, allowed = began, known.get(child)
            below = _by_end(tree, child)
            if below:
                above.append((row, low, cursor, children, allowed))
                row, low, cursor, children, allowed = child, began, ended, below, None
            else:
                rows.append(child)
                starts.append(began)
        if cursor > low:
            rows.append(row)
            starts.append(low)
        if not above:
            break
        row, low, cursor, children, allowed = above.pop()
    return PathTable(tree, rows[::-1], [*starts[::-1], end[tree.run]])


def _by_end(tree: CallTree, row: int) -> list[int]:
    """The children of a span, the last to end (of equal ends the last to start) at the end."""
    children = tree.children(row)
    if len(children) < 2:
        return list(children)
    start, end = tree.start, tree.end
    return sorted(children, key=lambda child: (end[child], start[child]))

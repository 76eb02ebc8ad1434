"""Spans that end with the fetch of another branch, in a run that is played again.

Where such a span ends depends on when the other one starts, anywhere in the run, so all of them are
set in one step, in columns.
"""

from array import array
from collections.abc import Sequence, Set
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.diagnosis.what_if_edits import Sharing

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SharedFetches:
    """The recorded spans that share a fetch, and those that would by the sharings of some edits."""

    def __init__(self, schedule: Schedule, sharings: Sequence[Sharing]) -> None:
        self._schedule = schedule
        # Of two that request at once, the first by row does the work.
        self._groups = [sorted(sharing.rows) for sharing in sharings]
        self._hits = [sharing.hit_ns for sharing in sharings]
        self.sharing_rows = frozenset([row for rows in self._groups for row in rows])

    def set_lengths(
        self, lengths: "array[int]", offsets: "array[int]", fixed: Set[int]
    ) -> list[int]:
        """Set the lengths of the spans that wait for another branch; returns the rows that changed.

        `lengths` and `offsets`, the start of each span after that of its parent, are by row and in
        nanoseconds. The length of a `fixed` span stays as it is, unless an edit lets it share.
        """
        length, begins = np.frombuffer(lengths, np.int64), self._begins(offsets)
        new = length.copy()
        leaders = self._schedule.leaders
        if leaders:
            pairs = [(row, leader) for row, leader in leaders.items() if row not in fixed]
            row, leader = np.array(pairs, np.int64).reshape(-1, 2).T
            rest = self._end[row] - self._end[leader]
            new[row] = np.maximum(begins[leader] + length[leader] + rest - begins[row], rest)
        if self._groups:
            first_of_group, group, rows, hit_ns = self._columns
            begin = begins[rows]
            at_first = np.flatnonzero(begin == np.minimum.reduceat(begin, first_of_group)[group])
            first = at_first[np.searchsorted(group[at_first], np.arange(len(first_of_group)))]
            duration = self._duration[rows[first]]
            to_ns = np.maximum((begin[first] + duration)[group] - begin, hit_ns)
            to_ns[first] = duration
            new[rows] = to_ns
        changed = np.flatnonzero(new != length)
        length[changed] = new[changed]
        rows_changed: list[int] = changed.tolist()
        return rows_changed

    def _begins(self, offsets: "array[int]") -> "NDArray[np.int64]":
        """The starts by row of all spans that share or are shared, and of those above them.

        A walk around the tree adds the offset of a span where it comes to it, and subtracts it
        where it leaves it.
        """
        rows, enter, leave = self._walk
        offset = np.frombuffer(offsets, np.int64)
        begins = np.zeros(len(offset), np.int64)
        steps = np.zeros(2 * len(rows), np.int64)
        steps[enter], steps[leave] = offset[rows], -offset[rows]
        begins[rows] = np.cumsum(steps)[enter]
        return begins

    @cached_property
    def _walk(self) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]":
        """The spans whose start is needed, but for the run, and when a walk enters and leaves."""
        tree, leaders = self._schedule.tree, self._schedule.leaders
        parents, needed = tree.parents, {tree.run}
        for row in self.sharing_rows | leaders.keys() | set(leaders.values()):
            while row not in needed:
                needed.add(row)
                row = parents[row]
        rows: list[int] = []
        enter: list[int] = []
        leave: list[int] = []
        pending, time = [each for each in tree.children(tree.run) if each in needed], 0
        open_: list[int] = []
        while pending:
            row = pending.pop()
            if row < 0:
                leave[open_.pop()] = time
            else:
                open_.append(len(rows))
                rows.append(row)
                enter.append(time)
                leave.append(time)
                pending.append(-1)
                if below := tree.children(row):
                    pending += [each for each in below if each in needed]
            time += 1
        return np.array(rows, np.int64), np.array(enter, np.int64), np.array(leave, np.int64)

    @cached_property
    def _columns(
        self,
    ) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]":
        """The first place of each group, and the group, the row and the least length by place."""
        sizes = np.array([len(rows) for rows in self._groups], np.int64)
        group = np.repeat(np.arange(len(sizes)), sizes)
        rows = np.array([row for rows in self._groups for row in rows], np.int64)
        return np.cumsum(sizes) - sizes, group, rows, np.array(self._hits, np.int64)[group]

    @cached_property
    def _end(self) -> "NDArray[np.int64]":
        return np.array(self._schedule.tree.end, np.int64)

    @cached_property
    def _duration(self) -> "NDArray[np.int64]":
        return np.frombuffer(self._schedule.durations, np.int64)

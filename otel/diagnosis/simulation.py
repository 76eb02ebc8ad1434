"""A run played again with changes: when everything would have started and ended.

Only the families above a changed span are played, up to where nothing changes any more; every other
subtree keeps its shape and moves as a whole. No new contention is assumed: rate limits, the
interpreter lock and pools are as they were.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable
from itertools import compress, pairwise
from operator import add

from trading_graph.otel.diagnosis.schedule import Family, Model, Schedule
from trading_graph.otel.diagnosis.shared_fetches import SharedFetches
from trading_graph.otel.diagnosis.start_times import place
from trading_graph.otel.diagnosis.what_if_edits import Edits

_ROUNDS = 50


class Simulation:
    """A run as it would have been; times in nanoseconds.

    `upon` is a simulation of the same run with the first part of the same edits, perhaps by another
    model: only the difference is played.
    """

    def __init__(
        self, schedule: Schedule, edits: Edits, model: Model, upon: "Simulation | None" = None
    ) -> None:
        self.schedule = schedule
        self.edits = edits
        self._model = model
        self._before = {row: before for chain in edits.chains for before, row in pairwise(chain)}
        base = Edits() if upon is None else upon.edits
        self._shared: SharedFetches = (
            upon._shared
            if upon is not None and edits.sharings == base.sharings
            else SharedFetches(schedule, edits.sharings)
        )
        # The duration of each span, and its start after its parent's.
        self._length: array[int] = (schedule.durations if upon is None else upon._length)[:]
        self._offset: array[int] = (schedule.offsets if upon is None else upon._offset)[:]
        self._fixed = edits.lengths(schedule.tree) if edits.less else edits.length
        self._set_lengths(upon)
        changes, tails = edits.changes(base)
        if upon is not None and upon._model is not model:
            changes |= schedule.choices
        needs_rounds = edits != Edits() and bool(schedule.leaders or edits.sharings)
        self._play(changes, tails)
        for _ in range(_ROUNDS if needs_rounds else 0):
            moves = self._shared.set_lengths(self._length, self._offset, self._fixed.keys())
            if not moves:
                break
            self._play(moves)

    @property
    def wall_ns(self) -> int:
        """The duration of the run."""
        return self._length[self.schedule.tree.run]

    def length(self, row: int) -> int:
        """The duration of a span."""
        return self._length[row]

    def start(self, row: int) -> int:
        """The start of a span after the run's start, as played above the span."""
        run, parents = self.schedule.tree.run, self.schedule.tree.parents
        begin = 0
        while row != run:
            begin += self._offset[row]
            row = parents[row]
        return begin

    def times(self) -> tuple[list[int], list[int]]:
        """Start and end of every span by row, on the run's own clock.

        Everything below a span with a new length is scaled with it.
        """
        tree = self.schedule.tree
        start, end = list(tree.start), list(tree.end)
        scale: dict[int, float] = {}
        parents, run, offsets, lengths = tree.parents, tree.run, self._offset, self._length
        scaled = self._fixed.keys() | self._shared.sharing_rows
        for row in tree.rows:
            length, factor = lengths[row], None
            if row != run:
                parent = parents[row]
                offset, factor = offsets[row], scale.get(parent) if scale else None
                start[row] = start[parent] + (offset if factor is None else int(offset * factor))
            if factor is not None:
                length, scale[row] = int(tree.duration(row) * factor), factor
            elif row in scaled:
                scale[row] = length / max(tree.duration(row), 1)
            end[row] = start[row] + length
        return start, end

    def _set_lengths(self, upon: "Simulation | None") -> None:
        """Set the new lengths of spans, and forget what was played below them."""
        fixed = {} if upon is None else upon._fixed
        lengths = {r: to for r, to in self._fixed.items() if fixed.get(r) != to}
        sharing_rows = self._shared.sharing_rows
        if upon is not None:
            is_known = self._shared is upon._shared
            sharing_rows = frozenset() if is_known else sharing_rows - upon._shared.sharing_rows
        schedule, tree = self.schedule, self.schedule.tree
        for row in sharing_rows - self._fixed.keys():
            self._length[row] = tree.duration(row)
        for row, length in lengths.items():
            self._length[row] = length
        for row in lengths.keys() | sharing_rows:
            for child in tree.children(row):
                self._offset[child] = schedule.offsets[child]

    def _play(self, changes: Iterable[int], tails: Iterable[int] = ()) -> None:
        """Place the children of the spans with a changed child or tail, from the deepest up.

        Where the length of a span stays as it was, nothing above it changes.
        """
        schedule, tree = self.schedule, self.schedule.tree
        parents, depth, run = tree.parents, tree.depth, tree.run
        fixed, leaders = self._fixed, schedule.leaders
        sharing_rows = self._shared.sharing_rows
        levels: dict[int, set[int]] = defaultdict(set)
        for parent in {*tails, *[parents[row] for row in changes if row != run]}:
            levels[depth[parent]].add(parent)
        for level in range(max(levels, default=-1), -1, -1):
            for parent in levels.pop(level, ()):
                if parent in fixed or parent in sharing_rows or parent in leaders:
                    continue
                length = self._place(parent, schedule.family(parent))
                if length != self._length[parent]:
                    self._length[parent] = length
                    if parent != run:
                        levels[level - 1].add(parents[parent])

    def _place(self, parent: int, family: Family) -> int:
        """Place the children of a span and return the new length of the span."""
        rows, offset, length = family.rows, self._offset, self._length
        last = 0
        if len(rows) == 1:  # like most spans it waits for its parent alone
            (row,) = rows
            offset[row] = start = self.edits.gap.get(row, family.start[0])
            if family.waited_for[0]:
                last = start + length[row]
        else:
            lengths = [length[row] for row in rows]
            starts = place(family, lengths, self.edits, self._before, self._model)
            for row, start in zip(rows, starts, strict=True):
                offset[row] = start
            last = max(compress(map(add, starts, lengths), family.waited_for), default=0)
        return max(max(last, 0) + self.edits.tail.get(parent, family.tail), 0)

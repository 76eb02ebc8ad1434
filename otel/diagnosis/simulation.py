"""A run played again with changes: when everything would have started and ended.

Only the families above a changed span are played, up to where nothing changes any more; every other
subtree keeps its shape and moves as a whole. No new contention is assumed: rate limits, the
interpreter lock and pools are as they were.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import compress, pairwise
from operator import add

from trading_graph.otel.diagnosis.edits import Edits
from trading_graph.otel.diagnosis.placement import place
from trading_graph.otel.diagnosis.schedule import Family, Model, Schedule

_ROUNDS = 50


class Simulation:
    """A run as it would have been; times in nanoseconds.

    `upon` is a simulation of the same run with the first part of the same edits: only the
    difference is played.
    """

    def __init__(
        self, schedule: Schedule, edits: Edits, model: Model, upon: "Simulation | None" = None
    ) -> None:
        self.schedule = schedule
        self.edits = edits
        self._model = model
        self._before = {row: before for chain in edits.chains for before, row in pairwise(chain)}
        self._sharing_rows = {row for sharing in edits.sharings for row in sharing.rows}
        self._length: dict[int, int] = {} if upon is None else upon._first_round[0].copy()
        # The starts of the children that were placed, by the row of their parent and their number.
        self._starts: dict[int, list[int]] = {} if upon is None else upon._first_round[1].copy()
        base = Edits() if upon is None else upon.edits
        self._fixed = edits.lengths(schedule.tree) if edits.less else edits.length
        self._set_lengths(base, {} if upon is None else upon._fixed)
        changes, tails = edits.changes(base)
        needs_rounds = edits != Edits() and bool(schedule.leaders or edits.sharings)
        self._play(changes, tails)
        # A simulation upon this one has rounds of its own.
        self._first_round: tuple[dict[int, int], dict[int, list[int]]] = self._length, self._starts
        if needs_rounds:
            self._first_round = self._length.copy(), self._starts.copy()
        for _ in range(_ROUNDS if needs_rounds else 0):
            moves = self._share()
            if not moves:
                break
            self._play(moves)

    @property
    def wall_ns(self) -> int:
        """The duration of the run."""
        return self.length(self.schedule.tree.run)

    def length(self, row: int) -> int:
        """The duration of a span."""
        length = self._length.get(row)
        return self.schedule.tree.duration(row) if length is None else length

    def start(self, row: int) -> int:
        """The start of a span after the run's start, as played above the span."""
        run, parents = self.schedule.tree.run, self.schedule.tree.parents
        begin = 0
        while row != run:
            begin += self._offset(row, parents[row])
            row = parents[row]
        return begin

    def _offset(self, row: int, parent: int) -> int:
        """The start of a span after its parent's start."""
        starts = self._starts.get(parent)
        if starts is None:
            return self.schedule.tree.start[row] - self.schedule.tree.start[parent]
        return starts[self.schedule.family(parent).number[row]]

    def times(self) -> tuple[list[int], list[int]]:
        """Start and end of every span by row, on the run's own clock.

        Everything below a span with a new length is scaled with it.
        """
        tree = self.schedule.tree
        start, end = list(tree.start), list(tree.end)
        scale: dict[int, float] = {}
        parents = tree.parents
        for row in tree.rows:
            if row != tree.run:
                parent = parents[row]
                offset = self._offset(row, parent)
                if parent in scale:
                    offset = int(offset * scale[parent])
                start[row] = start[parent] + offset
            length = self.length(row)
            factor = scale.get(parents[row]) if row != tree.run else None
            if factor is not None:
                length, scale[row] = int(tree.duration(row) * factor), factor
            elif row in self._fixed or row in self._sharing_rows:
                scale[row] = length / max(tree.duration(row), 1)
            end[row] = start[row] + length
        return start, end

    def _set_lengths(self, base: Edits, fixed: Mapping[int, int]) -> None:
        """Set the new lengths of spans, and forget what was played below them."""
        lengths = {r: to for r, to in self._fixed.items() if fixed.get(r) != to}
        sharing_rows = self._sharing_rows - {row for each in base.sharings for row in each.rows}
        for row in sharing_rows - self._fixed.keys():
            self._length.pop(row, None)
        self._length |= lengths
        for row in lengths.keys() | sharing_rows if self._starts else ():
            self._starts.pop(row, None)

    def _play(self, changes: Iterable[int], tails: Iterable[int] = ()) -> None:
        """Place the children of the spans with a changed child or tail, from the deepest up.

        Where the length of a span stays as it was, nothing above it changes.
        """
        schedule, tree = self.schedule, self.schedule.tree
        parents, depth, run = tree.parents, tree.depth, tree.run
        fixed, sharing_rows, leaders = self._fixed, self._sharing_rows, schedule.leaders
        levels: dict[int, set[int]] = defaultdict(set)
        for parent in {*tails, *[parents[row] for row in changes if row != run]}:
            levels[depth[parent]].add(parent)
        for level in range(max(levels, default=-1), -1, -1):
            for parent in levels.pop(level, ()):
                if parent in fixed or parent in sharing_rows or parent in leaders:
                    continue
                length = self._place(parent, schedule.family(parent))
                if length != self.length(parent):
                    self._length[parent] = length
                    if parent != run:
                        levels[level - 1].add(parents[parent])

    def _place(self, parent: int, family: Family) -> int:
        """Place the children of a span and return the new length of the span."""
        lengths = self._lengths(family)
        starts = place(family, lengths, self.edits, self._before, self._model)
        self._starts[parent] = starts
        ends: Iterable[int] = map(add, starts, lengths)
        if not family.all_waited_for:
            ends = compress(ends, family.waited_for)
        last = max(0, max(ends, default=0))
        return max(last + self.edits.tail.get(parent, family.tail), 0)

    def _lengths(self, family: Family) -> Sequence[int]:
        """The durations of the children of a span."""
        if self._length.keys().isdisjoint(family.rows):
            return family.lengths
        return list(map(self._length.get, family.rows, family.lengths))

    def _share(self) -> set[int]:
        """Set the lengths of spans that wait for other branches; return the rows that changed."""
        begins = self._begins()
        lengths = self._sharer_lengths(begins)
        for sharing in self.edits.sharings:
            starts = {row: begins[row] for row in sharing.rows}
            first, *others = sorted(starts, key=lambda row: (starts[row], row))
            end = starts[first] + self.schedule.tree.duration(first)
            lengths[first] = self.schedule.tree.duration(first)
            lengths |= {row: max(end - starts[row], sharing.hit_ns) for row in others}
        changes = {row: length for row, length in lengths.items() if self.length(row) != length}
        self._length |= changes
        return set(changes)

    def _begins(self) -> dict[int, int]:
        """The starts of all spans that share or are shared, and of those above them."""
        tree, starts_of = self.schedule.tree, self._starts
        parents, start = tree.parents, tree.start
        begins = {tree.run: 0}
        for row in self._ways:
            parent = parents[row]
            offsets = starts_of.get(parent)
            begins[row] = begins[parent] + (
                start[row] - start[parent]
                if offsets is None
                else offsets[self.schedule.family(parent).number[row]]
            )
        return begins

    @cached_property
    def _ways(self) -> list[int]:
        """The spans whose start every round needs, parents before children."""
        tree, leaders = self.schedule.tree, self.schedule.leaders
        ends = self._sharing_rows | leaders.keys() | set(leaders.values())
        parents, above = tree.parents, {tree.run}
        for row in ends:
            while row not in above:
                above.add(row)
                row = parents[row]
        return sorted(above - {tree.run}, key=tree.depth.__getitem__)

    def _sharer_lengths(self, begins: Mapping[int, int]) -> dict[int, int]:
        """The lengths of spans that share another branch's fetch: up to its end, and the rest."""
        tree, fixed = self.schedule.tree, self._fixed.keys()
        lengths = {}
        for row, leader in self.schedule.leaders.items():
            if row not in fixed:
                rest = tree.end[row] - tree.end[leader]
                end = begins[leader] + self.length(leader)
                lengths[row] = max(end + rest - begins[row], rest)
        return lengths

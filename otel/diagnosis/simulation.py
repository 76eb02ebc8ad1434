"""A run played again with changes: when everything would have started and ended.

Only the families above a changed span are played, up to where nothing changes any more; every
other subtree keeps its shape and moves as a whole. No new contention is assumed: rate limits, the
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

    `upon` is the same run played with the first of the same edits: only what differs is played.
    """

    def __init__(
        self, schedule: Schedule, edits: Edits, model: Model, upon: "Simulation | None" = None
    ) -> None:
        self.schedule = schedule
        self.edits = edits
        self._model = model
        self._before = {row: before for chain in edits.chains for before, row in pairwise(chain)}
        self._shared_rows = {row for sharing in edits.shared for row in sharing.rows}
        self._length: dict[int, int] = {} if upon is None else upon._unshared[0].copy()
        # Of the children that were placed, by the row of their parent and their number.
        self._starts: dict[int, list[int]] = {} if upon is None else upon._unshared[1].copy()
        known = Edits() if upon is None else upon.edits
        self._fixed = edits.lengths(schedule.tree) if edits.less else edits.length
        self._set_lengths(known, {} if upon is None else upon._fixed)
        changed, tails = edits.differing(known)
        awaiting = edits != Edits() and bool(schedule.awaited or edits.shared)
        self._play(changed, tails)
        # What is played upon this one has its own rounds.
        self._unshared: tuple[dict[int, int], dict[int, list[int]]] = self._length, self._starts
        if awaiting:
            self._unshared = self._length.copy(), self._starts.copy()
        for _ in range(_ROUNDS if awaiting else 0):
            moved = self._share()
            if not moved:
                break
            self._play(moved)

    @property
    def wall_ns(self) -> int:
        """How long the run takes."""
        return self.length(self.schedule.tree.run)

    def length(self, row: int) -> int:
        """How long a span takes."""
        found = self._length.get(row)
        return self.schedule.tree.duration(row) if found is None else found

    def start(self, row: int) -> int:
        """When a span starts, after the run's start; its shape above it is played, not below."""
        run, parents = self.schedule.tree.run, self.schedule.tree.parents
        begin = 0
        while row != run:
            begin += self._offset(row, parents[row])
            row = parents[row]
        return begin

    def _offset(self, row: int, parent: int) -> int:
        """When a span starts after its parent's start."""
        placed = self._starts.get(parent)
        if placed is None:
            return self.schedule.tree.start[row] - self.schedule.tree.start[parent]
        return placed[self.schedule.family(parent).number[row]]

    def times(self) -> tuple[list[int], list[int]]:
        """Start and end of every span by row, on the run's own clock.

        What is below a span of a new length is scaled with it.
        """
        tree = self.schedule.tree
        start, end = list(tree.start), list(tree.end)
        scaled: dict[int, float] = {}
        parents = tree.parents
        for row in tree.rows:
            if row != tree.run:
                parent = parents[row]
                offset = self._offset(row, parent)
                if parent in scaled:
                    offset = int(offset * scaled[parent])
                start[row] = start[parent] + offset
            length = self.length(row)
            inherited = scaled.get(parents[row]) if row != tree.run else None
            if inherited is not None:
                length, scaled[row] = int(tree.duration(row) * inherited), inherited
            elif row in self._fixed or row in self._shared_rows:
                scaled[row] = length / max(tree.duration(row), 1)
            end[row] = start[row] + length
        return start, end

    def _set_lengths(self, known: Edits, fixed: Mapping[int, int]) -> None:
        """Give the spans of a new length theirs, and forget what was played below them."""
        given = {r: to for r, to in self._fixed.items() if fixed.get(r) != to}
        shared = self._shared_rows - {row for sharing in known.shared for row in sharing.rows}
        for row in shared - self._fixed.keys():
            self._length.pop(row, None)
        self._length |= given
        for row in given.keys() | shared if self._starts else ():
            self._starts.pop(row, None)

    def _play(self, changed: Iterable[int], tails: Iterable[int] = ()) -> None:
        """Place the children of the spans with a changed child or tail, from the deepest up.

        Where a span's length stays as it was, nothing above it changes.
        """
        schedule, tree = self.schedule, self.schedule.tree
        parents, depth, run = tree.parents, tree.depth, tree.run
        fixed, shared, awaited = self._fixed, self._shared_rows, schedule.awaited
        levels: dict[int, set[int]] = defaultdict(set)
        for parent in {*tails, *[parents[row] for row in changed if row != run]}:
            levels[depth[parent]].add(parent)
        for level in range(max(levels, default=-1), -1, -1):
            for parent in levels.pop(level, ()):
                if parent in fixed or parent in shared or parent in awaited:
                    continue
                length = self._played(parent, schedule.family(parent))
                if length != self.length(parent):
                    self._length[parent] = length
                    if parent != run:
                        levels[level - 1].add(parents[parent])

    def _played(self, parent: int, family: Family) -> int:
        """Place the children of a span and return the span's new length."""
        lengths = self._lengths(family)
        starts = place(family, lengths, self.edits, self._before, self._model)
        self._starts[parent] = starts
        ends: Iterable[int] = map(add, starts, lengths)
        if not family.all_waited_for:
            ends = compress(ends, family.waited_for)
        last = max(0, max(ends, default=0))
        return max(last + self.edits.tail.get(parent, family.tail), 0)

    def _lengths(self, family: Family) -> Sequence[int]:
        """How long the children of a span take."""
        if self._length.keys().isdisjoint(family.rows):
            return family.lengths
        return list(map(self._length.get, family.rows, family.lengths))

    def _share(self) -> set[int]:
        """Give spans that wait for those of other branches their lengths; those that changed."""
        begins = self._begins()
        lengths = self._awaiting(begins)
        for sharing in self.edits.shared:
            starts = {row: begins[row] for row in sharing.rows}
            first, *others = sorted(starts, key=lambda row: (starts[row], row))
            done = starts[first] + self.schedule.tree.duration(first)
            lengths[first] = self.schedule.tree.duration(first)
            lengths |= {row: max(done - starts[row], sharing.hit_ns) for row in others}
        changed = {row: length for row, length in lengths.items() if self.length(row) != length}
        self._length |= changed
        return set(changed)

    def _begins(self) -> dict[int, int]:
        """The starts of all spans that share or are shared, and of those above them."""
        tree, placed = self.schedule.tree, self._starts
        parents, start = tree.parents, tree.start
        begins = {tree.run: 0}
        for row in self._ways:
            parent = parents[row]
            offsets = placed.get(parent)
            begins[row] = begins[parent] + (
                start[row] - start[parent]
                if offsets is None
                else offsets[self.schedule.family(parent).number[row]]
            )
        return begins

    @cached_property
    def _ways(self) -> list[int]:
        """The spans whose start is asked for in every round, parents before children."""
        tree, awaited = self.schedule.tree, self.schedule.awaited
        asked = self._shared_rows | awaited.keys() | set(awaited.values())
        parents, above = tree.parents, {tree.run}
        for row in asked:
            while row not in above:
                above.add(row)
                row = parents[row]
        return sorted(above - {tree.run}, key=tree.depth.__getitem__)

    def _awaiting(self, begins: Mapping[int, int]) -> dict[int, int]:
        """The lengths of spans that share what another branch fetches: to its end, and the rest."""
        tree, fixed = self.schedule.tree, self._fixed.keys()
        lengths = {}
        for row, leader in self.schedule.awaited.items():
            if row not in fixed:
                rest = tree.end[row] - tree.end[leader]
                done = begins[leader] + self.length(leader)
                lengths[row] = max(done + rest - begins[row], rest)
        return lengths

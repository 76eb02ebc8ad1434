"""A run played again with changes: when everything would have started and ended.

Only the families above a changed span are played, up to where nothing changes any more; every other
subtree keeps its shape and moves as a whole. No new contention is assumed: rate limits, the interpreter lock and pools are as they were.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from otel.diagnosis.schedule import Family, Model, Order, Schedule, Slots

_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Sharing:
    """Spans that ask for the same: the first does the work, and the others take its result.

    Who asks while the first is still at work ends with it; who asks later takes `hit_ns`.
    """

    rows: tuple[int, ...]
    hit_ns: int


@dataclass
class Edits:
    """What is different in a run that is played again.

    `length` is a span's new duration, whatever was below it; `gap` what passes before it, once
    those it waits for have ended; `tail` what passes in it after its last child; `like` lets a span
    wait for what an earlier sibling waited for, and start as soon as that one. Each of `chains` are
    siblings of which one waits for the one before it, and for nothing else; `slots` lets so many of
    some siblings run at once. Nanoseconds, by row.
    """

    length: dict[int, int] = field(default_factory=dict)
    gap: dict[int, int] = field(default_factory=dict)
    tail: dict[int, int] = field(default_factory=dict)
    like: dict[int, int] = field(default_factory=dict)
    shared: list[Sharing] = field(default_factory=list)
    slots: list[Slots] = field(default_factory=list)
    chains: list[tuple[int, ...]] = field(default_factory=list)

    def copy(self) -> "Edits":
        """The same edits, to add more to."""
        return Edits(
            self.length.copy(),
            self.gap.copy(),
            self.tail.copy(),
            self.like.copy(),
            self.shared.copy(),
            self.slots.copy(),
            self.chains.copy(),
        )

    def differing(self, known: "Edits") -> tuple[set[int], set[int]]:
        """The rows that these place or measure in another way than their first part does.

        And those whose tail is another.
        """
        changed: set[int] = set()
        for new, old in (
            (self.length, known.length),
            (self.gap, known.gap),
            (self.like, known.like),
        ):
            changed |= _differing(new, old)
        for sharing in self.shared[len(known.shared) :]:
            changed.update(sharing.rows)
        for slots in self.slots[len(known.slots) :]:
            changed.update(slots.rows)
        for chain in self.chains[len(known.chains) :]:
            changed.update(chain)
        return changed, _differing(self.tail, known.tail)


def _differing(new: Mapping[int, int], old: Mapping[int, int]) -> set[int]:
    if not old:
        return set(new)
    return {row for row, value in new.items() if old.get(row) != value}


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
        self._start: dict[int, int] = {} if upon is None else upon._unshared[1].copy()
        known = Edits() if upon is None else upon.edits
        self._set_lengths(known)
        changed, tails = edits.differing(known)
        awaiting = edits != Edits() and bool(schedule.awaited or edits.shared)
        self._play(changed, tails)
        # What is played upon this one has its own rounds.
        self._unshared: tuple[dict[int, int], dict[int, int]] = self._length, self._start
        if awaiting:
            self._unshared = self._length.copy(), self._start.copy()
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
        tree, begin, parents = self.schedule.tree, 0, self.schedule.tree.parents
        while row != tree.run:
            parent = parents[row]
            offset = self._start.get(row)
            begin += tree.start[row] - tree.start[parent] if offset is None else offset
            row = parent
        return begin

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
                offset = self._start.get(row, tree.start[row] - tree.start[parent])
                if parent in scaled:
                    offset = int(offset * scaled[parent])
                start[row] = start[parent] + offset
            length = self.length(row)
            inherited = scaled.get(parents[row]) if row != tree.run else None
            if inherited is not None:
                length, scaled[row] = int(tree.duration(row) * inherited), inherited
            elif row in self.edits.length or row in self._shared_rows:
                scaled[row] = length / max(tree.duration(row), 1)
            end[row] = start[row] + length
        return start, end

    def _set_lengths(self, known: Edits) -> None:
        """Give the spans of a new length theirs, and forget what was played below them."""
        given = {r: to for r, to in self.edits.length.items() if known.length.get(r) != to}
        shared = self._shared_rows - {row for sharing in known.shared for row in sharing.rows}
        for row in shared - self.edits.length.keys():
            self._length.pop(row, None)
        self._length |= given
        if self._start:
            for row in given.keys() | shared:
                for child in self.schedule.tree.children(row):
                    self._start.pop(child, None)

    def _play(self, changed: Iterable[int], tails: Iterable[int] = ()) -> None:
        """Place the children of the spans with a changed child or tail, from the deepest up.

        Where a span's length stays as it was, nothing above it changes.
        """
        schedule, tree = self.schedule, self.schedule.tree
        parents, depth, run = tree.parents, tree.depth, tree.run
        fixed, shared, awaited = self.edits.length, self._shared_rows, schedule.awaited
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
        edits, rows = self.edits, family.rows
        slots = self._slots(family)
        gaps = {} if edits.gap.keys().isdisjoint(rows) else edits.gap
        lengths = self._lengths(family)
        if (
            slots is None
            and (self._model is Model.OBSERVED or not family.declared)
            and edits.like.keys().isdisjoint(rows)
            and self._before.keys().isdisjoint(rows)
        ):
            starts = self._in_order(family, lengths, gaps)
        else:
            starts = self._reordered(family, lengths, gaps, slots)
        self._start.update(zip(rows, starts, strict=True))
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]
        if not family.all_waited_for:
            ends = [end for end, waited in zip(ends, family.waited_for, strict=True) if waited]
        last = max(0, max(ends, default=0))
        return max(last + edits.tail.get(parent, family.tail), 0)

    def _lengths(self, family: Family) -> Sequence[int]:
        """How long the children of a span take."""
        if self._length.keys().isdisjoint(family.rows):
            return family.lengths
        return list(map(self._length.get, family.rows, family.lengths))

    def _in_order(
        self, family: Family, lengths: Sequence[int], gaps: Mapping[int, int]
    ) -> list[int]:
        """When the children start that keep their order and meet no limit."""
        first, *more = family.orders(self._model)
        walks = [(order.by_key, order.taken, _gaps(family, order, gaps)) for order in (first, *more)]
        by_key, until, passed = walks[0]
        starts: list[int] = []
        ends: list[int] = []
        reached = taken = other_reached = other_taken = 0
        for number, length in enumerate(lengths):
            while taken < until[number]:
                end = ends[by_key[taken]]
                if end > reached:
                    reached = end
                taken += 1
            begin = reached + passed[number]
            if more:
                others, other_until, other_passed = walks[1]
                while other_taken < other_until[number]:
                    end = ends[others[other_taken]]
                    if end > other_reached:
                        other_reached = end
                    other_taken += 1
                begin = min(begin, other_reached + other_passed[number])
            starts.append(begin)
            ends.append(begin + length)
        return starts

    def _reordered(
        self,
        family: Family,
        lengths: Sequence[int],
        gaps: Mapping[int, int],
        slots: Slots | None,
    ) -> list[int]:
        """When the children start, some of them like others, in chains, or as slots become free."""
        edits, rows = self.edits, family.rows
        # Who takes a slot waits for the slot, and for what the first of them waited for.
        members = frozenset(slots.rows if slots else ())
        first = dict.fromkeys(slots.gap, slots.rows[0]) if slots else {}
        like = [family.number[edits.like.get(row, first.get(row, row))] for row in rows]
        sequence: Sequence[int] = range(len(rows))
        if like != list(sequence):
            # Who can start no later comes first; those who meet a limit in their own order.
            head = family.number[slots.rows[0]] if slots else 0
            place = [head if row in members else like[n] for n, row in enumerate(rows)]
            sequence = sorted(sequence, key=place.__getitem__)
        declared = family.declared if self._model is not Model.OBSERVED else {}
        starts = [0] * len(rows)
        ends: list[int | None] = [None] * len(rows)
        walk, *others = [_Walk(order, ends) for order in family.orders(self._model)]
        busy: list[int] = []
        for number in sequence:
            row, model = rows[number], like[number]
            gap = gaps.get(row)
            begin = walk.start(model, gap)
            for other in others:
                begin = min(begin, other.start(model, gap))
            if row in self._before:
                # A step of the branch itself; between steps of one node nothing has to pass.
                begin = ends[family.number[self._before[row]]] or 0
            elif model in declared:
                reached = max(ends[each] or 0 for each in declared[model])
                after = reached + (family.gap(model) if gap is None else gap)
                begin = after if self._model is Model.LIKELY else min(begin, after)
            limited = row in members
            if slots is not None and limited and len(busy) >= slots.at_once:
                begin = max(begin, heapq.heappop(busy) + slots.gap.get(row, 0))
            end = begin + lengths[number]
            if limited:
                heapq.heappush(busy, end)
            starts[number], ends[number] = begin, end
        return starts

    def _slots(self, family: Family) -> Slots | None:
        """The limit to keep to in a family: one put on it, or the one that it met."""
        for slots in self.edits.slots:
            if slots.rows[0] in family.number:
                return slots
        met = family.slots
        return met if met is not None and self.edits.like.keys().isdisjoint(met.rows) else None

    def _share(self) -> set[int]:
        """Give spans that wait for those of other branches their lengths; those that changed."""
        lengths = self._awaiting()
        for sharing in self.edits.shared:
            starts: Mapping[int, int] = {row: self.start(row) for row in sharing.rows}
            first, *others = sorted(starts, key=lambda row: (starts[row], row))
            done = starts[first] + self.schedule.tree.duration(first)
            lengths[first] = self.schedule.tree.duration(first)
            lengths |= {row: max(done - starts[row], sharing.hit_ns) for row in others}
        changed = {row: length for row, length in lengths.items() if self.length(row) != length}
        self._length |= changed
        return set(changed)

    def _awaiting(self) -> dict[int, int]:
        """The lengths of spans that share what another branch fetches: to its end, and the rest."""
        tree, fixed = self.schedule.tree, self.edits.length.keys()
        lengths = {}
        for row, leader in self.schedule.awaited.items():
            if row not in fixed:
                rest = tree.end[row] - tree.end[leader]
                done = self.start(leader) + self.length(leader)
                lengths[row] = max(done + rest - self.start(row), rest)
        return lengths


def _gaps(family: Family, order: Order, changed: Mapping[int, int]) -> Sequence[int]:
    """What passes before each child in an order, with these changes by row."""
    if not changed:
        return order.gap
    return [changed.get(row, gap) for row, gap in zip(family.rows, order.gap, strict=True)]


class _Walk:
    """Goes through one order of a family and says when a child can start."""

    __slots__ = ("_ends", "_order", "_reached", "_taken")

    def __init__(self, order: Order, ends: Sequence[int | None]) -> None:
        self._order = order
        self._ends = ends
        self._taken = 0
        self._reached = 0

    def start(self, number: int, gap: int | None) -> int:
        """The start of a child that waits for what the child of this number waits for."""
        order, ends = self._order, self._ends
        cut, by_key = order.cut[number], order.by_key
        while self._taken < len(by_key):
            before = by_key[self._taken]
            end = ends[before]
            if end is None or order.key[before] > cut:
                break
            self._reached = max(self._reached, end)
            self._taken += 1
        return self._reached + (order.gap[number] if gap is None else gap)

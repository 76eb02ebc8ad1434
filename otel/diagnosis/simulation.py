"""A run played again with changes: when everything would have started and ended.

Only the families above a changed span are played; every other subtree keeps its shape and moves as
a whole. No new contention is assumed: rate limits, the interpreter lock and pools are as they were.
"""

import heapq
from collections.abc import Mapping, Sequence
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


class Simulation:
    """A run as it would have been; times in nanoseconds."""

    def __init__(self, schedule: Schedule, edits: Edits, model: Model) -> None:
        self.schedule = schedule
        self._edits = edits
        self._model = model
        self._length = dict(edits.length)
        self._start: dict[int, int] = {}
        self._before = {row: before for chain in edits.chains for before, row in pairwise(chain)}
        self._shared_rows = {row for sharing in edits.shared for row in sharing.rows}
        self._parents = schedule.tree.trace.parent
        self._families = self._touched()
        self._play()
        for _ in range(_ROUNDS):
            if not self._share():
                break
            self._play()

    @property
    def wall_ns(self) -> int:
        """How long the run takes."""
        return self.length(self.schedule.tree.run)

    def length(self, row: int) -> int:
        """How long a span takes."""
        return self._length.get(row, self.schedule.tree.duration(row))

    def start(self, row: int) -> int:
        """When a span starts, after the run's start; its shape above it is played, not below."""
        tree, begin = self.schedule.tree, 0
        while row != tree.run:
            parent = int(self._parents[row])
            begin += self._start.get(row, tree.start[row] - tree.start[parent])
            row = parent
        return begin

    def times(self) -> tuple[list[int], list[int]]:
        """Start and end of every span by row, on the run's own clock.

        What is below a span of a new length is scaled with it.
        """
        tree = self.schedule.tree
        start, end = list(tree.start), list(tree.end)
        scaled: dict[int, float] = {}
        for row in tree.rows:
            if row != tree.run:
                parent = int(self._parents[row])
                offset = self._start.get(row, tree.start[row] - tree.start[parent])
                if parent in scaled:
                    offset = int(offset * scaled[parent])
                start[row] = start[parent] + offset
            length = self.length(row)
            inherited = scaled.get(int(self._parents[row])) if row != tree.run else None
            if inherited is not None:
                length, scaled[row] = int(tree.duration(row) * inherited), inherited
            elif row in self._edits.length or row in self._shared_rows:
                scaled[row] = length / max(tree.duration(row), 1)
            end[row] = start[row] + length
        return start, end

    def _touched(self) -> list[int]:
        """The spans whose families have to be played, the deepest first."""
        edits, schedule, tree = self._edits, self.schedule, self.schedule.tree
        changed = {*edits.length, *edits.gap, *edits.like, *self._shared_rows}
        if changed or edits.tail:
            changed |= schedule.awaited.keys()
        changed |= self._before.keys() | {row for slots in edits.slots for row in slots.rows}
        above: set[int] = set()
        played = {int(self._parents[row]) for row in changed if row != tree.run}
        for row in played | edits.tail.keys():
            while row not in above:
                above.add(row)
                if row == tree.run:
                    break
                row = int(self._parents[row])
        return sorted(above, key=lambda row: -tree.depth[row])

    def _play(self) -> None:
        fixed, waiting = self._edits.length, self._shared_rows | self.schedule.awaited.keys()
        for parent in self._families:
            if parent not in fixed and parent not in waiting:
                self._length[parent] = self._played(parent, self.schedule.family(parent))

    def _played(self, parent: int, family: Family) -> int:
        """Place the children of a span and return the span's new length."""
        edits, rows = self._edits, family.rows
        orders = family.orders(self._model)
        slots = self._slots(family)
        # Who takes a slot waits for the slot, and for what the first of them waited for.
        members = frozenset(slots.rows if slots else ())
        first = dict.fromkeys(slots.gap, slots.rows[0]) if slots else {}
        like = [family.number[edits.like.get(row, first.get(row, row))] for row in rows]
        sequence: Sequence[int] = range(len(rows))
        if any(model != number for number, model in enumerate(like)):
            # Who can start no later comes first; those who meet a limit in their own order.
            head = family.number[slots.rows[0]] if slots else 0
            place = [head if row in members else like[n] for n, row in enumerate(rows)]
            sequence = sorted(sequence, key=lambda number: (place[number], number))
        ends: list[int | None] = [None] * len(rows)
        walks = [_Walk(order, ends) for order in orders]
        busy: list[int] = []
        last = 0
        for number in sequence:
            row, model = rows[number], like[number]
            gap = edits.gap.get(row)
            begin = min([walk.start(model, gap) for walk in walks])
            if row in self._before:
                # A step of the branch itself; between steps of one node nothing has to pass.
                begin = ends[family.number[self._before[row]]] or 0
            elif model in family.declared and self._model is not Model.OBSERVED:
                reached = max(ends[each] or 0 for each in family.declared[model])
                after = reached + (family.gap(model) if gap is None else gap)
                begin = after if self._model is Model.LIKELY else min(begin, after)
            limited = row in members
            if slots is not None and limited and len(busy) >= slots.at_once:
                begin = max(begin, heapq.heappop(busy) + slots.gap.get(row, 0))
            end = begin + self.length(row)
            if limited:
                heapq.heappush(busy, end)
            self._start[row], ends[number] = begin, end
            if family.waited_for[number] and end > last:
                last = end
        return max(last + edits.tail.get(parent, family.tail), 0)

    def _slots(self, family: Family) -> Slots | None:
        """The limit to keep to in a family: one put on it, or the one that it met."""
        for slots in self._edits.slots:
            if slots.rows[0] in family.number:
                return slots
        met = family.slots
        return met if met is not None and self._edits.like.keys().isdisjoint(met.rows) else None

    def _share(self) -> bool:
        """Give spans that wait for those of other branches their lengths; whether any changed."""
        lengths = self._awaiting()
        for sharing in self._edits.shared:
            starts: Mapping[int, int] = {row: self.start(row) for row in sharing.rows}
            first, *others = sorted(starts, key=lambda row: (starts[row], row))
            done = starts[first] + self.schedule.tree.duration(first)
            lengths[first] = self.schedule.tree.duration(first)
            lengths |= {row: max(done - starts[row], sharing.hit_ns) for row in others}
        changed = {row: length for row, length in lengths.items() if self.length(row) != length}
        self._length |= changed
        return bool(changed)

    def _awaiting(self) -> dict[int, int]:
        """The lengths of spans that share what another branch fetches: to its end, and the rest."""
        tree, fixed = self.schedule.tree, self._edits.length.keys()
        lengths = {}
        for row, leader in self.schedule.awaited.items() if self._families else ():
            if row not in fixed:
                rest = tree.end[row] - tree.end[leader]
                done = self.start(leader) + self.length(leader)
                lengths[row] = max(done + rest - self.start(row), rest)
        return lengths


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

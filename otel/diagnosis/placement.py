"""When the children of one span start, in a run that is played again."""

import heapq
from collections.abc import Callable, Mapping, Sequence

from trading_graph.otel.diagnosis.edits import Edits
from trading_graph.otel.diagnosis.schedule import Family, Model, Slots


def place(
    family: Family,
    lengths: Sequence[int],
    edits: Edits,
    before: Mapping[int, int],
    model: Model,
) -> list[int]:
    """The start of each child, after its parent's start, in nanoseconds.

    `lengths` are how long the children take, `before` is what a child of a chain waits for, by row.
    """
    slots = _slots(family, edits)
    chained = not before.keys().isdisjoint(family.rows)
    declared = family.declared if model is not Model.OBSERVED else {}
    if slots is None and edits.like.keys().isdisjoint(family.rows):
        like: Sequence[int] = range(len(family.rows))
        sequence = like
    else:
        like = _like(family, edits, slots)
        sequence = _sequence(family, like, slots)
    placing = _Placing(family, lengths, edits, model, like)
    if slots is None and not chained and not declared:
        return placing.in_order(sequence)
    return placing.held(sequence, slots, before, declared)


def _slots(family: Family, edits: Edits) -> Slots | None:
    """The limit to keep to in a family: one put on it, or the one that it met."""
    for slots in edits.slots:
        if slots.rows[0] in family.number:
            return slots
    met = family.slots
    return met if met is not None and edits.like.keys().isdisjoint(met.rows) else None


def _like(family: Family, edits: Edits, slots: Slots | None) -> Sequence[int]:
    """Whose predecessors each child waits for, by number: its own, or those of a sibling.

    Who takes a slot waits for the slot, and for what the first of them waited for.
    """
    first = dict.fromkeys(slots.gap, slots.rows[0]) if slots else {}
    models = list(map(first.get, family.rows, family.rows) if first else family.rows)
    return list(map(family.number.__getitem__, map(edits.like.get, family.rows, models)))


def _sequence(family: Family, like: Sequence[int], slots: Slots | None) -> Sequence[int]:
    """Who can start no later comes first; those who meet a limit in their own order."""
    numbers = range(len(like))
    if like == list(numbers):
        return numbers
    places = like
    if slots is not None:
        members, head = frozenset(slots.rows), family.number[slots.rows[0]]
        places = [head if row in members else like[n] for n, row in enumerate(family.rows)]
    return sorted(numbers, key=places.__getitem__)


class _Placing:
    """Goes through one or two orders of a family at once; of two the earlier start counts."""

    def __init__(
        self,
        family: Family,
        lengths: Sequence[int],
        edits: Edits,
        model: Model,
        like: Sequence[int],
    ) -> None:
        self._family = family
        self._lengths = lengths
        self._like = like
        self._orders = family.orders(model)
        self._model = model
        changed = {} if edits.gap.keys().isdisjoint(family.rows) else edits.gap
        self._changed = changed
        self._gaps: list[Sequence[int]] = []
        for order in self._orders:
            gaps = order.gap if isinstance(like, range) else [order.gap[model] for model in like]
            if changed:
                gaps = [changed.get(row, gap) for row, gap in zip(family.rows, gaps, strict=True)]
            self._gaps.append(gaps)

    def in_order(self, sequence: Sequence[int]) -> list[int]:
        """Where each waits for others and for nothing else."""
        lengths, like = self._lengths, self._like
        if all(order.until[model] == 0 for order in self._orders for model in set(like)):
            return list(map(min, *self._gaps) if len(self._gaps) > 1 else self._gaps[0])
        starts = [0] * len(lengths)
        ends: list[int | None] = [None] * len(lengths)
        first, second = self._orders[0], self._orders[-1]
        both = second is not first
        by_key, until, gap = first.by_key, first.until, self._gaps[0]
        others, others_until, others_gap = second.by_key, second.until, self._gaps[-1]
        reached = taken = others_reached = others_taken = 0
        for number in sequence:
            most = until[like[number]]
            while taken < most and (end := ends[by_key[taken]]) is not None:
                if end > reached:
                    reached = end
                taken += 1
            begin = reached + gap[number]
            if both:
                most = others_until[like[number]]
                while others_taken < most and (end := ends[others[others_taken]]) is not None:
                    if end > others_reached:
                        others_reached = end
                    others_taken += 1
                other = others_reached + others_gap[number]
                if other < begin:
                    begin = other
            starts[number] = begin
            ends[number] = begin + lengths[number]
        return starts

    def held(
        self,
        sequence: Sequence[int],
        slots: Slots | None,
        before: Mapping[int, int],
        declared: Mapping[int, tuple[int, ...]],
    ) -> list[int]:
        """Where some wait for a slot, for the one before in a chain, or for declared siblings."""
        family, rows = self._family, self._family.rows
        members = frozenset(slots.rows if slots else ())
        starts = [0] * len(rows)
        ends: list[int | None] = [None] * len(rows)
        walks = [_walk(order.by_key, order.until, ends) for order in self._orders]
        busy: list[int] = []
        for number in sequence:
            row, model = rows[number], self._like[number]
            begin = min(
                walk(model) + gaps[number] for walk, gaps in zip(walks, self._gaps, strict=True)
            )
            if row in before:
                # A step of the branch itself; between steps of one node nothing has to pass.
                begin = ends[family.number[before[row]]] or 0
            elif model in declared:
                reached = max(ends[each] or 0 for each in declared[model])
                after = reached + self._changed.get(row, family.gap(model))
                begin = after if self._model is Model.LIKELY else min(begin, after)
            limited = row in members
            if slots is not None and limited and len(busy) >= slots.at_once:
                begin = max(begin, heapq.heappop(busy) + slots.gap.get(row, 0))
            end = begin + self._lengths[number]
            if limited:
                heapq.heappush(busy, end)
            starts[number], ends[number] = begin, end
        return starts


def _walk(
    by_key: Sequence[int], until: Sequence[int], ends: Sequence[int | None]
) -> Callable[[int], int]:
    """Says when all that a child waits for in an order have ended; asked in order."""
    reached = taken = 0

    def walk(number: int) -> int:
        nonlocal reached, taken
        while taken < until[number] and (end := ends[by_key[taken]]) is not None:
            reached = max(reached, end)
            taken += 1
        return reached

    return walk

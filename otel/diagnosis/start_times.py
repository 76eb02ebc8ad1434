"""When the children of one span start, in a run that is played again."""

import heapq
from collections.abc import Callable, Mapping, Sequence

from trading_graph.otel.diagnosis.schedule import Family, Model, Slots
from trading_graph.otel.diagnosis.what_if_edits import Edits


def place(
    family: Family,
    lengths: Sequence[int],
    edits: Edits,
    before: Mapping[int, int],
    model: Model,
) -> list[int]:
    """The start of each child after the start of its parent, in nanoseconds; there are several.

    `lengths` are the durations of the children. `before` is the span that a member of a chain waits
    for, by row.
    """
    slots = _slots(family, edits)
    has_chain = not before.keys().isdisjoint(family.rows)
    predecessors = family.predecessors
    if model is Model.OBSERVED and predecessors:
        predecessors = {each: predecessors[each] for each in family.shown}
    if slots is None and edits.like.keys().isdisjoint(family.rows):
        like: Sequence[int] = range(len(family.rows))
        sequence = like
    else:
        like = _like(family, edits, slots)
        sequence = _sequence(family, like, slots)
    placing = _Placing(family, lengths, edits, model, like)
    if slots is None and not has_chain and not predecessors:
        return placing.in_order(sequence)
    return placing.in_turn(sequence, slots, before, predecessors)


def _slots(family: Family, edits: Edits) -> Slots | None:
    """The limit of a family: one that the edits set, or the one that it met."""
    for slots in edits.slots:
        if slots.rows[0] in family.number:
            return slots
    own = family.slots
    return own if own is not None and edits.like.keys().isdisjoint(own.rows) else None


def _like(family: Family, edits: Edits, slots: Slots | None) -> Sequence[int]:
    """The child whose predecessors each child waits for, by number: itself, or a sibling.

    A span that takes a slot waits for the slot, and for what the first span with a slot waited for.
    """
    rows, number, like = family.rows, family.number, edits.like
    if slots is None or not slots.gap:
        return [number[like.get(row, row)] for row in rows]
    first = dict.fromkeys(slots.gap, slots.rows[0])
    return [number[like.get(row, first.get(row, row))] for row in rows]


def _sequence(family: Family, like: Sequence[int], slots: Slots | None) -> Sequence[int]:
    """The numbers by earliest possible start; spans that meet a limit keep their own order."""
    numbers = range(len(like))
    if like == list(numbers):
        return numbers
    places = like
    if slots is not None:
        members, head = frozenset(slots.rows), family.number[slots.rows[0]]
        places = [head if row in members else like[n] for n, row in enumerate(family.rows)]
    return sorted(numbers, key=places.__getitem__)


class _Placing:
    """Goes through one or two orders of a family at once; of two starts the earlier one counts."""

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
        new_gaps = {} if edits.gap.keys().isdisjoint(family.rows) else edits.gap
        self._new_gaps = new_gaps
        self._gaps: list[Sequence[int]] = []
        for order in self._orders:
            gaps = order.gap if isinstance(like, range) else [order.gap[model] for model in like]
            if new_gaps:
                gaps = [new_gaps.get(row, gap) for row, gap in zip(family.rows, gaps, strict=True)]
            self._gaps.append(gaps)

    def in_order(self, sequence: Sequence[int]) -> list[int]:
        """The starts where spans wait for siblings and for nothing else."""
        lengths, like = self._lengths, self._like
        if not any(any(map(order.until.__getitem__, like)) for order in self._orders):
            return list(map(min, *self._gaps) if len(self._gaps) > 1 else self._gaps[0])
        starts = [0] * len(lengths)
        ends: list[int | None] = [None] * len(lengths)
        first, second = self._orders[0], self._orders[-1]
        both = second is not first
        by_key, until, gap = first.by_key, first.until, self._gaps[0]
        others, others_until, others_gap = second.by_key, second.until, self._gaps[-1]
        last_end = count = others_end = others_count = 0
        for number in sequence:
            most = until[like[number]]
            while count < most and (end := ends[by_key[count]]) is not None:
                if end > last_end:
                    last_end = end
                count += 1
            begin = last_end + gap[number]
            if both:
                most = others_until[like[number]]
                while others_count < most and (end := ends[others[others_count]]) is not None:
                    if end > others_end:
                        others_end = end
                    others_count += 1
                other = others_end + others_gap[number]
                if other < begin:
                    begin = other
            starts[number] = begin
            ends[number] = begin + lengths[number]
        return starts

    def in_turn(
        self,
        sequence: Sequence[int],
        slots: Slots | None,
        before: Mapping[int, int],
        predecessors: Mapping[int, tuple[int, ...]],
    ) -> list[int]:
        """The starts where some wait for a slot, for their chain, or for declared siblings."""
        family, rows = self._family, self._family.rows
        members = frozenset(slots.rows if slots else ())
        starts = [0] * len(rows)
        ends: list[int | None] = [None] * len(rows)
        walks = [_walk(order.by_key, order.until, ends) for order in self._orders]
        first, second = walks[0], walks[1] if len(walks) > 1 else None
        first_gap, second_gap = self._gaps[0], self._gaps[-1]
        is_likely = self._model is Model.LIKELY
        busy: list[int] = []
        for number in sequence:
            row, model = rows[number], self._like[number]
            if row in before:
                # A step of the branch itself; no time has to pass between the steps of one node.
                begin = ends[family.number[before[row]]] or 0
            else:
                declared = predecessors.get(model)
                is_sure = is_likely or model in family.shown
                if declared is None or not is_sure:
                    begin = first(model) + first_gap[number]
                    if second is not None:
                        begin = min(begin, second(model) + second_gap[number])
                if declared is not None:
                    last_end = max([ends[each] or 0 for each in declared], default=0)
                    after = last_end + self._new_gaps.get(row, family.gaps[model])
                    begin = after if is_sure else min(begin, after)
            has_limit = row in members
            if slots is not None and has_limit and len(busy) >= slots.at_once:
                begin = max(begin, heapq.heappop(busy) + slots.gap.get(row, 0))
            end = begin + self._lengths[number]
            if has_limit:
                heapq.heappush(busy, end)
            starts[number], ends[number] = begin, end
        return starts


def _walk(
    by_key: Sequence[int], until: Sequence[int], ends: Sequence[int | None]
) -> Callable[[int], int]:
    """A function that gives the end of all that a child waits for; to be called in order."""
    last_end = count = 0

    def walk(number: int) -> int:
        nonlocal last_end, count
        while count < until[number] and (end := ends[by_key[count]]) is not None:
            if end > last_end:
                last_end = end
            count += 1
        return last_end

    return walk

"""The change that raises a declared limit, in a form that the simulation can play.

What a limit grants when is played across all branches (`limit_play.py`). Here that becomes new
lengths of spans and new pauses before them, so that it combines with every other change.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from trading_graph.otel.diagnosis.limit_play import SOON_NS, LimitPlay, leading_grants
from trading_graph.otel.diagnosis.schedule import Schedule, Slots, slots_of
from trading_graph.otel.diagnosis.what_if_edits import Edits
from trading_graph.otel.trace.grants import Grant, limits_of


class RaiseLimit(msgspec.Struct, frozen=True):
    """Multiply the capacity of a declared limit."""

    name: str
    factor: float

    def apply(self, schedule: Schedule, edits: Edits) -> None:
        """Let every span wait as long as it would, and at most as many be under way at once."""
        edits.raised[self.name] = edits.raised.get(self.name, 1.0) * self.factor
        before, after = schedule.limit_play({}), schedule.limit_play(edits.raised)
        leading = leading_grants(schedule.tree)
        for row in after.end:
            if row != schedule.tree.run:
                _shift(schedule, edits, row, leading.get(row), before, after)
        edits.slots[:0] = _slots(schedule, leading, edits.raised)


def _shift(
    schedule: Schedule,
    edits: Edits,
    row: int,
    grant: Grant | None,
    before: LimitPlay,
    after: LimitPlay,
) -> None:
    """Change the length of a span, or the pauses before its children, as its waits change."""
    tree = schedule.tree
    less_wait_ns = before.wait[row] - after.wait[row]
    waits_inside = grant is not None and grant.asked_ns >= tree.start[row] - SOON_NS
    if not tree.children(row):
        shorter_ns = _length(before, row) - _length(after, row)
        if waits_inside:
            shorter_ns += less_wait_ns
        if shorter_ns:
            edits.length[row] = max(tree.duration(row) - shorter_ns, 0)
    elif waits_inside and less_wait_ns:
        family = schedule.family(row)
        first = [n for n, until in enumerate(family.observed.until) if not until]
        for number in first:
            edits.gap[family.rows[number]] = max(family.gaps[number] - less_wait_ns, 0)


def _length(play: LimitPlay, row: int) -> int:
    return play.end[row] - play.begin[row]


def _slots(
    schedule: Schedule, leading: Mapping[int, Grant], raised: Mapping[str, float]
) -> Iterator[Slots]:
    """The limits on how many siblings are under way at once that wait before they begin."""
    tree = schedule.tree
    for name, limit in limits_of(tree.trace, tree.run).items():
        if limit.is_rate:
            continue
        families: dict[int, list[int]] = defaultdict(list)
        for row, grant in leading.items():
            if grant.amounts.get(name) == 1.0 and grant.whole:
                families[tree.parents[row]].append(row)
        for rows in families.values():
            yield _raised(slots_of(tree, rows, int(limit.capacity)), raised.get(name, 1.0))


def _raised(slots: Slots, factor: float) -> Slots:
    gap = {row: max(gap_ns, 0) for row, gap_ns in slots.gap.items()}
    rows: Sequence[int] = slots.rows
    return Slots(tuple(rows), max(int(slots.at_once * factor), 1), gap)

"""The moments whose reason is asked for: a task was made, or the work of a span began.

Tasks that one activity made at one moment have one reason, which is that of all their spans.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from trading_graph.otel.probe.runs import Runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_COUSINS = 400
"""In larger runs a span is compared with its siblings alone."""


class MomentKind(Enum):
    """What happens in a moment."""

    BIRTH = "tasks were made"
    SLOT = "the first of those that share a limit began"
    WORK = "a span began"


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of some spans, by run, in seconds; with what could be its reason.

    A moment of several spans is that in which their tasks were made, or that in which the first of
    them got a slot of the limit that they share. Neither of them had any reason to wait later for
    what was over by then.

    `base` is when it could have come at the earliest: the start of the parent, or the moment in
    which the span's task was made. `earlier` are the spans that had ended before it in all runs.
    `turn` says in which runs the wait before it was for a turn, and `late` how much of it tasks
    were held on purpose.
    """

    spans: tuple[int, ...]
    kind: MomentKind
    at: "NDArray[np.float64]"
    base: "NDArray[np.float64]"
    turn: "NDArray[np.bool_]"
    late: "NDArray[np.float64]"
    earlier: frozenset[int]

    @property
    def offset(self) -> "NDArray[np.float64]":
        """The time since it could have come at the earliest, without that for which it was held."""
        offset: NDArray[np.float64] = self.at - self.late - self.base
        return offset

    def since(self, ends: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """The time since the last of some ends, a row a run, without that for which it was held."""
        since: NDArray[np.float64] = self.at - self.late - ends.max(axis=1)
        return since


def moments(runs: Runs, tolerance: float, sharers: Sequence[Sequence[int]] = ()) -> list[Moment]:
    """All moments of some runs; `sharers` are the spans that share a limit, as far as is known."""
    births = list(_births(runs, tolerance))
    birth_of = {span: birth for birth in births for span in birth.spans}
    earlier_of = {span: birth.earlier for span, birth in birth_of.items()}
    slots = []
    for some in sharers:
        slot = _slot(runs, some, tolerance, earlier_of)
        slots.append(slot)
        earlier_of |= {span: earlier_of.get(span, frozenset()) | slot.earlier for span in some}
    works = []
    for span in range(1, len(runs)):
        birth = birth_of.get(span)
        at = runs.work[:, span]
        # What was over when the task was made is no reason to wait after that.
        earlier = frozenset(before(runs, span, at, tolerance)) - earlier_of.get(span, frozenset())
        base = runs.start[:, runs.parents[span]] if birth is None else birth.at
        turn, late = runs.turn[:, span], runs.late[:, span]
        works.append(Moment((span,), MomentKind.WORK, at, base, turn, late, earlier))
    return [*births, *slots, *works]


def _slot(
    runs: Runs, spans: Sequence[int], tolerance: float, earlier_of: Mapping[int, frozenset[int]]
) -> Moment:
    """The moment in which the first of some spans that share a limit began."""
    work = runs.work[:, list(spans)]
    at, first = work.min(axis=1), np.array(spans)[work.argmin(axis=1)]
    settled = frozenset.intersection(*(earlier_of.get(span, frozenset()) for span in spans))
    return Moment(
        spans=tuple(spans),
        kind=MomentKind.SLOT,
        at=at,
        base=runs.start[:, runs.parents[spans[0]]],
        turn=np.zeros(len(at), bool),
        late=runs.late[np.arange(len(at)), first],
        earlier=frozenset(before(runs, spans[0], at, tolerance)) - settled - frozenset(spans),
    )


def _births(runs: Runs, tolerance: float) -> Iterator[Moment]:
    """The moments in which tasks were made for spans, after the spans above these had started."""
    together: dict[tuple[int, str], list[int]] = defaultdict(list)
    for span in range(1, len(runs)):
        parent = runs.parents[span]
        first = {each[span] for each in runs.made_with}
        born = runs.born[:, span]
        if len(first) > 1 or "" in first or not runs.is_known_again[span]:
            continue
        paths = {each[span] for each in runs.activities}
        is_own = paths.isdisjoint({each[parent] for each in runs.activities})
        if is_own and np.all(born > runs.start[:, parent] - tolerance):
            together[parent, first.pop()].append(span)
    for (parent, _), spans in together.items():
        at = runs.born[:, spans].min(axis=1)
        yield Moment(
            spans=tuple(spans),
            kind=MomentKind.BIRTH,
            at=at,
            base=runs.start[:, parent],
            turn=np.zeros(len(at), bool),
            late=runs.born_late[:, spans[0]],
            earlier=frozenset(before(runs, spans[0], at, tolerance)),
        )


def before(runs: Runs, span: int, at: "NDArray[np.float64]", tolerance: float) -> Iterator[int]:
    """The spans that had ended before a moment of one in all runs, and could be its reason."""
    if not runs.is_known_again[span]:
        return
    beyond = runs.end - at[:, None]
    # A single run may have noted an end a little late.
    over = (beyond <= 3 * tolerance).all(axis=0) & ((beyond > tolerance).sum(axis=0) <= 1)
    above, parent = runs.above[span], runs.parents[span]
    for each in np.flatnonzero(over).tolist():
        if each in above or span in runs.above[each] or not runs.is_known_again[each]:
            continue
        if runs.parents[each] != parent and len(runs) > MOST_COUSINS:
            continue
        if _stands_for_itself(runs, each, span, at, tolerance):
            yield each


def _stands_for_itself(
    runs: Runs, each: int, span: int, at: "NDArray[np.float64]", tolerance: float
) -> bool:
    """Whether no span above one of the two says the same of their branches."""
    top, above = each, runs.above[span]
    while runs.parents[top] not in above:
        top = runs.parents[top]
    branch, common = span, runs.parents[top]
    while runs.parents[branch] != common:
        branch = runs.parents[branch]
    end = runs.end[:, top]
    if branch != span and np.all(end <= runs.work[:, branch] + tolerance):
        return False  # The branch of the one is over when that of the other begins.
    return each == top or not np.all(end <= at + tolerance)

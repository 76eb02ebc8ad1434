"""Which span waits for which: what survives every run in which spans were held.

A span that once started before the end of another does not wait for it: the order refutes it, and
no statistics are needed. A span waits for another if it moved with it: in runs where that one was
held and ended last of all that it could wait for, it started as long after its end as ever. What
was neither refuted nor seen to move is open.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from trading_graph.otel.probe.events import Moment, MomentKind, moments
from trading_graph.otel.probe.runs import Runs
from trading_graph.otel.trace.dependencies import WaitOrder

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_TOLERANCE_S = 0.001
"""Two moments that are closer than this are taken to be one."""

CONFIDENT = 0.95
"""A dependency is reported from this confidence on."""

MOVED_SHARE = 0.75
"""In so many of the runs that could show it a span has to move with what it waits for."""

FOLLOWS_RUNS = 3
"""A moment that comes as long after the last end in so many runs, and in most, follows ends."""

CHANCE_IF_HELD, CHANCE = 0.02, 0.2
"""That a moment which follows ends came just after one by chance: if that was held, or not."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A span waits for the end of another, as so many runs show in which that one was held.

    None need to where the task of the one is recorded to have awaited that of the other.
    """

    before: int
    runs: int
    confidence: float
    order: WaitOrder


@dataclass(frozen=True, slots=True)
class Reason:
    """What one moment waits for.

    `waits_for` are shown, and `open` could neither be shown nor refuted. `gap_s` is the time
    between the last end of these and the moment.
    """

    moment: Moment
    waits_for: tuple[Dependency, ...]
    open: tuple[int, ...]
    gap_s: float


@dataclass(frozen=True)
class Estimate:
    """What each moment of some runs waits for; `tolerance_s` is what counts as no time."""

    runs: Runs
    tolerance_s: float
    reasons: tuple[Reason, ...]

    @cached_property
    def of_span(self) -> Mapping[int, tuple[Reason, ...]]:
        """The reasons of each span: of the moment in which its task was made, and of its work."""
        reasons: dict[int, list[Reason]] = defaultdict(list)
        for reason in self.reasons:
            for span in reason.moment.spans:
                reasons[span].append(reason)
        return {span: tuple(some) for span, some in reasons.items()}

    def waits_for(self, span: int) -> dict[int, Dependency]:
        """The spans that one is shown to wait for, without those that these wait for."""
        direct = {
            each.before: each for reason in self.of_span.get(span, ()) for each in reason.waits_for
        }
        through = frozenset[int]().union(*(self.implied[each] for each in direct))
        return {before: each for before, each in direct.items() if before not in through}

    @cached_property
    def implied(self) -> Mapping[int, frozenset[int]]:
        """For each span all that it is shown to wait for, directly or through others."""
        return _closure(self.runs, self.reasons)


def tolerance_s(plain: Runs) -> float:
    """What the time between an end and the start that follows it differs by, in undisturbed runs.

    Twice what three of four differ by, and at least `LEAST_TOLERANCE_S`.
    """
    if len(plain.start) < 2 or len(plain) < 2:
        return LEAST_TOLERANCE_S
    gaps = []
    for moment in moments(plain, LEAST_TOLERANCE_S):
        last = max(moment.earlier, key=lambda each: plain.end[0, each], default=None)
        gap = moment.offset if last is None else moment.since(plain.end[:, [last]])
        gaps.append(np.ptp(gap))
    return max(LEAST_TOLERANCE_S, 2 * float(np.quantile(gaps, 0.75)))


def estimate(runs: Runs, tolerance: float, sharers: Sequence[Sequence[int]] = ()) -> Estimate:
    """What each moment waits for, by all runs so far.

    `sharers` are the spans that share a limit, as far as is known.
    """
    everything = moments(runs, tolerance, sharers)
    earlier: dict[int, frozenset[int]] = defaultdict(frozenset)
    for each in everything:
        for span in each.spans:
            earlier[span] |= each.earlier
    evidence = [_Evidence(runs, each, earlier, tolerance) for each in everything]
    reasons = [Reason(each.moment, tuple(each.dependencies()), (), each.gap_s) for each in evidence]
    closure = _closure(runs, reasons)
    return Estimate(
        runs,
        tolerance,
        tuple(
            Reason(each.moment, each.waits_for, _open(runs, each, closure), each.gap_s)
            for each in reasons
        ),
    )


def _open(runs: Runs, reason: Reason, closure: Mapping[int, frozenset[int]]) -> tuple[int, ...]:
    """What could be a reason of a moment, and is neither shown nor implied by what is."""
    direct = frozenset(each.before for each in reason.waits_for)
    known = direct.union(*(closure[each] for each in direct))
    return tuple(
        sorted(
            each
            for each in reason.moment.earlier - known
            if known.isdisjoint(runs.above[each])  # what is below a span is over with it
        )
    )


def _closure(runs: Runs, reasons: Sequence[Reason]) -> Mapping[int, frozenset[int]]:
    direct: dict[int, set[int]] = defaultdict(set)
    for reason in reasons:
        for span in reason.moment.spans:
            direct[span].update(each.before for each in reason.waits_for)
    implied: dict[int, frozenset[int]] = {}
    # What a span waits for had started before it, in the first run as in any.
    for span in sorted(range(len(runs)), key=lambda each: (runs.start[0, each], each)):
        above = [implied.get(each, frozenset()) for each in runs.above[span] - {span}]
        mine = direct[span]
        implied[span] = frozenset(mine).union(
            *(implied.get(each, frozenset()) for each in mine), *above
        )
    return implied


class _Evidence:
    """What the runs say of one moment and the spans that had ended before it in all of them."""

    def __init__(
        self,
        runs: Runs,
        moment: Moment,
        earlier: Mapping[int, frozenset[int]],
        tolerance: float,
    ) -> None:
        self.moment = moment
        self.gap_s = 0.0
        self._runs, self._earlier, self._tolerance = runs, earlier, tolerance
        self._candidates = sorted(moment.earlier)
        self._slack: NDArray[np.float64] = np.full(len(moment.at), np.inf)
        if self._candidates:
            self._slack = moment.since(runs.end[:, self._candidates])
            self.gap_s = float(self._slack.min())

    def dependencies(self) -> list[Dependency]:
        """The spans with which this moment moved."""
        if not self._candidates:
            return []
        awaited = {each.before: each for each in self._awaited()}
        moved = {each.before: each for each in self._moved()}
        return list({**awaited, **moved}.values())

    def _awaited(self) -> Iterator[Dependency]:
        """The spans of tasks that the task of this moment had awaited, in every run."""
        runs, span = self._runs, self.moment.spans[0]
        for before in self._candidates:
            if all(
                its[before] and its[before] in awaited[span]
                for its, awaited in zip(runs.activities, runs.awaited, strict=True)
            ):
                yield Dependency(before, 0, 1.0, self._order(before))

    def _moved(self) -> list[Dependency]:
        runs, moment, apart = self._runs, self.moment, 2 * self._tolerance
        ends = runs.end[:, self._candidates]
        offset = moment.offset
        is_late = (offset > offset.min() + self._tolerance) & ~moment.turn
        moved = self._slack <= self.gap_s + apart
        count = int((moved & is_late).sum())
        follows = count >= FOLLOWS_RUNS and count >= MOVED_SHARE * int(is_late.sum())
        chances: dict[int, list[float]] = defaultdict(list)
        tests: dict[int, int] = defaultdict(int)
        for run in np.flatnonzero(is_late).tolist():
            last = self._candidates[int(ends[run].argmax())]
            held = float(runs.held[run, last])
            margin = runs.end[run, last] - self._end_of_rivals(run, last)
            if (held < apart and not follows) or margin < apart:
                continue
            tests[last] += 1
            if moved[run]:
                least = CHANCE_IF_HELD if held >= apart else CHANCE
                chance = max(apart / margin, least) if follows else apart / held
                chances[last].append(min(0.5, chance))
        dependencies = []
        for before, each in chances.items():
            if np.any(runs.end[:, before] > moment.at + self._tolerance):
                continue  # One run contradicts it: that stays open.
            confidence = 1 - float(np.prod(each))
            if confidence >= CONFIDENT and len(each) >= MOVED_SHARE * tests[before]:
                dependencies.append(Dependency(before, len(each), confidence, self._order(before)))
        return dependencies

    def _end_of_rivals(self, run: int, last: int) -> float:
        """When the last of the others that could be the reason ended in a run, or it could come."""
        ends = [
            float(self._runs.end[run, each])
            for each in self._candidates
            if each != last and each not in self._earlier[last]
        ]
        return max([float(self.moment.base[run]), *ends])

    def _order(self, before: int) -> WaitOrder:
        if self.moment.kind is not MomentKind.WORK:
            return WaitOrder.IN_TURN
        (span,) = self.moment.spans
        for each in self._runs.activities:
            mine, its = each[span], each[before]
            if mine and mine != its and not its.startswith(f"{mine}."):
                return WaitOrder.ASKED
        return WaitOrder.IN_TURN

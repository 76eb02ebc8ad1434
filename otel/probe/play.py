"""The first run of a program played again with holds, by what each moment likely waits for.

It tells how much longer a run gets by them, and which spans then end last of those that a moment
could wait for. All holds that are drawn for a run are played at once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trading_graph.otel.probe.estimate import Estimate, Reason
from trading_graph.otel.probe.events import MomentKind
from trading_graph.otel.probe.limits import Findings

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Played:
    """The first run played again with holds, by what is likely; a row a plan.

    `at_worst` each moment waits for all that is open, by the shortest time that was ever between.
    """

    def __init__(
        self, findings: Findings, holds: "NDArray[np.float64]", *, at_worst: bool = False
    ) -> None:
        waits, runs = findings.estimate, findings.estimate.runs
        self.likely = [_likely(waits, reason) for reason in waits.reasons]
        self.at = [np.zeros(len(holds)) for _ in waits.reasons]
        self.work = np.zeros(holds.shape)
        self.end = np.zeros(holds.shape)
        self.held = holds.copy()
        for span in range(len(runs) - 1, 0, -1):  # children come after their parents
            self.held[:, runs.parents[span]] += self.held[:, span]
        self._runs, self._turns = runs, _turns(findings)
        self._open = [reason.open if at_worst else () for reason in waits.reasons]
        causes = [{*some, *more} for some, more in zip(self.likely, self._open, strict=True)]
        events = _Events(waits, causes, self._turns)
        for kind, number in events.in_order():
            if kind == _END:
                self._set_end(number, events.family(number), holds)
                continue
            moment = waits.reasons[number].moment
            span = moment.spans[0]
            base = self.work[:, runs.parents[span]]
            if moment.kind is MomentKind.WORK and span in events.birth_of:
                base = self.at[events.birth_of[span]]
            self._set_moment(number, waits.reasons[number], base)
            if moment.kind is MomentKind.WORK:
                self.work[:, span] = self.at[number]

    def _set_moment(self, number: int, reason: Reason, base: "NDArray[np.float64]") -> None:
        runs, moment, likely = self._runs, reason.moment, self.likely[number]
        turn = self._turns.get(moment.spans[0]) if moment.kind is MomentKind.WORK else None
        if turn is not None:
            # Of those that came before, so many have to be over that a slot is free.
            ends = np.sort(self.end[:, turn.earlier], axis=1)
            at = np.maximum(base, ends[:, -turn.at_once])
        elif likely:
            gap = moment.at[0] - runs.end[0, likely].max()
            at = self.end[:, likely].max(axis=1) + gap
        else:
            at = base + (moment.at[0] - moment.base[0])
        if open_ends := self._open[number]:
            at = np.maximum(at, self.end[:, open_ends].max(axis=1) + reason.gap_s)
        self.at[number] = at

    def _set_end(self, span: int, family: Sequence[int], holds: "NDArray[np.float64]") -> None:
        runs = self._runs
        if family:
            tail = runs.end[0, span] - runs.end[0, family].max()
            self.end[:, span] = self.end[:, family].max(axis=1) + tail + holds[:, span]
        else:
            length = runs.end[0, span] - runs.work[0, span]
            self.end[:, span] = self.work[:, span] + length + holds[:, span]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A span gets a slot of a limit for `at_once` after these."""

    earlier: tuple[int, ...]
    at_once: int


def _turns(findings: Findings) -> dict[int, _Turn]:
    """The turns of all spans that had to wait for a slot in the first run, by span."""
    runs, turns = findings.estimate.runs, {}
    for limit in findings.limits:
        queue = sorted(limit.spans, key=lambda span: float(runs.work[0, span]))
        for number, span in enumerate(queue[limit.at_once :], limit.at_once):
            turns[span] = _Turn(tuple(queue[:number]), limit.at_once)
    return turns


_MOMENT, _END = range(2)
_Event = tuple[int, int]
"""Its kind, and the number of the moment or of the span that ends."""


class _Events:
    """The moments and the ends of spans in the first run, each after those it is played from."""

    def __init__(
        self, waits: Estimate, causes: Sequence[Set[int]], turns: Mapping[int, _Turn]
    ) -> None:
        self._runs, self._reasons = waits.runs, waits.reasons
        self._ends_before, self._turns = causes, turns
        self.birth_of: dict[int, int] = {}
        """The moment in which the task of a span was made, where that is known."""
        self._work_of: dict[int, int] = {}
        for number, reason in enumerate(waits.reasons):
            if reason.moment.kind is MomentKind.WORK:
                self._work_of[reason.moment.spans[0]] = number
            elif reason.moment.kind is MomentKind.BIRTH:
                self.birth_of |= dict.fromkeys(reason.moment.spans, number)

    def family(self, span: int) -> list[int]:
        """The children that ended before a span did."""
        ends = self._runs.end[0]
        return [each for each in self._runs.children.get(span, ()) if ends[each] <= ends[span]]

    def in_order(self) -> Iterable[_Event]:
        """All of them, by time; one that led to another comes first, be it noted a little late."""
        order: dict[_Event, None] = {}
        begun = set[_Event]()
        for event in self._by_time():
            pending = [event]
            while pending:
                last = pending[-1]
                if last in begun:
                    order[pending.pop()] = None
                    continue
                begun.add(last)
                # Very short spans may each seem to need the other: then one comes first.
                pending += [each for each in self._causes(last) if each not in begun]
        return order

    def _causes(self, event: _Event) -> Iterator[_Event]:
        """The events that one is played from."""
        kind, number = event
        if kind == _END:
            yield from ((_END, each) for each in self.family(number))
            if number in self._work_of:
                yield _MOMENT, self._work_of[number]
            return
        moment = self._reasons[number].moment
        span, parent = moment.spans[0], self._runs.parents[moment.spans[0]]
        turn = self._turns.get(span) if moment.kind is MomentKind.WORK else None
        ends = {*self._ends_before[number], *(turn.earlier if turn else ())}
        yield from ((_END, each) for each in ends)
        if moment.kind is MomentKind.WORK and span in self.birth_of:
            yield _MOMENT, self.birth_of[span]
        if parent in self._work_of:
            yield _MOMENT, self._work_of[parent]

    def _by_time(self) -> list[_Event]:
        runs = self._runs
        depth = [len(place) for place in runs.places]
        events = []
        # At one time ends come first, those of children before those of their parents.
        for span in range(len(runs)):
            events.append((float(runs.end[0, span]), 0, -depth[span], _END, span))
        for number, reason in enumerate(self._reasons):
            moment = reason.moment
            at, below = float(moment.at[0]), depth[moment.spans[0]]
            events.append((at, 1, below, _MOMENT, number))
        return [(kind, number) for *_, kind, number in sorted(events)]


def _likely(waits: Estimate, reason: Reason) -> Sequence[int]:
    """What a moment likely waits for: what is shown, and what ended just before it.

    One that came later than nothing explains likely waited for whatever ended then.
    """
    runs, moment, near = waits.runs, reason.moment, 2 * waits.tolerance_s
    likely = {each.before for each in reason.waits_for}
    waited = moment.at[0] - runs.end[0]
    likely |= {each for each in reason.open if waited[each] <= reason.gap_s + near}
    offset = moment.offset
    if not likely and offset[0] > offset.min() + waits.tolerance_s:
        above = runs.above[moment.spans[0]]
        ended = np.flatnonzero((waited >= 0) & (waited <= near)).tolist()
        likely = {each for each in ended if each not in above}
    return sorted(likely)

"""Which spans wait for a shared limit: a semaphore, a lock, a pool of workers or connections.

One that waits for a slot starts as another ends, but not always the same one: which, depends on who
came first. Spans that hand over to each other like that, and of which never more than a certain
number run at once, share a limit of that number. They do not need each other.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trading_graph.otel.probe.estimate import Estimate, estimate
from trading_graph.otel.probe.events import MomentKind
from trading_graph.otel.probe.runs import Runs

_FULL_SHARE = 0.9
"""So many hand-overs happen while all slots are taken, or there is no limit."""

_FEWEST = 3
"""Two hand-overs can be chance."""


@dataclass(frozen=True, slots=True)
class SharedLimit:
    """Some spans of which `at_once` run at a time, as so many hand-overs in all runs show."""

    spans: tuple[int, ...]
    at_once: int
    handovers: int


@dataclass(frozen=True, slots=True)
class _Handover:
    run: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Findings:
    """All that some runs of a program show."""

    estimate: Estimate
    limits: tuple[SharedLimit, ...]


def learn(runs: Runs, tolerance: float) -> Findings:
    """What each span waits for, and which share a limit, by all runs so far."""
    waits = estimate(runs, tolerance)
    limits = shared_limits(waits)
    if limits:
        waits = estimate(runs, tolerance, [each.spans for each in limits])
    return Findings(waits, limits)


def shared_limits(waits: Estimate) -> tuple[SharedLimit, ...]:
    """The limits that spans share, the one with most spans first."""
    handovers = list(_handovers(waits))
    groups = _Groups()
    for each in handovers:
        groups.join(each.before, each.after)
    by_group: dict[int, list[_Handover]] = defaultdict(list)
    for each in handovers:
        by_group[groups.top(each.before)].append(each)
    limits = [_limit(waits, some) for some in by_group.values()]
    return tuple(
        sorted([each for each in limits if each is not None], key=lambda each: -len(each.spans))
    )


def _handovers(waits: Estimate) -> Iterator[_Handover]:
    """The starts that nothing explains but the end of a span that need not have come before."""
    runs, tolerance = waits.runs, waits.tolerance_s
    for reason in waits.reasons:
        moment = reason.moment
        if moment.kind is not MomentKind.WORK:
            continue
        (span,) = moment.spans
        if not runs.is_known_again[span]:
            continue
        needs = {each.before for each in reason.waits_for}
        offset = moment.offset
        for run in range(len(moment.at)):
            if not moment.turn[run]:
                if offset[run] <= offset.min() + tolerance:
                    continue
                last = max((runs.end[run, each] for each in moment.earlier), default=-np.inf)
                if moment.at[run] - moment.late[run] - last <= reason.gap_s + 2 * tolerance:
                    continue
            if (before := _releaser(runs, run, span, tolerance, needs)) is not None:
                yield _Handover(run, before, span)


def _releaser(runs: Runs, run: int, span: int, tolerance: float, needs: "set[int]") -> int | None:
    """The span whose end let one start: of the same depth, and the last to end."""
    wait = runs.work[run, span] - runs.end[run]
    near = np.flatnonzero((wait >= -tolerance) & (wait <= tolerance))
    depth = len(runs.places[span])
    family = [
        int(each)
        for each in near
        if each != span
        and len(runs.places[each]) == depth
        and runs.is_known_again[each]
        and int(each) not in needs
    ]
    return min(family, key=lambda each: abs(wait[each]), default=None)


def _limit(waits: Estimate, handovers: Sequence[_Handover]) -> SharedLimit | None:
    """The limit of a group, without the spans that chance alone has brought into it."""
    some = list(handovers)
    while len(some) >= _FEWEST:
        limit = _limit_of_all(waits, some)
        if limit is not None:
            return limit
        times = Counter(span for each in some for span in (each.before, each.after))
        rarest = min(times, key=lambda span: (times[span], span))
        some = [each for each in some if rarest not in (each.before, each.after)]
    return None


def _limit_of_all(waits: Estimate, handovers: Sequence[_Handover]) -> SharedLimit | None:
    runs = waits.runs
    spans = sorted({each.before for each in handovers} | {each.after for each in handovers})
    tolerance = waits.tolerance_s
    most = Counter(_most_at_once(runs, run, spans, tolerance) for run in range(len(runs.start)))
    at_once = max(most)
    if len(spans) <= at_once:
        return None
    if not _change_places(handovers):
        return None
    full = [_running(runs, each, spans, tolerance) >= at_once - 1 for each in handovers]
    if sum(full) < _FULL_SHARE * len(full):
        return None
    return SharedLimit(tuple(spans), at_once, len(handovers))


def _change_places(handovers: Sequence[_Handover]) -> bool:
    """Whether most of those that took over did so from different spans in different runs.

    One that always follows the same span may wait for that one, and not for a slot.
    """
    before: dict[int, set[int]] = defaultdict(set)
    for each in handovers:
        before[each.after].add(each.before)
    return 2 * sum(len(each) > 1 for each in before.values()) >= len(before)


def _most_at_once(runs: Runs, run: int, spans: Sequence[int], tolerance: float) -> int:
    """How many of some spans worked at once, at most."""
    events = []
    for each in spans:
        begin, end = runs.work[run, each] + tolerance, runs.end[run, each] - tolerance
        if end > begin:
            events += [(begin, 1), (end, -1)]
    running = most = 0
    for _, step in sorted(events):
        running += step
        most = max(most, running)
    return most


def _running(runs: Runs, handover: _Handover, spans: Sequence[int], tolerance: float) -> int:
    """How many others of some spans worked when one took over from another."""
    at = runs.work[handover.run, handover.after]
    return sum(
        runs.work[handover.run, each] < at + tolerance
        and runs.end[handover.run, each] > at - tolerance
        for each in spans
        if each not in (handover.before, handover.after)
    )


class _Groups:
    """Spans that belong together because others say so of pairs."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def top(self, span: int) -> int:
        """The span that stands for a group."""
        while (above := self._above.get(span, span)) != span:
            span = above
        return span

    def join(self, one: int, other: int) -> None:
        """Put the groups of two spans together."""
        first, second = self.top(one), self.top(other)
        if first != second:
            self._above[second] = first

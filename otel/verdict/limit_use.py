"""How far declared limits were used, who waited for them, and who took much longer than others."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from statistics import median

import msgspec

from trading_graph.otel.trace import Span, SpanTable
from trading_graph.otel.trace.grants import Grant, grants_of, limits_of, uses
from trading_graph.otel.trace.intervals import Interval, merge, total_ns, without
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.vocabularies import finite, limits
from trading_graph.otel.vocabularies.limits import DeclaredLimit

SLICES = 20
"""The number of equal parts of the run for which the use is given."""

FEWEST = 5
"""Of fewer spans than these, none is called a straggler."""

DEVIATIONS = 3.0
"""A straggler takes longer than the median by more than so many standard deviations, which are
estimated from the median of the deviations."""

TIMES = 1.5
"""A straggler takes at least so many times the median."""

LEAST_NS = 1_000_000
"""Shorter waits are none."""

LEAST_SHARE = 0.01
"""Waits that fill less of the run than this are what it costs to hand something over."""

_TO_SIGMA = 1.4826
_FULL = 1 - 1e-9


class LimitUse(msgspec.Struct, frozen=True):
    """How far a declared limit was used; times in seconds.

    `average` and `peak` are of what was in use: under way at once, or within the window of a rate.
    `full_share` is the share of the run in which all of it was in use, and `waiting_share` that in
    which somebody waited for it. `used_while_waiting` is how much of it was in use then, None where
    next to nobody waited. `ramp_s` is the time until all of it was first in use, `tail_s` that
    after the last; None where it never was. `over_time` has the average use of each twentieth of
    the run. `grants` were given, of which `waited` had to wait: `wait_s` in all, `longest_wait_s`
    at most.
    """

    name: str
    capacity: float
    window_s: float
    unit: str
    amount: float
    average: float
    peak: float
    full_share: float
    waiting_share: float
    used_while_waiting: float | None
    ramp_s: float | None
    tail_s: float | None
    over_time: tuple[float, ...]
    grants: int
    waited: int
    wait_s: float
    longest_wait_s: float

    @property
    def is_rate(self) -> bool:
        """Whether it holds what begins within a time."""
        return self.window_s > 0

    @property
    def mean_wait_s(self) -> float:
        """The mean wait of those that waited; 0.0 where none did."""
        return self.wait_s / self.waited if self.waited else 0.0


class Straggler(msgspec.Struct, frozen=True):
    """A span that took much longer than others under the same limit, in seconds without its waits.

    `usual_s` is the median of all. `in_tail` says that it was under way when the limit was no
    longer fully in use, so that the run may have waited for it.
    """

    span: Span
    item: str
    own_s: float
    usual_s: float
    in_tail: bool


class LinkedUse(msgspec.Struct, frozen=True):
    """The sums that spans declare of the traces to which they link.

    `cost_usd` is that of the spans that say it, None without one; `without_cost` do not say it.
    """

    spans: int
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    without_cost: int


@once_per_trace
def limit_uses(trace: SpanTable, run: int) -> Sequence[LimitUse]:
    """The use of each limit that a run declares, in the order of declaration; cached by row."""
    grants = grants_of(trace, run)
    return [_use(trace, run, each, grants) for each in limits_of(trace, run).values()]


def _use(trace: SpanTable, run: int, limit: DeclaredLimit, grants: Sequence[Grant]) -> LimitUse:
    own = [each for each in grants if limit.name in each.amounts]
    held_up = [each for each in own if each.waited_for == limit.name and each.wait_ns >= LEAST_NS]
    start, end = trace.intervals[run]
    steps = Steps(uses(limit, own), start, end)
    waiting = _merged(((each.asked_ns, each.given_ns) for each in held_up), start, end)
    full = steps.at_least(limit.capacity * _FULL)
    length = max(end - start, 1)
    places = [
        (start + length * n // SLICES, start + length * (n + 1) // SLICES) for n in range(SLICES)
    ]
    return LimitUse(
        name=limit.name,
        capacity=limit.capacity,
        window_s=limit.window_s,
        unit=limit.unit,
        amount=sum(each.amounts[limit.name] + each.more.get(limit.name, 0.0) for each in own),
        average=steps.mean([(start, end)]),
        peak=steps.peak,
        full_share=total_ns(full) / length,
        waiting_share=total_ns(waiting) / length,
        used_while_waiting=steps.mean(waiting) / limit.capacity
        if total_ns(waiting) >= LEAST_SHARE * length
        else None,
        ramp_s=(full[0][0] - start) / 1e9 if full else None,
        tail_s=(end - full[-1][1]) / 1e9 if full else None,
        over_time=tuple(steps.mean([place]) for place in places),
        grants=len(own),
        waited=len(held_up),
        wait_s=sum(each.wait_ns for each in held_up) / 1e9,
        longest_wait_s=max([each.wait_ns for each in held_up], default=0) / 1e9,
    )


class Steps:
    """How much was in use at each time of a window: a step function."""

    def __init__(self, used: Iterable[tuple[Interval, float]], start: int, end: int) -> None:
        edges: list[tuple[int, float]] = []
        for (begin, stop), amount in used:
            begin, stop = max(begin, start), min(stop, end)
            if stop > begin:
                edges += [(begin, amount), (stop, -amount)]
        edges.sort()
        self._stretches: list[tuple[int, int, float]] = []
        at, level = start, 0.0
        for time, change in edges:
            if time > at:
                self._stretches.append((at, time, level))
                at = time
            level += change
        if end > at:
            self._stretches.append((at, end, 0.0))

    @property
    def peak(self) -> float:
        """The most that was in use."""
        return max((level for _, _, level in self._stretches), default=0.0)

    def at_least(self, amount: float) -> tuple[Interval, ...]:
        """When at least so much was in use."""
        return merge([(begin, end) for begin, end, level in self._stretches if level >= amount])

    def mean(self, places: Sequence[Interval]) -> float:
        """The mean in some disjoint places, in order of time; 0.0 where they have no length."""
        length = total_ns(places)
        if not length:
            return 0.0
        total, first = 0.0, 0
        for start, end in places:
            while first < len(self._stretches) and self._stretches[first][1] <= start:
                first += 1
            at = first
            while at < len(self._stretches) and self._stretches[at][0] < end:
                begin, stop, level = self._stretches[at]
                total += level * (min(stop, end) - max(begin, start))
                at += 1
        return total / length


@once_per_trace
def stragglers(trace: SpanTable, run: int) -> Sequence[Straggler]:
    """The spans that took much longer than others under one limit on what is under way at once.

    Their own time counts: without the waits for limits inside of them. Those that failed are left
    out. The longest come first; cached by row.
    """
    found = list[Straggler]()
    for limit in limits_of(trace, run).values():
        if limit.is_rate:
            continue
        grants = [each for each in grants_of(trace, run) if limit.name in each.amounts]
        rows = {each.row for each in grants if each.whole} - trace.failed
        idle = _idle_ns(trace, run, rows)
        own = {row: trace.lengths[row] - idle.get(row, 0) for row in sorted(rows)}
        if len(own) < FEWEST:
            continue
        usual = median(own.values())
        spread = median([abs(each - usual) for each in own.values()])
        least = max(usual + DEVIATIONS * _TO_SIGMA * spread, TIMES * usual)
        tail_start = _tail_start(trace, run, limit, grants)
        for row, own_ns in own.items():
            if own_ns > least:
                span = Span(trace, row)
                found.append(
                    Straggler(
                        span=span,
                        item=span.item or span.name,
                        own_s=own_ns / 1e9,
                        usual_s=usual / 1e9,
                        in_tail=trace.intervals[row][1] > tail_start,
                    )
                )
    return sorted(found, key=lambda each: -each.own_s)


def _idle_ns(trace: SpanTable, run: int, rows: Set[int]) -> Mapping[int, int]:
    """How long each of these spans waited for limits inside, and used nothing that it had waited
    for before.
    """
    waits: dict[int, list[Interval]] = defaultdict(list)
    holds: dict[int, list[Interval]] = defaultdict(list)
    for grant in grants_of(trace, run):
        holder = grant.row
        while holder >= 0 and holder not in rows:
            holder = trace.parents[holder]
        if holder >= 0 and not grant.whole:
            waits[holder].append((grant.asked_ns, grant.given_ns))
            holds[holder].append((grant.given_ns, grant.end_ns))
    return {
        row: total_ns(without(_merged(waits[row], *trace.intervals[row]), merge(holds[row])))
        for row in waits
    }


def _tail_start(trace: SpanTable, run: int, limit: DeclaredLimit, grants: Sequence[Grant]) -> int:
    """When a limit was fully in use for the last time; the run's start where it never was."""
    start, end = trace.intervals[run]
    full = Steps(uses(limit, grants), start, end).at_least(limit.capacity * _FULL)
    return full[-1][1] if full else start


def linked_use(trace: SpanTable, run: int) -> LinkedUse | None:
    """The sums of the linked traces of a run's spans; None where no span declares any."""
    if limits.LINKED_LLM_CALLS not in trace.keys:
        return None
    rows = [
        trace.attributes(row)
        for row in trace.tree_rows(run)
        if limits.LINKED_LLM_CALLS in trace.attributes(row)
    ]
    costs = [finite(each.get(limits.LINKED_COST_USD)) for each in rows]
    known = [cost for cost in costs if cost is not None]

    def total(key: str) -> int:
        return sum(int(finite(each.get(key)) or 0) for each in rows)

    return LinkedUse(
        spans=len(rows),
        llm_calls=total(limits.LINKED_LLM_CALLS),
        input_tokens=total(limits.LINKED_INPUT_TOKENS),
        output_tokens=total(limits.LINKED_OUTPUT_TOKENS),
        cost_usd=sum(known) if known else None,
        without_cost=len(costs) - len(known),
    )


def _merged(places: Iterable[Interval], start: int, end: int) -> tuple[Interval, ...]:
    """The disjoint places that cover the same between two times."""
    cut = [(max(begin, start), min(stop, end)) for begin, stop in places]
    return merge([each for each in cut if each[1] > each[0]])

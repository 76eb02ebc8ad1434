"""Evaluates the checks of a gate on a complete trace."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from trading_graph.otel.trace import Span, SpanTable, semconv, spans_at
from trading_graph.otel.trace.profile import serial_chain
from trading_graph.otel.trace.structure import later_visits
from trading_graph.otel.verdict import gate as g
from trading_graph.otel.verdict.causes import Cause
from trading_graph.otel.verdict.gate import SpanSet
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism
from trading_graph.otel.verdict.parallelism import reason as cause_in_words
from trading_graph.otel.verdict.resumed import PAID_AGAIN
from trading_graph.otel.vocabularies import Role, witness


class Scope:
    """The spans of a run in order of start; the selection of each named set is cached.

    `span_count` is the number of recorded spans, where the trace is a view with fewer.
    """

    def __init__(
        self, trace: SpanTable, run: int, sets: Mapping[str, SpanSet], span_count: int | None = None
    ) -> None:
        self.trace = trace
        self.run = run
        self.span_count = len(trace) if span_count is None else span_count
        self._sets = sets
        self._rows = trace.below(run)
        self._selections: dict[str, list[int]] = {}

    def select(self, spans: str | SpanSet) -> list[int]:
        """The rows of a set in order of start; `spans` is the set or its name."""
        if isinstance(spans, SpanSet):
            return spans.select(self.trace, self.run, self._rows)
        if spans not in self._selections:
            self._selections[spans] = self._sets[spans].select(self.trace, self.run, self._rows)
        return self._selections[spans]


_SHOWN = 5


class Outcome(StrEnum):
    """The outcome of a check."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True, repr=False)
class CheckResult:
    """What was measured against which limit, how strong the proof is, and which spans show it.

    `reason` says in words what the strength rests on or lacks. `cause` is set where the check is
    about parallel spans. `spans` show a failure, and `advice` says what to do about it.
    """

    id: str
    title: str
    outcome: Outcome
    measured: str
    limit: str = ""
    strength: Strength | None = None
    reason: str = ""
    cause: Cause | None = None
    spans: Sequence[Span] = ()
    advice: str = ""

    @property
    def grade(self) -> str:
        """Strength and reason in one text; empty where there is neither."""
        return ": ".join(each for each in (self.strength, self.reason) if each)

    def __repr__(self) -> str:
        return f"<CheckResult {self.id!r} {self.outcome}: {self.measured}>"


def evaluate(scope: Scope, check: g.AnyCheck) -> CheckResult:
    """Evaluate one check on the spans of a run."""
    rows = scope.select(check.set)
    if not rows and not isinstance(check, g.Count | g.Complete):
        return _not_applicable(check, f"no span is in the set {check.set}")
    on = _Evaluation(scope, check, rows)
    match check:
        case g.StartsWithin():
            return _starts_within(on, check)
        case g.Overlap():
            return _overlap(on, check)
        case g.LeafParallelism():
            return _leaf_parallelism(on, check)
        case g.Duration():
            return _duration(on, check)
        case g.MaxGap():
            return _max_gap(on, check)
        case g.Before():
            return _before(on, check)
        case g.NoDuplicates():
            return _no_duplicates(on, check)
        case g.Count():
            return _count(on, check)
        case g.NoErrors():
            return _no_errors(on)
        case g.Chain():
            return _chain(on, check)
        case g.LoopLag():
            return _loop_lag(on, check)
        case g.Complete():
            return _complete(on)
        case _:
            assert_never(check)


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """A check under evaluation, with the rows of its set."""

    scope: Scope
    check: g.AnyCheck
    rows: list[int]

    @property
    def trace(self) -> SpanTable:
        return self.scope.trace

    @property
    def run(self) -> int:
        return self.scope.run

    def select(self, spans: str | g.SpanSet) -> list[int]:
        """The rows of another set that the check names."""
        return self.scope.select(spans)

    def result(
        self,
        holds: bool,
        measurement: str,
        limit: str,
        judgement: Parallelism | None = None,
        reason: str = "",
        spans: Sequence[int] = (),
        advice: str = "",
    ) -> CheckResult:
        """The result of the check; spans and advice are given for failures only.

        A check that holds is proven, unless a judgement or a reason says otherwise.
        """
        proven = Strength.PROVEN if holds and not reason else None
        return CheckResult(
            id=self.check.id,
            title=self.check.title,
            outcome=Outcome.PASS if holds else Outcome.FAIL,
            measured=measurement,
            limit=limit,
            strength=judgement.strength if judgement else proven,
            reason=cause_in_words(judgement) if judgement else reason,
            cause=judgement.cause if judgement else None,
            spans=() if holds else spans_at(self.trace, spans),
            advice="" if holds else advice,
        )


def _not_applicable(
    check: g.AnyCheck, reason: str, judgement: Parallelism | None = None
) -> CheckResult:
    return CheckResult(
        check.id,
        check.title,
        Outcome.NOT_APPLICABLE,
        reason,
        strength=Strength.NOT_APPLICABLE,
        cause=judgement.cause if judgement else None,
    )


def _seconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e9:.3f} s"


def _starts_within(on: _Evaluation, check: g.StartsWithin) -> CheckResult:
    before = on.select(check.after)
    if not before:
        return _not_applicable(check, f"no span is in the set {check.after}")
    last_end = max(int(on.trace.end[row]) for row in before)
    limit = check.limit_s * 1e9
    # A node that LangGraph visits again starts late on purpose.
    again = later_visits(on.trace)
    rows = [row for row in on.rows if row not in again] or on.rows
    skews = {row: int(on.trace.start[row]) - last_end for row in rows}
    late = [row for row, skew in skews.items() if skew > limit]
    early = [row for row, skew in skews.items() if skew < 0]
    return on.result(
        not late and not early,
        f"the last after {_seconds(max(skews.values()))}",
        f"{check.limit_s:g} s",
        spans=late or early,
        advice="Send all branches from the dispatcher at once; "
        "see what held back those that are listed.",
    )


def _overlap(on: _Evaluation, check: g.Overlap) -> CheckResult:
    judgement = parallelism(on.trace, on.rows)
    if judgement.strength is Strength.NOT_APPLICABLE:
        return _not_applicable(check, cause_in_words(judgement), judgement)
    group = judgement.group
    wrapper, work = group.wrapper_overlap or 0.0, group.work_overlap or 0.0
    enough = min(wrapper, work) >= check.at_least
    return on.result(
        enough and _stands(judgement),
        f"spans {wrapper:.0%}, work below them {work:.0%}; "
        f"{group.wrappers.average:.1f} at once on average",
        f"{check.at_least:.0%} each",
        judgement,
        spans=group.rows,
        advice=judgement.advice,
    )


def _stands(judgement: Parallelism) -> bool:
    return judgement.strength in (Strength.PROVEN, Strength.OVERLAPPING)


def _leaf_parallelism(on: _Evaluation, check: g.LeafParallelism) -> CheckResult:
    columns: list[list[Any]] = [
        on.trace.parent[on.rows].tolist()
        if name == "parent"
        else [repr(values[row]) for values in [on.trace.values(name)] for row in on.rows]
        for name in check.group_by
    ]
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row, *key in zip(on.rows, *columns, strict=True):
        groups[tuple(key)].append(row)
    judgements = [parallelism(on.trace, rows) for rows in groups.values()]
    applicable = [each for each in judgements if each.strength is not Strength.NOT_APPLICABLE]
    if not applicable:
        return _not_applicable(check, "no group has two spans that did work of their own")
    others = len(judgements) - len(applicable)
    bad = [each for each in applicable if not _stands(each)]
    weakest = min(applicable, key=lambda each: _RANK[each.strength])
    return on.result(
        not bad,
        f"{len(applicable) - len(bad)} of {len(applicable)} groups at once"
        + (f", {others} not applicable" if others else ""),
        "every group",
        weakest,
        spans=[row for each in bad for row in each.group.rows],
        advice=weakest.advice,
    )


_RANK = {Strength.SERIAL: 0, Strength.SUSPICIOUS: 1, Strength.OVERLAPPING: 2, Strength.PROVEN: 3}


def _duration(on: _Evaluation, check: g.Duration) -> CheckResult:
    limit = check.limit_s * 1e9
    long = [row for row in on.rows if on.trace.duration[row] > limit]
    longest = max(int(on.trace.duration[row]) for row in on.rows)
    measurement, reason = _seconds(longest), ""
    attributes = on.trace.attributes(on.run)
    call_s = on.trace.number(on.run, semconv.LATENCY_CHAT_S)
    holds = not long
    if semconv.LATENCY_SIMULATED not in attributes:
        reason = "as recorded: whether latencies were simulated was not recorded"
    if attributes.get(semconv.LATENCY_SIMULATED):
        reason = "simulated"
        if call_s is not None and check.project_call_s is not None:
            calls = [row for row in on.trace.below(on.run) if on.trace.roles[row] is Role.LLM]
            chain = len(serial_chain(on.trace, calls))
            projection_ns = longest + chain * (check.project_call_s - call_s) * 1e9
            holds = holds and projection_ns <= limit
            measurement += (
                f" simulated; at {check.project_call_s:g} s a call this run takes "
                f"{projection_ns / 1e9:.0f} s"
            )
    return on.result(
        holds,
        measurement,
        f"{check.limit_s:g} s",
        reason=reason,
        spans=long or on.rows[:1],
        advice="Shorten the serial chain of LLM calls: that is where the time goes.",
    )


def _chain(on: _Evaluation, check: g.Chain) -> CheckResult:
    limit = check.limit
    if check.limit_from is not None:
        chain_length = on.trace.number(on.run, check.limit_from)
        limit = None if chain_length is None else int(chain_length)
    if limit is None:
        return _not_applicable(check, "the run declares no expected chain")
    chain = serial_chain(on.trace, on.rows)
    # What a killed process had begun is repeated when other branches are long done with theirs.
    again = [row for row in on.rows if on.trace.attributes(row).get(PAID_AGAIN)]
    allowance = limit + len(serial_chain(on.trace, again))
    return on.result(
        len(chain) <= allowance,
        f"{len(chain)} in series of {len(on.rows)} calls",
        str(limit) if allowance == limit else f"{limit}, and {allowance - limit} begun anew",
        spans=chain,
        advice="Dispatch branches at once, or save a turn.",
    )


def _loop_lag(on: _Evaluation, check: g.LoopLag) -> CheckResult:
    lags = on.trace.column_of(witness.loop_lag_ms)
    lags_ms = {row: lag for row in on.rows if (lag := lags[row]) is not None}
    if not lags_ms:
        return _not_applicable(check, "no event-loop lag was recorded")
    worst = max(lags_ms.values())
    guilty = [row for row, lag in lags_ms.items() if lag > check.limit_ms]
    if guilty:
        guilty = _where_blocked(on.trace, guilty[0], check.limit_ms)
    return on.result(
        not guilty,
        f"at most {worst:.0f} ms",
        f"{check.limit_ms:g} ms",
        spans=guilty,
        advice="Find the call that blocks (a synchronous client, CPU work) in the listed spans.",
    )


def _where_blocked(trace: SpanTable, row: int, limit_ms: float) -> list[int]:
    """The deepest spans during which the loop was blocked for longer than the limit."""
    deepest = []
    for each in trace.subtree(row):
        below = trace.children(each)
        if _lag(trace, each) > limit_ms and not any(_lag(trace, c) > limit_ms for c in below):
            deepest.append(each)
    return deepest or [row]


def _lag(trace: SpanTable, row: int) -> float:
    return trace.column_of(witness.loop_lag_ms)[row] or 0.0


def _no_duplicates(on: _Evaluation, check: g.NoDuplicates) -> CheckResult:
    by_key: dict[str, list[int]] = defaultdict(list)
    keys = on.trace.values(check.key)
    for row in on.rows:
        if (key := keys[row]) is not None:
            by_key[repr(key)].append(row)  # the attribute may be a list, which cannot be a key
    if not by_key:
        return _not_applicable(check, f"no span has {check.key}")
    again = [row for rows in by_key.values() if len(rows) > 1 for row in rows]
    extra = sum(len(rows) - 1 for rows in by_key.values())
    return on.result(
        not again,
        f"{extra} of {len(on.rows)} fetched again",
        "0",
        spans=again,
        advice="Cache the result, or let those who ask at the same time share one request.",
    )


def _no_errors(on: _Evaluation) -> CheckResult:
    failures = [row for row in on.rows if row in on.trace.failed]
    retries = [row for row in on.rows if row in on.trace.retried]
    kinds = sorted(
        {str(on.trace.attributes(row).get(semconv.ERROR_TYPE, "error")) for row in failures}
    )
    measurement = f"{len(failures)} failed" + (f" ({', '.join(kinds)})" if kinds else "")
    if budget := on.trace.attributes(on.run).get(semconv.BUDGET_REACHED):
        measurement += f", the run's budget of {budget} reached"
    holds = not failures and not retries
    if holds and not all(map(on.trace.keeps_events, on.rows)):
        return _not_applicable(on.check, "nothing failed, and no retry was or would be recorded")
    return on.result(
        holds,
        f"{measurement}, {len(retries)} retried",
        "none",
        spans=[*failures, *retries],
        advice="Read the errors of the listed spans; a decision, if made, says what is missing.",
    )


def _max_gap(on: _Evaluation, check: g.MaxGap) -> CheckResult:
    last_end, widest = int(on.trace.end[on.rows[0]]), 0
    around: tuple[int, ...] = (on.rows[0],)
    before = on.rows[0]
    for row in on.rows[1:]:
        gap = int(on.trace.start[row]) - last_end
        if gap > widest:
            widest, around = gap, (before, row)
        if on.trace.end[row] > last_end:
            last_end, before = int(on.trace.end[row]), row
    return on.result(
        widest <= check.limit_s * 1e9,
        _seconds(widest),
        f"{check.limit_s:g} s",
        spans=around,
        advice="Find what the program did between the listed spans.",
    )


def _before(on: _Evaluation, check: g.Before) -> CheckResult:
    others = on.select(check.other)
    if not others:
        return _not_applicable(check, f"no span is in the set {check.other}")
    first = min(int(on.trace.start[row]) for row in others)
    late = [row for row in on.rows if on.trace.end[row] > first]
    last = max(int(on.trace.end[row]) for row in on.rows)
    return on.result(
        not late,
        f"the last ends {_seconds(abs(first - last))} {'after' if late else 'before'} "
        "the first of the others starts",
        "before",
        spans=late,
        advice="Wait for these before the others start.",
    )


def _count(on: _Evaluation, check: g.Count) -> CheckResult:
    most = check.at_most
    number = len(on.rows)
    return on.result(
        number >= check.at_least and (most is None or number <= most),
        str(number),
        f"{check.at_least} to {'any number' if most is None else most}",
        spans=on.rows[:_SHOWN],
        advice="See which of these should not be there, or which is missing.",
    )


def _complete(on: _Evaluation) -> CheckResult:
    total = witness.value(on.trace.attributes(on.run), witness.SPANS_STARTED)
    exact = total is not None
    return on.result(
        True,
        f"{on.scope.span_count} spans" + (f" of {total} declared" if exact else ""),
        "complete",
        reason="" if exact else "root and no orphan; no span count was declared",
    )

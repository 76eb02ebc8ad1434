"""Evaluating the checks of a gate on a complete trace."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from trading_graph.otel.trace import Span, SpanTable, semconv, spans_at
from trading_graph.otel.trace.kinds import Role
from trading_graph.otel.trace.profile import serial_chain
from trading_graph.otel.verdict import gate as g
from trading_graph.otel.verdict.causes import Cause
from trading_graph.otel.verdict.gate import SpanSet
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism
from trading_graph.otel.verdict.parallelism import reason as cause_in_words
from trading_graph.otel.verdict.resumed import PAID_AGAIN


class Scope:
    """A run's spans in order of start; each set is picked once, however many checks name it.

    `recorded` is how many spans the trace came with, where that is more than is looked at.
    """

    def __init__(
        self, trace: SpanTable, run: int, sets: Mapping[str, SpanSet], recorded: int | None = None
    ) -> None:
        self.trace = trace
        self.run = run
        self.recorded = len(trace) if recorded is None else recorded
        self._sets = sets
        self._rows = trace.below(run)
        self._selected: dict[str, list[int]] = {}

    def select(self, spans: str | SpanSet) -> list[int]:
        """The rows of a set, given itself or by name, in order of start."""
        if isinstance(spans, SpanSet):
            return spans.select(self.trace, self.run, self._rows)
        if spans not in self._selected:
            self._selected[spans] = self._sets[spans].select(self.trace, self.run, self._rows)
        return self._selected[spans]


_SHOWN = 5


class Outcome(StrEnum):
    """How a check ended."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True, repr=False)
class CheckResult:
    """A check's outcome: what was measured against which limit, how strong that is, and where.

    `reason` says in words what the strength rests on or lacks, and `cause` names it where the check
    is about spans at once. `spans` show a failure, and `advice` says what to do about it.
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
    """A check being evaluated on the rows of its set."""

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
        measured: str,
        limit: str,
        judged: Parallelism | None = None,
        reason: str = "",
        spans: Sequence[int] = (),
        advice: str = "",
    ) -> CheckResult:
        """The check's result; spans and advice belong to failures.

        What holds is proven where neither a judged group nor a reason says otherwise.
        """
        proven = Strength.PROVEN if holds and not reason else None
        return CheckResult(
            id=self.check.id,
            title=self.check.title,
            outcome=Outcome.PASS if holds else Outcome.FAIL,
            measured=measured,
            limit=limit,
            strength=judged.strength if judged else proven,
            reason=cause_in_words(judged) if judged else reason,
            cause=judged.cause if judged else None,
            spans=() if holds else spans_at(self.trace, spans),
            advice="" if holds else advice,
        )


def _not_applicable(
    check: g.AnyCheck, reason: str, judged: Parallelism | None = None
) -> CheckResult:
    return CheckResult(
        check.id,
        check.title,
        Outcome.NOT_APPLICABLE,
        reason,
        strength=Strength.NOT_APPLICABLE,
        cause=judged.cause if judged else None,
    )


def _seconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e9:.3f} s"


def _starts_within(on: _Evaluation, check: g.StartsWithin) -> CheckResult:
    before = on.select(check.after)
    if not before:
        return _not_applicable(check, f"no span is in the set {check.after}")
    released = max(int(on.trace.end[row]) for row in before)
    limit = check.limit_s * 1e9
    skews = {row: int(on.trace.start[row]) - released for row in on.rows}
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
    judged = parallelism(on.trace, on.rows)
    if judged.strength is Strength.NOT_APPLICABLE:
        return _not_applicable(check, cause_in_words(judged), judged)
    group = judged.group
    wrapper, work = group.wrapper_overlap or 0.0, group.work_overlap or 0.0
    enough = min(wrapper, work) >= check.at_least
    return on.result(
        enough and _stands(judged),
        f"spans {wrapper:.0%}, work below them {work:.0%}; "
        f"{group.wrappers.average:.1f} at once on average",
        f"{check.at_least:.0%} each",
        judged,
        spans=group.rows,
        advice=judged.advice,
    )


def _stands(judged: Parallelism) -> bool:
    return judged.strength in (Strength.PROVEN, Strength.OVERLAPPING)


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
    judged = [parallelism(on.trace, rows) for rows in groups.values()]
    counted = [each for each in judged if each.strength is not Strength.NOT_APPLICABLE]
    if not counted:
        return _not_applicable(check, "no group has two spans that did work of their own")
    bad = [each for each in counted if not _stands(each)]
    weakest = min(counted, key=lambda each: _RANK[each.strength])
    return on.result(
        not bad,
        f"{len(counted) - len(bad)} of {len(counted)} groups at once"
        + (f", {len(judged) - len(counted)} not applicable" if len(judged) > len(counted) else ""),
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
    measured, reason = _seconds(longest), ""
    found = on.trace.attributes(on.run)
    call_s = on.trace.number(on.run, semconv.LATENCY_CHAT_S)
    holds = not long
    if semconv.LATENCY_SIMULATED not in found:
        reason = "as recorded: whether latencies were simulated was not recorded"
    if found.get(semconv.LATENCY_SIMULATED):
        reason = "simulated"
        if call_s is not None and check.project_call_s is not None:
            calls = [row for row in on.trace.below(on.run) if on.trace.roles[row] is Role.LLM]
            chain = len(serial_chain(on.trace, calls))
            projected = longest + chain * (check.project_call_s - call_s) * 1e9
            holds = holds and projected <= limit
            measured += (
                f" simulated; at {check.project_call_s:g} s a call this run takes "
                f"{projected / 1e9:.0f} s"
            )
    return on.result(
        holds,
        measured,
        f"{check.limit_s:g} s",
        reason=reason,
        spans=long or on.rows[:1],
        advice="Shorten the serial chain of LLM calls: that is where the time goes.",
    )


def _chain(on: _Evaluation, check: g.Chain) -> CheckResult:
    limit = check.limit
    if check.limit_from is not None:
        declared = on.trace.number(on.run, check.limit_from)
        limit = None if declared is None else int(declared)
    if limit is None:
        return _not_applicable(check, "the run declares no expected chain")
    chain = serial_chain(on.trace, on.rows)
    # What a killed process had begun is done again while others have long been done with theirs.
    again = [row for row in on.rows if on.trace.attributes(row).get(PAID_AGAIN)]
    allowed = limit + len(serial_chain(on.trace, again))
    return on.result(
        len(chain) <= allowed,
        f"{len(chain)} in series of {len(on.rows)} calls",
        str(limit) if allowed == limit else f"{limit}, and {allowed - limit} begun anew",
        spans=chain,
        advice="Dispatch branches at once, or save a turn.",
    )


def _loop_lag(on: _Evaluation, check: g.LoopLag) -> CheckResult:
    lags = {row: on.trace.number(row, semconv.LOOP_LAG_MAX_MS) for row in on.rows}
    known = {row: lag for row, lag in lags.items() if lag is not None}
    if not known:
        return _not_applicable(check, "no event-loop lag was recorded")
    worst = max(known.values())
    guilty = [row for row, lag in known.items() if lag > check.limit_ms]
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
    """The deepest spans during which the loop was blocked past the limit."""
    deepest = []
    for each in trace.subtree(row):
        below = trace.children(each)
        if _lag(trace, each) > limit_ms and not any(_lag(trace, c) > limit_ms for c in below):
            deepest.append(each)
    return deepest or [row]


def _lag(trace: SpanTable, row: int) -> float:
    return trace.number(row, semconv.LOOP_LAG_MAX_MS) or 0.0


def _no_duplicates(on: _Evaluation, check: g.NoDuplicates) -> CheckResult:
    by_key: dict[str, list[int]] = defaultdict(list)
    keys = on.trace.values(check.key)
    for row in on.rows:
        if (key := keys[row]) is not None:
            by_key[repr(key)].append(row)  # a list is no key
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
    failed = [row for row in on.rows if row in on.trace.failed]
    retried = [row for row in on.rows if row in on.trace.retried]
    kinds = sorted(
        {str(on.trace.attributes(row).get(semconv.ERROR_TYPE, "error")) for row in failed}
    )
    measured = f"{len(failed)} failed" + (f" ({', '.join(kinds)})" if kinds else "")
    if reached := on.trace.attributes(on.run).get(semconv.BUDGET_REACHED):
        measured += f", the run's budget of {reached} reached"
    holds = not failed and not retried
    if holds and not all(map(on.trace.keeps_events, on.rows)):
        return _not_applicable(on.check, "nothing failed, and no retry was or would be recorded")
    return on.result(
        holds,
        f"{measured}, {len(retried)} retried",
        "none",
        spans=[*failed, *retried],
        advice="Read the errors of the listed spans; a decision, if made, says what is missing.",
    )


def _max_gap(on: _Evaluation, check: g.MaxGap) -> CheckResult:
    reached, widest = int(on.trace.end[on.rows[0]]), 0
    around: tuple[int, ...] = (on.rows[0],)
    before = on.rows[0]
    for row in on.rows[1:]:
        gap = int(on.trace.start[row]) - reached
        if gap > widest:
            widest, around = gap, (before, row)
        if on.trace.end[row] > reached:
            reached, before = int(on.trace.end[row]), row
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
    declared = on.trace.attributes(on.run).get(semconv.SPANS_STARTED)
    exact = declared is not None
    return on.result(
        True,
        f"{on.scope.recorded} spans" + (f" of {declared} declared" if exact else ""),
        "complete",
        reason="" if exact else "root and no orphan; no span count was declared",
    )

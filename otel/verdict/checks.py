"""Evaluates the checks of a gate on a complete trace."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate
from typing import Any, assert_never

from trading_graph.otel.trace import Evidence, Span, SpanTable, semconv, spans_at
from trading_graph.otel.trace.profile import serial_chain
from trading_graph.otel.trace.structure import (
    SeenRun,
    Shape,
    are_independent,
    calls,
    plural,
    requests,
    siblings,
    turns,
)
from trading_graph.otel.verdict import gate as g
from trading_graph.otel.verdict.causes import Cause
from trading_graph.otel.verdict.gate import SpanSet
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism
from trading_graph.otel.verdict.parallelism import reason as cause_in_words
from trading_graph.otel.verdict.resumed import PAID_AGAIN
from trading_graph.otel.vocabularies import witness


class Scope:
    """The spans of a run in order of start; the selection of each named set is cached.

    `span_count` is the number of recorded spans, where the trace is a view with fewer. `seen` are
    more runs of the program.
    """

    def __init__(
        self,
        trace: SpanTable,
        run: int,
        sets: Mapping[str, SpanSet],
        span_count: int | None = None,
        seen: Sequence[SeenRun] = (),
    ) -> None:
        self.trace = trace
        self.run = run
        self.span_count = len(trace) if span_count is None else span_count
        self.seen = seen
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

    `reason` says in words what the strength rests on or lacks. `causes` are set where the check is
    about parallel spans. `spans` show a failure, and `advice` says what to do about it.
    """

    id: str
    title: str
    outcome: Outcome
    measured: str
    limit: str = ""
    strength: Strength | None = None
    reason: str = ""
    causes: tuple[Cause, ...] = ()
    spans: Sequence[Span] = ()
    advice: str = ""
    evidence: Evidence | None = None
    notes: tuple[str, ...] = ()

    @property
    def grade(self) -> str:
        """Strength and reason in one text; empty where there is neither."""
        return ": ".join(each for each in (self.strength, self.reason) if each)

    def __repr__(self) -> str:
        return f"<CheckResult {self.id!r} {self.outcome}: {self.measured}>"


def evaluate(scope: Scope, check: g.AnyCheck) -> CheckResult:
    """Evaluate one check on the spans of a run; `strength` of the check may ask for a proof."""
    result = _evaluate(scope, check)
    if check.strength and result.outcome is Outcome.PASS and result.strength != check.strength:
        limit = ", ".join(each for each in (result.limit, check.strength) if each)
        return replace(result, outcome=Outcome.FAIL, limit=limit, advice=NOT_PROVEN)
    return result


NOT_PROVEN = "Record and declare what the proof lacks; docs/proven.md says how."


def _evaluate(scope: Scope, check: g.AnyCheck) -> CheckResult:
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
        case g.EndsWithin():
            return _ends_within(on, check)
        case g.Ordered():
            return _ordered(on)
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

    def saw_apart(self, rows: Sequence[int]) -> bool:
        """Whether another run shows that these spans do not need each other."""
        here = SeenRun(self.trace, self.run)
        return bool(self.scope.seen) and are_independent(self.scope.seen, here, rows)

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
        evidence: Evidence | None = Evidence.RECORDED,
        notes: Sequence[str] = (),
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
            causes=judgement.causes if judgement else (),
            spans=() if holds else spans_at(self.trace, spans),
            advice="" if holds else advice,
            evidence=evidence,
            notes=tuple(notes),
        )


def _not_applicable(
    check: g.AnyCheck,
    reason: str,
    judgement: Parallelism | None = None,
    notes: Sequence[str] = (),
) -> CheckResult:
    return CheckResult(
        check.id,
        check.title,
        Outcome.NOT_APPLICABLE,
        reason,
        strength=Strength.NOT_APPLICABLE,
        causes=judgement.causes if judgement else (),
        notes=tuple(notes),
    )


def _seconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e9:.3f} s"


def _starts_within(on: _Evaluation, check: g.StartsWithin) -> CheckResult:
    before = on.select(check.after)
    if not before:
        return _not_applicable(check, f"no span is in the set {check.after}")
    last_end = max(int(on.trace.end[row]) for row in before)
    limit = check.limit_s * 1e9
    # A branch that is a node is visited again after its tools; only its first visit can be late.
    skews = {row: int(on.trace.start[row]) - last_end for row in _first_visits(on.trace, on.rows)}
    late = [row for row, skew in skews.items() if skew > limit]
    early = [row for row, skew in skews.items() if skew < 0]
    if early:
        measurement = f"{len(early)} began before the last span of {check.after} had ended"
        return on.result(
            False,
            measurement,
            f"after it, within {check.limit_s:g} s",
            spans=early,
            advice="Wait for these to end first, or ask for ends_within or overlap.",
        )
    return on.result(
        not late,
        f"the last after {_seconds(max(skews.values()))}",
        f"{check.limit_s:g} s",
        spans=late,
        advice="Send all branches from the dispatcher at once; "
        "see what held back those that are listed.",
    )


def _first_visits(trace: SpanTable, rows: Sequence[int]) -> list[int]:
    """The first span of each name below each parent; the rows are in order of start."""
    first: dict[tuple[int, str], int] = {}
    for row in rows:
        first.setdefault((trace.parents[row], trace.names[row]), row)
    return list(first.values())


def _ends_within(on: _Evaluation, check: g.EndsWithin) -> CheckResult:
    others = on.select(check.after)
    if not others:
        return _not_applicable(check, f"no span is in the set {check.after}")
    last_start = max(on.trace.intervals[row][0] for row in others)
    delays = {row: on.trace.intervals[row][1] - last_start for row in on.rows}
    late = [row for row, delay in delays.items() if delay > check.limit_s * 1e9]
    longest = max(delays.values())
    return on.result(
        not late,
        f"the last ends {_seconds(abs(longest))} {'after' if longest >= 0 else 'before'} the last "
        f"start of {check.after}",
        f"{check.limit_s:g} s",
        spans=late,
        advice="See what held back those that are listed.",
    )


def _ordered(on: _Evaluation) -> CheckResult:
    ends = accumulate((on.trace.intervals[row][1] for row in on.rows), max)
    early = [
        row for end, row in zip(ends, on.rows[1:], strict=False) if on.trace.intervals[row][0] < end
    ]
    return on.result(
        not early,
        f"{len(early)} of {len(on.rows)} start before those before them have ended",
        "none",
        spans=early,
        advice="Wait for each before the next starts.",
    )


def _overlap(on: _Evaluation, check: g.Overlap) -> CheckResult:
    judgement = parallelism(on.trace, on.rows)
    if judgement.strength is Strength.NOT_APPLICABLE:
        return _not_applicable(check, cause_in_words(judgement), judgement)
    group = judgement.group
    wrapper, work = group.wrapper_overlap or 0.0, group.work_overlap or 0.0
    enough = min(wrapper, work) >= check.at_least
    return on.result(
        enough and judgement.stands,
        f"spans {wrapper:.0%}, work below them {work:.0%}; "
        f"{group.wrappers.average:.1f} at once on average",
        f"{check.at_least:.0%} each",
        judgement,
        spans=group.rows,
        advice=judgement.advice,
    )


@dataclass(frozen=True, slots=True)
class _Members:
    """A group of spans that a check judges; `is_due` says that they had to run at once."""

    rows: tuple[int, ...]
    evidence: Evidence
    is_due: bool = True


def _leaf_parallelism(on: _Evaluation, check: g.LeafParallelism) -> CheckResult:
    groups = _groups(on, check)
    judgements = [(each, parallelism(on.trace, each.rows)) for each in groups]
    applicable = [pair for pair in judgements if pair[1].strength is not Strength.NOT_APPLICABLE]
    bad = [each for members, each in applicable if members.is_due and not each.stands]
    judged = [pair for pair in applicable if pair[0].is_due or pair[1].stands]
    notes = [
        _note(on.trace, members, each)
        for members, each in applicable
        if not members.is_due and not each.stands
    ]
    if check.structure == g.FAN_OUT:
        notes += _row_notes(on)
    if not judged:
        return _not_applicable(check, _nothing_to_judge(on, check), notes=notes[:_SHOWN])
    others = len(judgements) - len(judged)
    members, weakest = min(judged, key=lambda pair: _RANK[pair[1].strength])
    return on.result(
        not bad,
        f"{len(judged) - len(bad)} of {len(judged)} groups at once"
        + (f", {others} not applicable" if others else ""),
        "every group",
        weakest,
        spans=[row for each in bad for row in each.group.rows],
        advice=weakest.advice,
        evidence=members.evidence if weakest.cause else Evidence.RECORDED,
        notes=notes[:_SHOWN],
    )


ONE_TOOL = "each turn asks for one tool"


def _nothing_to_judge(on: _Evaluation, check: g.LeafParallelism) -> str:
    """Why no group could be judged."""
    found = turns(on.trace, on.run) if check.structure == g.TURN else ()
    if found and all(len(turn.tools) < 2 for turn in found):
        return ONE_TOOL
    if check.structure == g.FAN_OUT:
        return "nothing was released together"
    return "no group has two spans that did work of their own"


def _note(trace: SpanTable, members: _Members, judgement: Parallelism) -> str:
    """A sentence about a group that need not have run at once, as far as is known."""
    names = _names(trace, members.rows)
    if judgement.at_once:
        return f"{len(members.rows)} spans ({names}): {cause_in_words(judgement)}."
    return (
        f"{len(members.rows)} spans ({names}) ran one after the other; their place alone says that "
        f"they belong to one turn: {cause_in_words(judgement)}."
    )


def _row_notes(on: _Evaluation) -> list[str]:
    """A sentence for each row of siblings of which nothing says whether they need each other."""
    trace, within = on.trace, frozenset(on.rows)
    rows = [row for row in siblings(trace, on.run).rows if within.issuperset(row.spans)]
    rows.sort(key=lambda row: -sum(map(trace.length, row.spans)))
    return [
        f"{len(row.branches)} {plural(row.role)} ({_names(trace, [b[0] for b in row.branches])}) "
        "ran one after the other; nothing says whether they need each other."
        for row in rows
        if not on.saw_apart([branch[0] for branch in row.branches])
    ]


def _names(trace: SpanTable, rows: Sequence[int]) -> str:
    names = list(dict.fromkeys(trace.names[row] for row in rows))
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _groups(on: _Evaluation, check: g.LeafParallelism) -> Iterable[_Members]:
    """The groups of a check: by structure, or else by parents and attributes."""
    inside = frozenset(on.rows)
    if check.structure == g.TURN:
        for turn in turns(on.trace, on.run):
            rows = tuple(row for row in turn.tools if row in inside)
            evidence = turn.evidence
            if not evidence.proves and on.saw_apart(rows):
                evidence = Evidence.SEEN
            yield _Members(rows, evidence, evidence.proves)
        return
    if check.structure == g.FAN_OUT:
        for each in siblings(on.trace, on.run).fan_outs:
            rows = tuple(row for row in each.branches if row in inside)
            is_due = each.evidence.proves or each.shape is Shape.TOGETHER
            yield _Members(rows, each.evidence, is_due)
        for row in siblings(on.trace, on.run).rows:
            first_spans = tuple(branch[0] for branch in row.branches)
            if inside.issuperset(first_spans) and on.saw_apart(first_spans):
                yield _Members(first_spans, Evidence.SEEN)
        return
    columns: list[list[Any]] = [
        on.trace.parent[on.rows].tolist()
        if name == "parent"
        else [repr(values[row]) for values in [on.trace.values(name)] for row in on.rows]
        for name in check.group_by
    ]
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row, *key in zip(on.rows, *columns, strict=True):
        groups[tuple(key)].append(row)
    for members in groups.values():
        yield _Members(tuple(members), Evidence.DECLARED)


_RANK = {Strength.SERIAL: 0, Strength.SUSPICIOUS: 1, Strength.OVERLAPPING: 2, Strength.PROVEN: 3}


def _duration(on: _Evaluation, check: g.Duration) -> CheckResult:
    limit = check.limit_s * 1e9
    long = [row for row in on.rows if on.trace.duration[row] > limit]
    longest = max(int(on.trace.duration[row]) for row in on.rows)
    measurement, reason = _seconds(longest), ""
    attributes = on.trace.attributes(on.run)
    call_s = on.trace.number(on.run, semconv.LATENCY_CHAT_S)
    holds = not long
    if attributes.get(semconv.LATENCY_SIMULATED):
        reason = "simulated"
        if call_s is not None and check.project_call_s is not None:
            chain = len(serial_chain(on.trace, calls(on.trace, on.run).llm))
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
    keys = requests(on.trace, on.rows) if check.key == g.REQUEST else on.trace.values(check.key)
    for row in on.rows:
        if (key := keys[row]) is not None:
            by_key[repr(key)].append(row)  # the attribute may be a list, which cannot be a key
    if not by_key:
        what = "says what it asks for" if check.key == g.REQUEST else f"has {check.key}"
        return _not_applicable(check, f"no span {what}")
    again = [row for rows in by_key.values() if len(rows) > 1 for row in rows]
    extra = sum(len(rows) - 1 for rows in by_key.values())
    return on.result(
        not again,
        f"{extra} of {sum(map(len, by_key.values()))} asked for again",
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

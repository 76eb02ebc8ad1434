"""Evaluates the relations of a gate, which its checks name, on a complete trace."""

import math
from collections import defaultdict
from collections.abc import Mapping
from itertools import accumulate
from typing import assert_never

import msgspec

from trading_graph.otel.trace import SpanTable, semconv, spans_at
from trading_graph.otel.trace.profile import serial_chain
from trading_graph.otel.trace.structure import calls, later_visits
from trading_graph.otel.verdict import gate as g
from trading_graph.otel.verdict.blocked import BLOCKED_NS, blocks_beside, in_words
from trading_graph.otel.verdict.causes import LOOK
from trading_graph.otel.verdict.concurrency import leaf_parallelism, overlap
from trading_graph.otel.verdict.duplicates import asked_again, by_request
from trading_graph.otel.verdict.evaluation import (
    SHOWN,
    CheckResult,
    Evaluation,
    Outcome,
    Projection,
    Scope,
    not_applicable,
    seconds,
)
from trading_graph.otel.verdict.limit_use import limit_uses
from trading_graph.otel.verdict.resumed import PAID_AGAIN
from trading_graph.otel.verdict.retries import retries_of, too_many_requests
from trading_graph.otel.verdict.span_counts import count_spans
from trading_graph.otel.vocabularies import witness


def evaluate(scope: Scope, check: g.AnyCheck) -> CheckResult:
    """Evaluate one check on the spans of a run; `strength` of the check may ask for a proof."""
    result = _evaluate(scope, check)
    if check.strength and result.outcome is Outcome.PASS and result.strength != check.strength:
        limit = ", ".join(each for each in (result.limit, check.strength) if each)
        causes = [each.advice for each in result.causes if each.advice != LOOK]
        return msgspec.structs.replace(
            result,
            outcome=Outcome.FAIL,
            limit=limit,
            spans=spans_at(scope.trace, scope.select(check.set) if result.causes else ()),
            advice=" ".join(causes) or NOT_PROVEN,
        )
    return result


NOT_PROVEN = "Record and declare what the proof lacks; docs/proven.md says how."


def _evaluate(scope: Scope, check: g.AnyCheck) -> CheckResult:
    rows = scope.select(check.set)
    if not rows and not isinstance(check, g.Count | g.Complete):
        return not_applicable(check, f"no span is in the set {check.set}")
    on = Evaluation(scope, check, rows)
    match check:
        case g.StartsWithin():
            return _starts_within(on, check)
        case g.Overlap():
            return overlap(on, check)
        case g.LeafParallelism():
            return leaf_parallelism(on, check)
        case g.Duration():
            return _duration(on, check)
        case g.MaxGap():
            return _max_gap(on, check)
        case g.EndsWithin():
            return _ends_within(on, check)
        case g.Ordered():
            return _ordered(on)
        case g.Linked():
            return _linked(on, check)
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
        case g.LimitUsed():
            return _limit_used(on, check)
        case g.LoopLag():
            return _loop_lag(on, check)
        case g.Complete():
            return _complete(on)
        case _:
            assert_never(check)


def _starts_within(on: Evaluation, check: g.StartsWithin) -> CheckResult:
    before = on.select(check.after)
    if not before:
        return not_applicable(check, f"no span is in the set {check.after}")
    last_end = max(int(on.trace.end[row]) for row in before)
    limit = check.limit_s * 1e9
    # A node that LangGraph visits again starts late on purpose.
    again = later_visits(on.trace)
    rows = [row for row in on.rows if row not in again] or on.rows
    skews = {row: int(on.trace.start[row]) - last_end for row in rows}
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
        f"the last after {seconds(max(skews.values()))}",
        f"{check.limit_s:g} s",
        spans=late,
        advice="Send all branches from the dispatcher at once; "
        "see what held back those that are listed.",
    )


def _ends_within(on: Evaluation, check: g.EndsWithin) -> CheckResult:
    others = on.select(check.after)
    if not others:
        return not_applicable(check, f"no span is in the set {check.after}")
    last_start = max(on.trace.intervals[row][0] for row in others)
    delays = {row: on.trace.intervals[row][1] - last_start for row in on.rows}
    late = [row for row, delay in delays.items() if delay > check.limit_s * 1e9]
    longest = max(delays.values())
    return on.result(
        not late,
        f"the last ends {seconds(abs(longest))} {'after' if longest >= 0 else 'before'} the last "
        f"start of {check.after}",
        f"{check.limit_s:g} s",
        spans=late,
        advice="See what held back those that are listed.",
    )


def _ordered(on: Evaluation) -> CheckResult:
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


def _linked(on: Evaluation, check: g.Linked) -> CheckResult:
    targets = {on.trace.span_ids[row]: row for row in on.select(check.to)}
    linked: dict[int, int] = {}
    for row in on.rows:
        ends = [
            on.trace.intervals[targets[link.span_id]][1]
            for link in on.trace.links(row)
            if link.span_id in targets
        ]
        if ends:
            linked[row] = on.trace.intervals[row][0] - max(ends)
    loose = [row for row in on.rows if row not in linked]
    limit_ns = math.inf if check.limit_s is None else check.limit_s * 1e9
    late = [row for row, delay in linked.items() if delay > limit_ns]
    longest = f", the last starts after {seconds(max(linked.values()))}" if linked else ""
    return on.result(
        not loose and not late,
        f"{len(linked)} of {len(on.rows)} link to {check.to}{longest if check.limit_s else ''}",
        "every span" if check.limit_s is None else f"every span, within {check.limit_s:g} s",
        spans=[*loose, *late],
        advice="Link each to what caused it; see what held back those that are listed.",
    )


def _duration(on: Evaluation, check: g.Duration) -> CheckResult:
    limit = check.limit_s * 1e9
    long = [row for row in on.rows if on.trace.duration[row] > limit]
    longest = max(int(on.trace.duration[row]) for row in on.rows)
    measurement, reason = seconds(longest), ""
    attributes = on.trace.attributes(on.run)
    call_s = on.trace.number(on.run, semconv.LATENCY_CHAT_S)
    holds, projection = not long, None
    if check.project_call_s is not None and semconv.LATENCY_SIMULATED not in attributes:
        reason = "as recorded: whether latencies were simulated was not recorded"
    if attributes.get(semconv.LATENCY_SIMULATED):
        reason = "simulated"
        if call_s is not None and check.project_call_s is not None:
            chain = len(serial_chain(on.trace, calls(on.trace, on.run).llm))
            run_s = longest / 1e9 + chain * (check.project_call_s - call_s)
            projection = Projection(check.project_call_s, run_s)
            holds = holds and run_s <= check.limit_s
            measurement += (
                f" simulated; at {check.project_call_s:g} s a call this run takes {run_s:.0f} s"
            )
    result = on.result(
        holds,
        measurement,
        f"{check.limit_s:g} s",
        reason=reason,
        spans=long or on.rows[:1],
        advice="Shorten the serial chain of LLM calls: that is where the time goes.",
    )
    return msgspec.structs.replace(result, projection=projection)


def _chain(on: Evaluation, check: g.Chain) -> CheckResult:
    limit = check.limit
    if check.limit_from is not None:
        chain_length = on.trace.number(on.run, check.limit_from)
        limit = None if chain_length is None else int(chain_length)
    if limit is None:
        return not_applicable(check, "the run declares no expected chain")
    chain = serial_chain(on.trace, on.rows)
    # What a killed process had begun is repeated when other branches are long done with theirs.
    anew = set(on.trace.rows_with((PAID_AGAIN,)))
    again = [row for row in on.rows if row in anew and on.trace.attributes(row)[PAID_AGAIN]]
    allowance = limit + len(serial_chain(on.trace, again))
    return on.result(
        len(chain) <= allowance,
        f"{len(chain)} in series of {len(on.rows)} calls",
        str(limit) if allowance == limit else f"{limit}, and {allowance - limit} begun anew",
        spans=chain,
        advice="Dispatch branches at once, or save a turn.",
    )


def _loop_lag(on: Evaluation, check: g.LoopLag) -> CheckResult:
    lags = on.trace.column_of(witness.loop_lag_ms)
    worst = max([lag for row in on.rows if (lag := lags[row]) is not None], default=None)
    if worst is None:
        return not_applicable(check, "no event-loop lag was recorded")
    guilty: list[int] = []
    if worst > check.limit_ms:
        first = next(row for row in on.rows if (lags[row] or 0) > check.limit_ms)
        guilty = _where_blocked(on.trace, first, check.limit_ms)
    blocks = blocks_beside(on.trace, on.rows)
    # A loop that got no CPU was late for no fault of its own, which is worth a note all the same.
    said = [in_words(each) for each in blocks if guilty or each.starved_ns >= BLOCKED_NS]
    return on.result(
        not guilty,
        f"at most {worst:.0f} ms" + (f": {said.pop(0)}" if guilty and said else ""),
        f"{check.limit_ms:g} ms",
        spans=guilty,
        advice="Find the call that blocks (a synchronous client, CPU work) in the listed spans.",
        notes=[f"The event loop was {each}." for each in dict.fromkeys(said)][:SHOWN],
        blocks=blocks if said or guilty else (),
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


def _no_duplicates(on: Evaluation, check: g.NoDuplicates) -> CheckResult:
    by_key = _by_key(on, check)
    if not by_key:
        what = "says what it asks for" if check.key == g.REQUEST else f"has {check.key}"
        return not_applicable(check, f"no span {what}")
    again = [row for rows in by_key.values() if len(rows) > 1 for row in rows]
    extra = sum(len(rows) - 1 for rows in by_key.values())
    return on.result(
        not again,
        f"{extra} of {sum(map(len, by_key.values()))} asked for again",
        "0",
        spans=again,
        advice="Cache the result, or let those who ask at the same time share one request.",
        notes=asked_again(on.trace, by_key.values()) if check.key == g.REQUEST else (),
    )


def _by_key(on: Evaluation, check: g.NoDuplicates) -> Mapping[str, list[int]]:
    """The rows of the set by the value that they have."""
    if check.key == g.REQUEST:
        return by_request(on.trace, on.run, on.rows)
    by_key: dict[str, list[int]] = defaultdict(list)
    values = on.trace.values(check.key)
    for row in on.rows:
        if (value := values[row]) is not None:
            by_key[repr(value)].append(row)  # the attribute may be a list, which cannot be a key
    return by_key


def _no_errors(on: Evaluation) -> CheckResult:
    failed = on.trace.failed
    failures = [row for row in on.rows if row in failed] if failed else []
    retries = retries_of(on.trace, on.rows)
    again = [each.row for each in retries]
    kinds = sorted(
        {str(on.trace.attributes(row).get(semconv.ERROR_TYPE, "error")) for row in failures}
    )
    measurement = f"{len(failures)} failed" + (f" ({', '.join(kinds)})" if kinds else "")
    if budget := on.trace.attributes(on.run).get(semconv.BUDGET_REACHED):
        measurement += f", the run's budget of {budget} reached"
    attempts = [each.before for each in retries if each.before is not None]
    if limited := too_many_requests(on.trace, [*failures, *again, *attempts]):
        measurement += f", {limited}"
    holds = not failures and not again
    if holds and not on.trace.eventless.isdisjoint(on.rows):
        return not_applicable(on.check, "nothing failed, and no retry was or would be recorded")
    return on.result(
        holds,
        f"{measurement}, {len(again)} retried",
        "none",
        spans=[*failures, *again],
        advice="Read the errors of the listed spans; a decision, if made, says what is missing.",
    )


def _max_gap(on: Evaluation, check: g.MaxGap) -> CheckResult:
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
        seconds(widest),
        f"{check.limit_s:g} s",
        spans=around,
        advice="Find what the program did between the listed spans.",
    )


def _before(on: Evaluation, check: g.Before) -> CheckResult:
    others = on.select(check.other)
    if not others:
        return not_applicable(check, f"no span is in the set {check.other}")
    first = min(int(on.trace.start[row]) for row in others)
    late = [row for row in on.rows if on.trace.end[row] > first]
    last = max(int(on.trace.end[row]) for row in on.rows)
    return on.result(
        not late,
        f"the last ends {seconds(abs(first - last))} {'after' if late else 'before'} "
        "the first of the others starts",
        "before",
        spans=late,
        advice="Wait for these before the others start.",
    )


def _limit_used(on: Evaluation, check: g.LimitUsed) -> CheckResult:
    found = [
        each for row in on.rows for each in limit_uses(on.trace, row) if each.name == check.limit
    ]
    if not found:
        return not_applicable(check, f"no limit {check.limit!r} is declared")
    shares = [each.used_while_waiting for each in found if each.used_while_waiting is not None]
    if not shares:
        return not_applicable(check, f"next to nobody waited for {check.limit}")
    least = min(shares)
    most = found[0]
    return on.result(
        least >= check.at_least,
        f"{least:.0%} in use while work waited; {most.average:.1f} of {most.capacity:g} on average",
        f"{check.at_least:.0%}",
        spans=on.rows,
        advice="See why what waited did not begin when there was room for it: work that is handed "
        "out in batches, or a limit that is not given back.",
    )


def _count(on: Evaluation, check: g.Count) -> CheckResult:
    most, least = check.at_most, check.at_least
    if check.at_least_from is not None:
        declared = on.trace.number(on.run, check.at_least_from)
        if declared is None:
            return not_applicable(check, f"the run does not declare {check.at_least_from}")
        least = max(least, int(declared))
    number = len(on.rows)
    return on.result(
        number >= least and (most is None or number <= most),
        str(number),
        f"{least} to {'any number' if most is None else most}",
        spans=on.rows[:SHOWN],
        advice="See which of these should not be there, or which is missing.",
    )


def _complete(on: Evaluation) -> CheckResult:
    total = witness.value(on.trace.attributes(on.run), witness.SPANS_STARTED)
    exact = total is not None
    # Of a run of several processes, the sum of what they declare.
    in_all = count_spans(on.trace, on.run).declared
    total = in_all if in_all == on.scope.span_count else total
    shape = "one span without its parent" if on.trace.orphans else "root and no orphan"
    return on.result(
        True,
        f"{on.scope.span_count} spans" + (f" of {total} declared" if exact else ""),
        "complete",
        reason="" if exact else f"{shape}; no span count was declared",
    )

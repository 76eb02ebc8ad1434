"""The relations of a gate as assertions for pytest; `trading_graph.testing` exports them.

An assertion that fails shows what was measured, with a small waterfall of the spans that show it.
"""

from typing import Literal

import pytest
from rich.console import Console

from trading_graph.otel import unjudged
from trading_graph.otel.report import bars
from trading_graph.otel.report.verdict import CheckRow
from trading_graph.otel.trace import Trace, row_of, table_of
from trading_graph.otel.trace.structure import turns
from trading_graph.otel.trace.structure.calls import nearest_above
from trading_graph.otel.verdict import (
    CheckResult,
    Gate,
    Outcome,
    SpanSet,
    Strength,
    Verdict,
    completeness,
    judge,
)
from trading_graph.otel.verdict.concurrency import ONE_TOOL
from trading_graph.otel.verdict.gate import (
    AnyCheck,
    Before,
    Chain,
    Count,
    Duration,
    LeafParallelism,
    MaxGap,
    NoDuplicates,
    NoErrors,
    Overlap,
    StartsWithin,
)
from trading_graph.otel.vocabularies import Role


def assert_starts_within(trace: Trace, spans: SpanSet, *, after: SpanSet, limit_s: float) -> None:
    """Every span starts at most `limit_s` after the end of the last span of `after`."""
    _hold(trace, StartsWithin(set=spans, after=after, limit_s=limit_s))


def assert_overlap(
    trace: Trace, spans: SpanSet, *, at_least: float = 0.5, proven: bool = False
) -> None:
    """The spans overlap, and so does the work below them; with `proven`, that is proven."""
    _hold(trace, Overlap(set=spans, at_least=at_least, strength=_strength(proven)))


def assert_leaf_parallelism(
    trace: Trace,
    spans: SpanSet,
    *,
    group_by: tuple[str, ...] = (),
    not_applicable: bool = False,
    proven: bool = False,
) -> None:
    """The spans of each group run at once at leaf level; with `proven`, that is proven.

    Keys of `group_by` are `turn`, `fan_out`, `parent` or attribute names. If fewer than two spans
    did work of their own, there is nothing to judge. That fails, unless `not_applicable` allows it.
    """
    check = LeafParallelism(set=spans, group_by=group_by, strength=_strength(proven))
    _hold(trace, check, not_applicable=not_applicable)


def assert_duration(trace: Trace, spans: SpanSet, *, limit_s: float) -> None:
    """No span takes longer than `limit_s`."""
    _hold(trace, Duration(set=spans, limit_s=limit_s))


def assert_max_gap(trace: Trace, spans: SpanSet, *, limit_s: float) -> None:
    """Between one span and the next, at most `limit_s` pass without any."""
    _hold(trace, MaxGap(set=spans, limit_s=limit_s))


def assert_before(trace: Trace, spans: SpanSet, other: SpanSet) -> None:
    """Every span has ended before the first of `other` starts."""
    _hold(trace, Before(set=spans, other=other))


def assert_no_duplicates(trace: Trace, spans: SpanSet, *, key: str) -> None:
    """No two spans have the same value of the attribute `key`."""
    _hold(trace, NoDuplicates(set=spans, key=key))


def assert_count(
    trace: Trace, spans: SpanSet, *, at_least: int = 0, at_most: int | None = None
) -> None:
    """There are at least `at_least` and at most `at_most` spans."""
    _hold(trace, Count(set=spans, at_least=at_least, at_most=at_most))


def assert_chain(trace: Trace, spans: SpanSet, *, limit: int) -> None:
    """At most `limit` spans follow each other."""
    _hold(trace, Chain(set=spans, limit=limit))


def assert_no_errors(trace: Trace, spans: SpanSet | None = None) -> None:
    """No span failed, was cancelled, timed out or was retried; without a set, none of the trace."""
    _hold(trace, NoErrors(set=spans or SpanSet()))


def assert_complete(trace: Trace) -> None:
    """The trace has one root, no orphan, no open span, and as many spans as it declares."""
    __tracebackhide__ = True
    missing = completeness(table_of(trace)).missing
    if missing:
        pytest.fail("the trace is not complete: " + " ".join(missing), pytrace=False)


def _strength(proven: bool) -> Literal["proven"] | None:
    return "proven" if proven else None


def _hold(trace: Trace, check: AnyCheck, *, not_applicable: bool = False) -> None:
    __tracebackhide__ = True
    verdict = judge(table_of(trace), Gate(checks=(check,)))
    if not verdict.judged:
        pytest.fail("no verdict: " + " ".join(verdict.missing), pytrace=False)
    (result,) = verdict.checks
    if result.outcome is Outcome.PASS:
        return
    if not check.strength and _asked_one_by_one(verdict, result):
        unjudged.note(f"{_relation(check)} of {check.set}: {ONE_TOOL}")
    elif not_applicable and result.outcome is Outcome.NOT_APPLICABLE:
        unjudged.note(f"{_relation(check)} of {check.set}: {result.measured}")
    else:
        pytest.fail(_message(check, result), pytrace=False)


def _asked_one_by_one(verdict: Verdict, result: CheckResult) -> bool:
    """Whether each LLM turn of an agent asked for one of the tools, so that none could overlap."""
    if result.measured == ONE_TOOL:
        return True
    run = verdict.run
    if run is None or not result.spans or result.strength is not Strength.SERIAL:
        return False
    table, rows = table_of(verdict.trace), [row_of(span) for span in result.spans]
    asked_by = {tool: turn.llm for turn in turns(table, row_of(run)) for tool in turn.tools}
    callers = [asked_by.get(row) for row in rows]
    agents = nearest_above(table, row_of(run), Role.AGENT)
    is_one_agent = len({agents[row] for row in rows}) == 1
    return is_one_agent and None not in callers and len(set(callers)) == len(rows)


def _relation(check: AnyCheck) -> str:
    return str(type(check).__struct_config__.tag)


def _message(check: AnyCheck, result: CheckResult) -> str:
    """What was measured, a waterfall of the spans that show it, and what to do."""
    lines = [f"{_relation(check)}: {CheckRow.of(result).line}"]
    if result.spans:
        console = Console(width=100, color_system=None, force_terminal=False)
        with console.capture() as drawing:
            console.print(bars(result.spans[:12], width=96))
        lines += ["", drawing.get().rstrip()]
        if len(result.spans) > 12:
            lines.append(f"and {len(result.spans) - 12} more")
    if result.advice:
        lines += ["", f"do: {result.advice}"]
    return "\n".join(lines)

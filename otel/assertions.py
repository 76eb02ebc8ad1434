"""The relations of a gate as assertions for pytest; `trading_graph.testing` exports them.

An assertion that fails shows what was measured, with a small waterfall of the spans that show it.
"""

import pytest
from rich.console import Console

from trading_graph.otel.report import bars
from trading_graph.otel.report.verdict import CheckRow
from trading_graph.otel.trace import Trace, table_of
from trading_graph.otel.verdict import CheckResult, Gate, Outcome, SpanSet, completeness, judge
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


def assert_starts_within(trace: Trace, spans: SpanSet, *, after: SpanSet, limit_s: float) -> None:
    """Every span starts at most `limit_s` after the end of the last span of `after`."""
    _hold(trace, StartsWithin(set=spans, after=after, limit_s=limit_s))


def assert_overlap(trace: Trace, spans: SpanSet, *, at_least: float = 0.5) -> None:
    """The spans overlap, and so does the work below them."""
    _hold(trace, Overlap(set=spans, at_least=at_least))


def assert_leaf_parallelism(
    trace: Trace,
    spans: SpanSet,
    *,
    group_by: tuple[str, ...] = (),
    not_applicable: bool = False,
) -> None:
    """The spans of each group run at once at leaf level; keys are `parent` or attribute names.

    If fewer than two did work of their own, there is nothing to judge. That fails, unless
    `not_applicable` allows it.
    """
    _hold(trace, LeafParallelism(set=spans, group_by=group_by), not_applicable=not_applicable)


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


def _hold(trace: Trace, check: AnyCheck, *, not_applicable: bool = False) -> None:
    __tracebackhide__ = True
    verdict = judge(table_of(trace), Gate(checks=(check,)))
    if not verdict.judged:
        pytest.fail("no verdict: " + " ".join(verdict.missing), pytrace=False)
    (result,) = verdict.checks
    is_allowed = not_applicable and result.outcome is Outcome.NOT_APPLICABLE
    if result.outcome is not Outcome.PASS and not is_allowed:
        pytest.fail(_message(check, result), pytrace=False)


def _message(check: AnyCheck, result: CheckResult) -> str:
    """What was measured, a waterfall of the spans that show it, and what to do."""
    relation = type(check).__struct_config__.tag
    lines = [f"{relation}: {CheckRow.of(result).line}"]
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

"""A verdict for machines and pages: JSON, Markdown, JUnit XML, GitHub annotations."""

import json
from typing import Any

from trading_graph.otel.report.github import annotation
from trading_graph.otel.report.junit import Case, Kind, suite
from trading_graph.otel.report.verdict_text import completeness_line, measured
from trading_graph.otel.trace import Profile
from trading_graph.otel.verdict import (
    CheckResult,
    FanOut,
    Interruption,
    Measures,
    Outcome,
    Verdict,
)

SCHEMA_VERSION = 1
_MARKS = {Outcome.PASS: "x", Outcome.FAIL: " ", Outcome.NOT_APPLICABLE: "-"}
_SHOWN = 8


def as_json(verdict: Verdict) -> str:
    """One object, schema version 1; docs/verdict.md describes it."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "trace_id": verdict.trace.id,
        "complete": verdict.judged,
        "missing": list(verdict.missing),
        "passed": verdict.passed if verdict.judged else None,
        "spans": verdict.span_count,
        "interruptions": [_interruption(each) for each in verdict.interruptions],
        "checks": [
            {
                "id": result.id,
                "title": result.title,
                "outcome": result.outcome,
                "measured": result.measured,
                "limit": result.limit,
                "strength": result.grade,
                "cause": result.cause,
                "advice": result.advice,
                "spans": [{"span_id": span.id, "name": span.name} for span in result.spans],
            }
            for result in verdict.checks
        ],
        "measures": _measures(found) if (found := verdict.measures) else None,
    }
    return json.dumps(document, indent=2)


def _interruption(found: Interruption) -> dict[str, Any]:
    return {
        "at_unix_s": found.at_ns / 1e9,
        "after_s": found.after_ns / 1e9,
        "dead_s": found.dead_ns / 1e9,
        "killed_spans": found.killed_spans,
    }


def _measures(found: Measures) -> dict[str, Any]:
    return {
        "wall_s": found.wall_s,
        "work": _profile(found.work),
        "fan_outs": [_fan_out(each) for each in found.fan_outs],
        "llm_calls": found.llm_calls,
        "llm_chain": found.llm_chain,
        "barrier_idle_s": found.barrier_idle_s,
        "loop_lag_ms": found.loop_lag_ms,
        "queue_wait_s": found.queue_wait_s,
        "cache": found.cache,
        "errors": found.errors,
        "cancellations": found.cancellations,
        "retries": found.retries,
    }


def _fan_out(found: FanOut) -> dict[str, Any]:
    return {
        "name": found.name,
        "branches": len(found.branches),
        "strength": ": ".join(each for each in (found.strength, found.reason) if each),
        "cause": found.cause,
        "spans": _profile(found.wrappers),
        "work": _profile(found.work),
        "spans_overlap": found.wrappers_overlap,
        "work_overlap": found.work_overlap,
        "least_pairwise_overlap": found.least_pairwise_overlap,
        "last_start_s": found.last_start_s,
        "spread_s": found.spread_s,
    }


def _profile(found: Profile) -> dict[str, Any]:
    return {
        "spans": found.spans,
        "average": found.average,
        "peak": found.peak,
        "serial_fraction": found.serial_fraction,
        "busy_s": found.busy_ns / 1e9,
    }


def as_markdown(verdict: Verdict) -> str:
    """The checklist as Markdown, for a report or a step summary."""
    lines = [f"## Verdict on trace `{verdict.trace.id}`", ""]
    if not verdict.judged:
        lines += ["**No verdict**: the trace is not complete.", ""]
        return "\n".join([*lines, *(f"- {text}" for text in verdict.missing), ""])
    lines += [f"**{'Passed' if verdict.passed else 'Failed'}.** {completeness_line(verdict)}", ""]
    for result in verdict.checks:
        lines.append(f"- [{_MARKS[result.outcome]}] {result.title}: {measured(result)}")
        if result.outcome is Outcome.FAIL:
            lines.append(f"  - Spans: {_names(result)}")
            lines.append(f"  - Do: {result.advice}")
    return "\n".join([*lines, ""])


def as_junit(verdict: Verdict) -> str:
    """A JUnit test suite: a case a check; an incomplete trace is one error."""
    cases = [_case(result) for result in verdict.checks]
    if not verdict.judged:
        missing = "\n".join(verdict.missing)
        cases = [Case("complete", Kind.ERROR, "the trace is not complete", missing)]
    return suite(f"trace {verdict.trace.id}", "trace", cases)


def _case(result: CheckResult) -> Case:
    if result.outcome is Outcome.FAIL:
        text = f"Spans: {_names(result)}\nDo: {result.advice}"
        return Case(result.id, Kind.FAILURE, f"{result.title}: {measured(result)}", text)
    if result.outcome is Outcome.NOT_APPLICABLE:
        return Case(result.id, Kind.SKIPPED, measured(result))
    return Case(result.id)


def as_github(verdict: Verdict) -> str:
    """Workflow commands: an annotation for every failure, and one for an incomplete trace."""
    if not verdict.judged:
        return annotation("error", "No verdict", " ".join(verdict.missing))
    lines = [
        annotation("error", result.title, f"{measured(result)}. Do: {result.advice}")
        for result in verdict.checks
        if result.outcome is Outcome.FAIL
    ]
    if verdict.passed:
        lines.append(annotation("notice", "Verdict", completeness_line(verdict)))
    return "\n".join(lines)


def _names(result: CheckResult) -> str:
    names = [span.name for span in result.spans[:_SHOWN]]
    more = len(result.spans) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")

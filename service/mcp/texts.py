"""Answers in words: what a model reads first, in a few lines."""

from collections.abc import Iterator, Mapping, Sequence

from trading_graph.otel.report.documents.diagnosis import IntervalJson
from trading_graph.otel.report.documents.document import SpanJson
from trading_graph.otel.report.durations import brief
from trading_graph.otel.verdict import Outcome
from trading_graph.service.mcp.answers import (
    CompareAnswer,
    DiagnosisAnswer,
    NextJson,
    NumberedFindingJson,
    SpanAnswer,
    TracesAnswer,
    VerdictAnswer,
    WhatIfAnswer,
)


def traces_text(answer: TracesAnswer) -> str:
    """The list of traces."""
    if not answer.count:
        return "There is no trace here; make one with `trading-graph record` or --trace-report."
    lines = [f"{each.trace}  ({each.kind}, {each.changed})" for each in answer.traces]
    more = answer.count - len(answer.traces)
    traces = f"{answer.count} trace{'s' * (answer.count != 1)}, the newest first:"
    return _lines(traces, *lines, _more(more), answer.next)


def verdict_text(answer: VerdictAnswer) -> str:
    """The verdict."""
    if answer.passed is None:
        return _lines(f"No verdict on trace {answer.trace_id}.", *answer.missing, answer.next)
    took = "" if answer.wall_s is None else f", {brief(answer.wall_s)}"
    passed = sum(each.outcome is Outcome.PASS for each in answer.checks)
    outcome = "passed" if answer.passed else "failed"
    failures = [
        line
        for each in answer.failures
        for line in (
            f"FAILED {each.title}: {each.measured} (limit: {each.limit}). {each.advice}",
            _spans(each.spans),
        )
    ]
    return _lines(
        f"Trace {answer.trace_id} {outcome} ({passed} of {len(answer.checks)} checks passed, "
        f"{answer.spans} span{'s' * (answer.spans != 1)}{took}).",
        *failures,
        _more(answer.failures_left_out),
        answer.next,
    )


def diagnosis_text(answer: DiagnosisAnswer) -> str:
    """Why the run was slow."""
    # The target is projected to real latencies then, and the gains are not.
    simulated = answer.target.projected_call_s is not None
    of = f" of the recorded {brief(answer.wall_s)}" if simulated else ""
    findings = [line for each in answer.findings for line in _finding(each, of)]
    others = [
        f"{each.number}. {each.kind} in {each.place}: {'gains' if each.proven else 'may gain'} "
        f"{brief(each.gain_s)}{of}"
        for each in answer.others
    ]
    longest = ", ".join(f"{each.name} {brief(each.seconds)}" for each in answer.longest)
    return _lines(
        answer.target.summary,
        f"Its critical path{of}: {longest}.",
        _fixes(answer),
        *findings,
        *others,
        _more(answer.findings_left_out),
        answer.next,
    )


def _fixes(answer: DiagnosisAnswer) -> str:
    """Why there are fewer fixes than findings, where there are."""
    fixes = answer.fixes
    count = len(answer.findings) + len(answer.others) + answer.findings_left_out
    if not 0 < fixes < count:
        return ""
    what = "it" if answer.target.projected_call_s is None else "the recorded run"
    does, together = ("shortens", "") if fixes == 1 else ("shorten", ", one on top of the other")
    return (
        f"{fixes} of the {count} findings {does} {what} for sure{together}; the rest adds nothing "
        "to that, or depends on what the trace does not show."
    )


def _finding(finding: NumberedFindingJson, of: str) -> Iterator[str]:
    gain = finding.gain_s
    # Of a doubt nothing is promised: the agent reads the first number.
    gains = (
        f"gains {_between(gain)}{of}"
        if finding.proven
        else f"may gain up to {brief(gain.high)}{of}"
    )
    condition = f", only if {finding.only_if}" if finding.only_if else ""
    yield f"{finding.number}. {finding.kind} in {finding.place}: {gains}{condition}"
    yield f"   {finding.evidence}"
    here = f" Here: {finding.here}" if finding.here else ""
    yield f"   Do: {finding.advice}{here}"
    yield _spans(finding.spans)


def what_if_text(answer: WhatIfAnswer) -> str:
    """What the chosen fixes give."""
    target = ""
    if answer.limit_s is not None:
        word = "inside" if answer.inside else "over"
        target = (
            f"That is {brief(answer.target_s)} against the target: {word} {answer.limit_s:g} s."
        )
    return _lines(
        f"With {len(answer.fixes)} of the findings fixed, the run takes {_between(answer.wall_s)} "
        f"instead of {brief(answer.now_s)}.",
        target,
        *(f"{each.number}. {each.kind}: {each.place}" for each in answer.fixes),
        *(f"Only if {each}." for each in answer.only_if),
        answer.next,
    )


def compare_text(answer: CompareAnswer) -> str:
    """What changed."""
    change = answer.change
    if change is None:
        return _lines("No comparison.", *answer.missing)
    outcome = "passed" if answer.passed else "failed"
    worse = [f"WORSE {each.kind} in {each.place}: {each.evidence}" for each in answer.regressions]
    moved = [
        f"{each.place}: {each.difference_s:+.3f} s on the critical path" for each in answer.moved
    ]
    return _lines(
        f"The comparison {outcome}: {brief(change.base_s)} before, {brief(change.new_s)} now "
        f"({change.difference_s:+.3f} s; {brief(change.tolerance_s)} are tolerated).",
        *worse,
        _more(answer.regressions_left_out),
        *moved,
        *answer.notes,
        answer.next,
    )


def span_text(answer: SpanAnswer) -> str:
    """One span."""
    path = "" if answer.on_path_s is None else f", {brief(answer.on_path_s)} on the critical path"
    failed = " It failed." if answer.failed else ""
    parent = "" if answer.parent is None else f"Below {answer.parent.name}."
    children = [
        f"- {each.name}: {brief(each.duration_s)} from {each.start_s:.3f} s on ({each.span_id})"
        for each in answer.children
    ]
    return _lines(
        f"{answer.name} ({answer.role}): {brief(answer.duration_s)} from {answer.start_s:.3f} s on"
        f"{path}.{failed}",
        parent,
        *children,
        _more(answer.children_left_out),
        _pairs(answer.attributes),
        *(f"Event {each.name} after {each.at_s:.3f} s" for each in answer.events),
        answer.next,
    )


def _pairs(attributes: Mapping[str, str]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in attributes.items())


def _between(interval: IntervalJson) -> str:
    return f"{brief(interval.likely)} ({brief(interval.low)} to {brief(interval.high)})"


def _spans(spans: Sequence[SpanJson]) -> str:
    shown = ", ".join(f"{each.name} ({each.span_id})" for each in spans)
    return f"   Spans: {shown}" if shown else ""


def _more(count: int) -> str:
    return f"and {count} more" if count > 0 else ""


def _lines(*lines: "str | NextJson | None") -> str:
    """The lines that are not empty; the next question at the end."""
    return "\n".join(
        _question(each) if isinstance(each, NextJson) else each for each in lines if each
    )


def _question(question: NextJson) -> str:
    arguments = ", ".join(f"{name}={value!r}" for name, value in question.arguments.items())
    return f"Next, {question.tool}({arguments}) tells {question.tells}."

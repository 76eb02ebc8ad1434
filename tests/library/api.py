"""All of the public library, used as a stranger would; mypy checks this file, a test runs it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import trading_graph as tg
from trading_graph import checks


def read_everything(path: Path, content: bytes) -> list[tg.Trace]:
    return [*tg.read(path), *tg.read(str(path)), *tg.read(content)]


def look_at(trace: tg.Trace) -> tuple[str, int, float]:
    (root,) = trace.roots
    for span in trace:
        spent: float = span.duration_s
        times: tuple[int, int] = (span.start_ns, span.end_ns)
        above: tg.Span | None = span.parent
        below: Sequence[tg.Span] = span.children
        said: Mapping[str, object] = span.attributes
        assert spent >= 0
        assert times[0] <= times[1]
        assert above is None or span in above.children
        assert all(child.parent == span for child in below)
        assert isinstance(said, Mapping)
        assert not span.failed
        assert [event.name for event in span.events] == []
        assert [link.trace_id for link in span.links] == []
        assert trace.span(span.id) == span
    calls = [span for span in trace if span.role is tg.Role.LLM]
    assert {span.trace_id for span in calls} == {trace.id}
    return root.name, len(trace), trace.duration_s


def in_code() -> tg.Gate:
    agents, calls = tg.spans_where(role="agent"), tg.spans_where(role=tg.Role.LLM, name="chat*")
    everything = tg.spans_where()
    return tg.Gate(
        checks=(
            checks.Complete(),
            checks.Overlap(set=agents, at_least=0.8),
            checks.LeafParallelism(set=agents, group_by=("parent",)),
            checks.StartsWithin(set=calls, after=agents, limit_s=2, id="calls start"),
            checks.Duration(set=tg.spans_where(role="run"), limit_s=60, title="Fast enough"),
            checks.MaxGap(set=calls, limit_s=1),
            checks.EndsWithin(set=calls, after=agents, limit_s=2),
            checks.Ordered(set=tg.spans_where(name="first")),
            checks.Linked(set=tg.spans_where(name="first"), to=agents, limit_s=1),
            checks.Before(set=tg.spans_where(name="first"), other=calls),
            checks.NoDuplicates(set=calls, key="trading.fetch.key"),
            checks.Count(set=agents, at_least=3, at_most=3),
            checks.NoErrors(set=everything),
            checks.Chain(set=calls, limit=3),
            checks.LoopLag(set=everything, limit_ms=100),
        )
    )


def in_other_ways(path: Path) -> list[tg.Gate]:
    document = {"checks": [{"relation": "count", "set": {"role": "agent"}, "at_most": 3}]}
    text = '[[checks]]\nrelation = "count"\nset = { role = "agent" }\nat_most = 3\n'
    path.write_text(text)
    return [tg.Gate.from_dict(document), tg.Gate.from_toml(text), tg.Gate.from_file(path)]


def judged(trace: tg.Trace, gate: tg.Gate | None = None) -> tuple[bool, list[str]]:
    verdict: tg.Verdict = tg.judge(trace, gate)
    failures: tuple[tg.CheckResult, ...] = verdict.failures
    for result in verdict.checks:
        outcome: tg.Outcome = result.outcome
        strength: tg.Strength | None = result.strength
        causes: tuple[tg.Cause, ...] = result.causes
        evidence: tg.Evidence | None = result.evidence
        advice: str = causes[0].advice if causes else ""
        assert evidence is None or evidence.proves == (evidence is not tg.Evidence.INFERRED)
        assert outcome in tg.Outcome
        assert strength is None or strength in tg.Strength
        assert not advice or advice.endswith(".")
    measures: tg.Measures | None = verdict.measures
    assert measures is None or measures.wall_s > 0
    return verdict.passed, [span.name for result in failures for span in result.spans]


def diagnosed(trace: tg.Trace, others: list[tg.Trace]) -> list[tg.FindingKind]:
    order: tg.Dependencies | None = None
    diagnosis: tg.Diagnosis = tg.diagnose(trace, 60, seen=others, dependencies=order)
    for finding in diagnosis.findings:
        one: tg.Finding = finding
        assert one.gain.low_s <= one.gain.likely_s <= one.gain.high_s
        assert {span.trace_id for span in one.spans} == {trace.id}
        assert one.advice == one.kind.advice
    spent = sum(segment.end_ns - segment.start_ns for segment in diagnosis.critical_path)
    assert spent == diagnosis.run.end_ns - diagnosis.run.start_ns
    slack = diagnosis.slack_s
    on_path = {segment.span for segment in diagnosis.critical_path}
    assert all(slack[span] == 0 for span in on_path)
    return [finding.kind for finding in diagnosis.findings]


def compared(before: tg.Trace, after: tg.Trace) -> tuple[bool, list[str]]:
    comparison: tg.Comparison = tg.compare(before, [after], tolerance=0.1)
    names = [span.name for each in comparison.regressions for span in each.spans]
    return comparison.passed, names


def refused(path: Path) -> str:
    try:
        tg.read(path)
    except tg.JudgeError as error:
        return str(error)
    return ""

"""A diagnosis as a JSON document, with its sentences; docs/json.md says what the fields mean."""

from collections.abc import Mapping
from typing import Literal

from trading_graph.otel.diagnosis import (
    Diagnosis,
    Finding,
    FindingKind,
    Interval,
    PathClass,
    Standing,
    Step,
    Target,
    ranking_of,
)
from trading_graph.otel.report.documents.document import (
    SCHEMA_VERSION,
    BlockJson,
    Document,
    SpanJson,
    blocks_json,
    spans_json,
)
from trading_graph.otel.report.durations import brief, rough
from trading_graph.otel.report.shortening import shorten
from trading_graph.otel.verdict import Cause, Outcome

_SPANS = 50


class IntervalJson(Document, frozen=True, kw_only=True):
    """A predicted time: between low and high, likely in between."""

    low: float
    likely: float
    high: float


class LlmChainJson(Document, frozen=True, kw_only=True):
    """LLM calls each of which waited for the one before it."""

    calls: int
    total_s: float


class TargetJson(Document, frozen=True, kw_only=True):
    """What the run may take, null without a target, and what it takes."""

    limit_s: float | None
    standing: Standing
    now_s: float
    with_all_fixes_s: float
    steps_needed: int
    projected_call_s: float | None
    simulated_call_s: float | None
    llm_chain: LlmChainJson
    summary: str


class PathJson(Document, frozen=True, kw_only=True):
    """The critical path, divided by class of work and by name.

    `inferred_s` is the time in spans whose place on the path rests on times alone.
    """

    by_class: Mapping[PathClass, float]
    by_name: Mapping[str, float]
    segments: int
    inferred_s: float


class FindingJson(Document, frozen=True, kw_only=True):
    """A reason why the run is slow, what to do about it, and what that fix alone gains.

    `limit` is the declared limit that the fix raises, where it raises one.
    """

    kind: FindingKind
    place: str
    evidence: str
    task: str
    advice: str
    here: str | None
    proven: bool
    only_if: str | None
    causes: tuple[Cause, ...] = ()
    blocks: tuple[BlockJson, ...] = ()
    limit: str = ""
    on_path_s: float
    gain_s: IntervalJson
    wall_s: IntervalJson
    span_count: int
    spans: list[SpanJson]


class StepJson(Document, frozen=True, kw_only=True):
    """A finding fixed on top of those before it."""

    kind: FindingKind
    place: str
    task: str
    wall_s: IntervalJson
    against_target_s: float


class DiagnosisCheckJson(Document, frozen=True, kw_only=True):
    """A check of the gate, in brief."""

    id: str
    title: str
    outcome: Outcome
    measured: str


class DiagnosisJson(Document, frozen=True, kw_only=True):
    """What `trading-graph diagnose --format json` prints; times are seconds.

    `notes` is always printed; stored documents of earlier versions lack it.
    """

    schema_version: Literal[1]
    trace_id: str
    spans: int
    wall_s: float
    target: TargetJson
    path: PathJson
    notes: tuple[str, ...] = ()
    findings: list[FindingJson]
    steps: list[StepJson]
    passed: bool
    checks: list[DiagnosisCheckJson]


def diagnosis_document(diagnosis: Diagnosis) -> DiagnosisJson:
    """The document of a diagnosis."""
    verdict = diagnosis.verdict
    return DiagnosisJson(
        schema_version=SCHEMA_VERSION,
        trace_id=diagnosis.trace.id,
        spans=verdict.span_count,
        wall_s=diagnosis.wall_s,
        target=_target(diagnosis),
        path=PathJson(
            by_class=diagnosis.by_class,
            by_name=diagnosis.by_name,
            segments=len(ranking_of(diagnosis).path.rows),
            inferred_s=diagnosis.inferred_s,
        ),
        notes=diagnosis.notes,
        findings=[_finding(each) for each in diagnosis.findings],
        steps=[_step(each) for each in diagnosis.steps],
        passed=verdict.passed,
        checks=[DiagnosisCheckJson.of(each) for each in verdict.checks],
    )


def _target(diagnosis: Diagnosis) -> TargetJson:
    return TargetJson.of(
        diagnosis.target,
        with_all_fixes_s=diagnosis.target.least_s,
        llm_chain=LlmChainJson.of(diagnosis.llm_chain),
        summary=" ".join([headline(diagnosis), *outlook(diagnosis)]),
    )


def _finding(finding: Finding) -> FindingJson:
    return FindingJson.of(
        finding,
        task=finding.kind.task,
        here=finding.here or None,
        only_if=finding.only_if or None,
        causes=finding.causes,
        blocks=blocks_json(finding.blocks),
        gain_s=_interval(finding.gain),
        wall_s=_interval(finding.wall),
        span_count=len(finding.spans),
        spans=spans_json(finding.spans[:_SPANS]),
    )


def _step(step: Step) -> StepJson:
    return StepJson.of(
        step, task=step.kind.task, wall_s=_interval(step.wall), against_target_s=step.target_s
    )


def _interval(interval: Interval) -> IntervalJson:
    return IntervalJson(low=interval.low_s, likely=interval.likely_s, high=interval.high_s)


def headline(diagnosis: Diagnosis) -> str:
    """Where the run stands, in one short sentence."""
    target = diagnosis.target
    if target.limit_s is None:
        return f"The run takes {brief(target.now_s)}; no target was given."
    if target.standing is Standing.INSIDE:
        return f"The run keeps its target: {brief(target.now_s)} of {target.limit_s:g} s."
    return (
        f"The run takes {brief(target.now_s)}, {target.now_s / target.limit_s:.1f} times its "
        f"target of {target.limit_s:g} s."
    )


def outlook(diagnosis: Diagnosis) -> list[str]:
    """What the figures rest on, what mending gives, and what stands in the way; sentences."""
    sentences = []
    target, steps = diagnosis.target, diagnosis.steps
    if target.projected_call_s is not None:
        sentences.append(
            f"Latencies are simulated: the run took {brief(diagnosis.wall_s)} with "
            f"{target.simulated_call_s:g} s an LLM call; the target is compared with "
            f"{target.projected_call_s:g} s a call."
        )
    least = brief(target.least_s)
    if not steps and diagnosis.findings:
        sentences.append("Whether it can be faster depends on what the trace does not show.")
    elif not steps:
        sentences.append("No change was found that would make it faster.")
    elif target.standing is Standing.IN_REACH:
        needed = target.steps_needed
        first = "The first fix brings" if needed == 1 else f"The first {needed} fixes bring"
        sentences.append(f"{first} it inside: {brief(steps[needed - 1].target_s)}.")
        if needed < len(steps):
            sentences.append(f"All {len(steps)} together give {least}.")
    elif gains_nothing(target):
        call_s = target.projected_call_s
        much = "noticeably faster" if call_s is None else f"faster at {call_s:g} s a call"
        sentences.append(f"No change was found that would make it {much}.")
    else:
        which = ""
        if len(steps) == 1 < len(diagnosis.findings):
            which = f" ({steps[0].kind} in {shorten(steps[0].place, 90)})"
        sentences.append(f"With {fixes_made(diagnosis)}{which} it takes {least}.")
    if target.standing is Standing.OUT_OF_REACH and target.limit_s is not None:
        sentences += _in_the_way(diagnosis, target.limit_s)
    if (sentence := critical_resource(diagnosis)) is not None:
        sentences.append(sentence)
    return [*sentences, *diagnosis.notes]


def gains_nothing(target: Target) -> bool:
    """Whether all fixes together leave the time, as it is written, what it was.

    At the real latency of a call even certain gains of the recorded run may be too small to show.
    """
    return brief(target.least_s) == brief(target.now_s)


def fixes_made(diagnosis: Diagnosis) -> str:
    """What a prediction assumes, after "with"."""
    steps, findings = len(diagnosis.steps), len(diagnosis.findings)
    if steps > 1:
        return f"all {steps} fixes made"
    return "the one fix made" if findings == 1 else f"one of the {findings} findings fixed"


def critical_resource(diagnosis: Diagnosis) -> str | None:
    """Which declared limit holds the run back most; None where it declares none that is waited for.

    The lower end of the gain is 0, because nobody can promise that a limit is raised.
    """
    if not any(each.waited for each in diagnosis.verdict.limits):
        return None
    first = next((each for each in diagnosis.findings if each.limit), None)
    if first is None:
        return "None of its limits holds it back: half as much again of any would save nothing."
    likely = rough(first.gain.likely_s)
    return (
        f"Of its limits, {first.limit} holds it back most: half as much again would save {likely} "
        f"(0 to {rough(first.gain.high_s)}), as the run played again with its recorded waits shows."
    )


def _in_the_way(diagnosis: Diagnosis, limit_s: float) -> list[str]:
    chain = diagnosis.llm_chain
    sentences = [f"No fix that this trace shows reaches {limit_s:g} s."]
    if chain.calls and chain.total_s > limit_s / 2:
        sentences.append(
            f"What stands in the way is the serial chain of LLM calls: {chain.calls} calls x "
            f"{brief(chain.each_s)} = {brief(chain.total_s)}. Only fewer calls in series, or a "
            "faster model, shorten it; more parallelism does not."
        )
    else:
        path = diagnosis.by_name
        most = next(iter(path))
        sentences.append(
            f"Most of the time goes into {most} ({brief(path[most])} of the critical path); that "
            "has to become faster itself."
        )
    return sentences

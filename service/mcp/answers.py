"""What the tools answer: short documents made of those that the commands print.

Fields that the commands' documents have too mean the same (docs/json.md). Lists hold what matters
most; how much was left out is said.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trading_graph.otel.diagnosis import Diagnosis, Finding, Interval, WhatIf, ranking_of
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.report.documents.comparison import (
    ChangeJson,
    ComparisonJson,
    ImprovementJson,
    MovedJson,
    RegressionJson,
)
from trading_graph.otel.report.documents.diagnosis import (
    DiagnosisCheckJson,
    DiagnosisJson,
    FindingJson,
    IntervalJson,
    TargetJson,
)
from trading_graph.otel.report.documents.document import Document, SpanJson, spans_json
from trading_graph.otel.report.documents.verdict import CheckJson, VerdictJson
from trading_graph.otel.trace import Span, row_of
from trading_graph.otel.verdict import Outcome

FIRST = 3
"""How many findings, failures and changes an answer has in full."""

_SPANS = 3
_BLOCKS = 1
_BRIEF = 9
_CHILDREN = 8
_ATTRIBUTES = 24
_EVENTS = 6


class TraceName(msgspec.Struct, frozen=True):
    """What a client calls a trace: a word, and an id where the word names several."""

    word: str
    id: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of a tool that name it."""
        return {"trace": self.word} | ({"id": self.id} if self.id else {})


class NextJson(Document, frozen=True, kw_only=True):
    """The next question to ask: the tool, its arguments, and what its answer says."""

    tool: str
    arguments: Mapping[str, Any]
    tells: str


class TraceJson(Document, frozen=True, kw_only=True):
    """A trace that can be named by `trace`; `bytes` is null where it is no file."""

    trace: str
    kind: str
    changed: str
    bytes: int | None


class TracesAnswer(Document, frozen=True, kw_only=True):
    """The traces that changed last, the newest first, and how many there are."""

    traces: list[TraceJson]
    count: int
    next: NextJson | None


class VerdictAnswer(Document, frozen=True, kw_only=True):
    """A verdict: every check in brief, and the first that failed in full.

    `passed` is null where the trace could not be judged; `missing` says why.
    """

    trace: str
    trace_id: str
    complete: bool
    missing: list[str]
    passed: bool | None
    spans: int
    wall_s: float | None
    checks: list[DiagnosisCheckJson]
    failures: list[CheckJson]
    failures_left_out: int
    notes: list[str]
    next: NextJson | None


class NumberedFindingJson(FindingJson, frozen=True, kw_only=True):
    """A finding of a diagnosis, with the number by which `what_if` knows it."""

    number: int


class BriefFindingJson(Document, frozen=True, kw_only=True):
    """A finding in brief; `gain_s` is what is likely, and may be nothing unless it is proven."""

    number: int
    kind: str
    place: str
    proven: bool
    gain_s: float


class PathTimeJson(Document, frozen=True, kw_only=True):
    """The time of the critical path in spans of one name."""

    name: str
    seconds: float


class DiagnosisAnswer(Document, frozen=True, kw_only=True):
    """Where a run's time went, and its first findings; times are seconds.

    `others` are the next findings in brief. `fixes` is how many findings shorten the run for sure,
    each on top of those before it. Where latencies were simulated, `target` is projected to real
    ones, and gains are of `wall_s`, the run as it was recorded.
    """

    trace: str
    trace_id: str
    spans: int
    wall_s: float
    target: TargetJson
    by_class: Mapping[str, float]
    longest: list[PathTimeJson]
    fixes: int
    findings: list[NumberedFindingJson]
    others: list[BriefFindingJson]
    findings_left_out: int
    notes: list[str]
    next: NextJson | None


class WhatIfAnswer(Document, frozen=True, kw_only=True):
    """The run played again with some findings fixed together; times are seconds.

    `target_s` is what is compared with `limit_s`: projected, where latencies were simulated.
    """

    trace: str
    trace_id: str
    fixes: list[BriefFindingJson]
    only_if: list[str]
    now_s: float
    wall_s: IntervalJson
    gain_s: IntervalJson
    limit_s: float | None
    target_s: float
    inside: bool | None
    next: NextJson | None


class CompareAnswer(Document, frozen=True, kw_only=True):
    """What changed between runs; `missing` says why nothing could be compared."""

    missing: list[str]
    passed: bool | None
    change: ChangeJson | None
    regressions: list[RegressionJson]
    regressions_left_out: int
    improvements: list[ImprovementJson]
    moved: list[MovedJson]
    notes: list[str]
    next: NextJson | None


class ChildJson(Document, frozen=True, kw_only=True):
    """A direct child of a span."""

    span_id: str
    name: str
    start_s: float
    duration_s: float


class EventJson(Document, frozen=True, kw_only=True):
    """An event of a span, and when it was: seconds after the span's start."""

    name: str
    at_s: float
    attributes: Mapping[str, str]


class SpanAnswer(Document, frozen=True, kw_only=True):
    """One span; `start_s` is seconds after the first span of the trace.

    `on_path_s` is the critical path's time in the span and below it, null where the trace has no
    diagnosis. Of children the longest are listed.
    """

    trace: str
    trace_id: str
    span_id: str
    name: str
    role: str
    failed: bool
    start_s: float
    duration_s: float
    on_path_s: float | None
    parent: SpanJson | None
    children: list[ChildJson]
    children_left_out: int
    attributes: Mapping[str, str]
    attributes_left_out: int
    events: list[EventJson]
    links: int
    next: NextJson | None


def verdict_answer(name: TraceName, verdict: VerdictJson) -> VerdictAnswer:
    """The answer of a verdict."""
    failures = [each for each in verdict.checks if each.outcome is Outcome.FAIL]
    return VerdictAnswer(
        trace=name.word,
        trace_id=verdict.trace_id,
        complete=verdict.complete,
        missing=[
            *verdict.missing,
            *filter(None, (verdict.nothing_to_judge, verdict.unrecognised)),
        ][:FIRST],
        passed=verdict.passed,
        spans=verdict.spans,
        wall_s=None if verdict.measures is None else verdict.measures.wall_s,
        checks=[
            DiagnosisCheckJson(
                id=each.id, title=each.title, outcome=each.outcome, measured=each.measured
            )
            for each in verdict.checks
        ],
        failures=[
            msgspec.structs.replace(each, spans=each.spans[:_SPANS], blocks=each.blocks[:_BLOCKS])
            for each in failures[:FIRST]
        ],
        failures_left_out=len(failures[FIRST:]),
        notes=list(verdict.notes[:FIRST]),
        next=_ask_why(name, verdict),
    )


def _ask_why(name: TraceName, verdict: VerdictJson) -> NextJson | None:
    if not verdict.complete:
        return None
    return NextJson(
        tool="diagnosis", arguments=name.arguments, tells="where the time went, and what to change"
    )


def diagnosis_answer(name: TraceName, diagnosis: DiagnosisJson) -> DiagnosisAnswer:
    """The answer of a diagnosis."""
    findings = diagnosis.findings
    by_name = sorted(diagnosis.path.by_name.items(), key=lambda each: -each[1])
    return DiagnosisAnswer.of(
        diagnosis,
        trace=name.word,
        by_class=diagnosis.path.by_class,
        longest=[PathTimeJson(name=each, seconds=time) for each, time in by_name[:FIRST]],
        fixes=len(diagnosis.steps),
        findings=[
            NumberedFindingJson.of(
                each, number=number, spans=each.spans[:_SPANS], blocks=each.blocks[:_BLOCKS]
            )
            for number, each in enumerate(findings[:FIRST], 1)
        ],
        others=[
            _brief(number, each.kind, each.place, each.proven, each.gain_s.likely)
            for number, each in enumerate(findings[FIRST:_BRIEF], FIRST + 1)
        ],
        findings_left_out=len(findings[_BRIEF:]),
        notes=list(diagnosis.notes[:FIRST]),
        next=_ask_what_if(name, diagnosis),
    )


def _ask_what_if(name: TraceName, diagnosis: DiagnosisJson) -> NextJson | None:
    findings = diagnosis.findings
    sure = [number for number, each in enumerate(findings[:FIRST], 1) if not each.only_if]
    if len(sure) > 1:
        return NextJson(
            tool="what_if",
            arguments={**name.arguments, "findings": sure},
            tells="what these fixes give together",
        )
    if findings and findings[0].spans:
        return NextJson(
            tool="span",
            arguments={**name.arguments, "span_id": findings[0].spans[0].span_id},
            tells="what was recorded of the first span that shows the first finding",
        )
    return None


def what_if_answer(
    name: TraceName, diagnosis: Diagnosis, numbers: Sequence[int], played: WhatIf
) -> WhatIfAnswer:
    """The answer of a run played again with the findings of these numbers fixed."""
    chosen = [(number, diagnosis.findings[number - 1]) for number in numbers]
    limit_s = diagnosis.target.limit_s
    return WhatIfAnswer(
        trace=name.word,
        trace_id=diagnosis.trace.id,
        fixes=[
            _brief(number, each.kind.task, each.place, each.proven, each.gain.likely_s)
            for number, each in chosen
        ],
        only_if=[each.only_if for _, each in chosen if each.only_if],
        now_s=diagnosis.wall_s,
        wall_s=_interval(played.wall),
        gain_s=_interval(played.gain),
        limit_s=limit_s,
        target_s=played.target_s,
        inside=None if limit_s is None else played.target_s <= limit_s,
        next=_ask_span(name, chosen[0][1]),
    )


def _ask_span(name: TraceName, finding: Finding) -> NextJson | None:
    if not finding.spans:
        return None
    return NextJson(
        tool="span",
        arguments={**name.arguments, "span_id": finding.spans[0].id},
        tells="where in the program to make the first of these fixes",
    )


def compare_answer(comparison: ComparisonJson, new: TraceName) -> CompareAnswer:
    """The answer of a comparison; `new` names the first of the new runs."""
    slower = bool(comparison.regressions) or comparison.change.regressed
    return CompareAnswer(
        missing=[],
        passed=comparison.passed,
        change=comparison.change,
        regressions=[
            msgspec.structs.replace(each, spans=each.spans[:_SPANS])
            for each in comparison.regressions[:FIRST]
        ],
        regressions_left_out=len(comparison.regressions[FIRST:]),
        improvements=comparison.improvements[:FIRST],
        moved=comparison.moved[: 2 * FIRST],
        notes=comparison.notes[:FIRST],
        next=NextJson(
            tool="diagnosis", arguments=new.arguments, tells="what would make the new run faster"
        )
        if slower
        else None,
    )


def no_comparison(missing: Sequence[str]) -> CompareAnswer:
    """The answer where runs cannot be compared."""
    return CompareAnswer(
        missing=list(missing[:FIRST]),
        passed=None,
        change=None,
        regressions=[],
        regressions_left_out=0,
        improvements=[],
        moved=[],
        notes=[],
        next=None,
    )


def span_answer(
    name: TraceName, span: Span, begin_ns: int, diagnosis: Diagnosis | None, redactor: Redactor
) -> SpanAnswer:
    """The answer of a span; its attributes are without secrets."""
    on_path_s = None
    if diagnosis is not None:
        on_path_s = ranking_of(diagnosis).path.total_ns.get(row_of(span), 0) / 1e9
    longest = sorted(span.children, key=lambda each: each.start_ns - each.end_ns)
    parent, attributes = span.parent, span.attributes
    return SpanAnswer(
        trace=name.word,
        trace_id=span.trace_id,
        span_id=span.id,
        name=span.name,
        role=span.role,
        failed=span.failed,
        start_s=(span.start_ns - begin_ns) / 1e9,
        duration_s=span.duration_s,
        on_path_s=on_path_s,
        parent=None if parent is None else spans_json([parent])[0],
        children=[
            ChildJson(
                span_id=each.id,
                name=each.name,
                start_s=(each.start_ns - begin_ns) / 1e9,
                duration_s=each.duration_s,
            )
            for each in longest[:_CHILDREN]
        ],
        children_left_out=len(longest[_CHILDREN:]),
        attributes=_texts(attributes, redactor),
        attributes_left_out=max(len(attributes) - _ATTRIBUTES, 0),
        events=[
            EventJson(
                name=each.name,
                at_s=(each.time_ns - span.start_ns) / 1e9,
                attributes=_texts(each.attributes, redactor),
            )
            for each in span.events[:_EVENTS]
        ],
        links=len(span.links),
        next=None
        if parent is None
        else NextJson(
            tool="span",
            arguments={**name.arguments, "span_id": parent.id},
            tells="what the span above it was",
        ),
    )


def _texts(attributes: Mapping[str, Any], redactor: Redactor) -> dict[str, str]:
    """The first attributes as text, without secrets."""
    return {
        each: redactor.attribute(each, str(attributes[each]))
        for each in sorted(attributes)[:_ATTRIBUTES]
    }


def _brief(number: int, kind: str, place: str, proven: bool, gain_s: float) -> BriefFindingJson:
    return BriefFindingJson(number=number, kind=kind, place=place, proven=proven, gain_s=gain_s)


def _interval(interval: Interval) -> IntervalJson:
    return IntervalJson(low=interval.low_s, likely=interval.likely_s, high=interval.high_s)

"""The tools: what each takes, and how it is answered. They read traces and change nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trading_graph.otel.diagnosis import (
    NOTHING_SHARED,
    Comparison,
    compare,
    complete_runs,
    repetition,
    set_flaw,
    what_if,
)
from trading_graph.otel.errors import TraceError
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.report.documents.comparison import ComparisonJson, comparison_document
from trading_graph.otel.report.documents.diagnosis import diagnosis_document
from trading_graph.otel.report.documents.document import Document, json_schema
from trading_graph.otel.report.documents.verdict import verdict_document
from trading_graph.otel.trace import Trace
from trading_graph.service.mcp import texts
from trading_graph.service.mcp.answers import (
    CompareAnswer,
    DiagnosisAnswer,
    NextJson,
    SpanAnswer,
    TraceJson,
    TraceName,
    TracesAnswer,
    VerdictAnswer,
    WhatIfAnswer,
    compare_answer,
    diagnosis_answer,
    no_comparison,
    span_answer,
    verdict_answer,
    what_if_answer,
)
from trading_graph.service.mcp.brevity import fit
from trading_graph.service.mcp.traces import Traces

_TraceWord = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1000,
        description="A trace file, the id of a run or trace, or `last`: the newest run.",
    ),
]
_Id = Annotated[str | None, Meta(description="Which trace or run, where the file has several.")]
_Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of a tool."""


class ListArguments(Arguments, frozen=True, kw_only=True):
    """How many traces to list."""

    limit: Annotated[int, Meta(ge=1, le=30)] = 10


class TraceArguments(Arguments, frozen=True, kw_only=True):
    """Which trace."""

    trace: _TraceWord = "last"
    id: _Id = None

    @property
    def name(self) -> TraceName:
        """What the client calls the trace."""
        return TraceName(self.trace, self.id)


class DiagnosisArguments(TraceArguments, frozen=True, kw_only=True):
    """Which trace, and the time that the run may take."""

    target_s: Annotated[_Seconds | None, Meta(description="What the run may take, in seconds.")] = (
        None
    )


class WhatIfArguments(DiagnosisArguments, frozen=True, kw_only=True):
    """Which findings of which diagnosis to take as fixed."""

    findings: Annotated[
        list[Annotated[int, Meta(ge=1)]],
        Meta(min_length=1, max_length=20, description="Their numbers in `diagnosis`."),
    ]


class CompareArguments(Arguments, frozen=True, kw_only=True):
    """The baseline and the new runs: one of each, or two and more of each."""

    base: Annotated[list[_TraceWord], Meta(min_length=1, max_length=50)]
    new: Annotated[list[_TraceWord], Meta(min_length=1, max_length=50)]
    tolerance: Annotated[
        Annotated[float, Meta(ge=0, le=1000)] | None,
        Meta(description="How much longer the new runs may take, in per cent."),
    ] = None


class SpanArguments(TraceArguments, frozen=True, kw_only=True):
    """Which span of which trace."""

    span_id: Annotated[str, Meta(min_length=1, max_length=200)]


class Tool(msgspec.Struct, frozen=True):
    """A tool: its name, what it tells, the types of its arguments and answer, and its function."""

    name: str
    title: str
    description: str
    takes: type[Arguments]
    answers: type[Document]
    call: Callable[[Traces, Redactor, Any], Document]
    text: Callable[[Any], str]

    def answer(
        self, traces: Traces, redactor: Redactor, arguments: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """The text and the structured content of an answer; blocks.

        Raises JudgeError, also for arguments that the tool does not take.
        """
        try:
            taken = msgspec.convert(dict(arguments), self.takes)
        except msgspec.ValidationError as error:
            raise TraceError(f"{self.name} does not take these arguments: {error}.") from None
        return fit(self.call(traces, redactor, taken), self.text)

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return _object(json_schema(self.takes))

    @property
    def output_schema(self) -> dict[str, Any]:
        """The JSON schema of the answer's structured content."""
        return _object(json_schema(self.answers))


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its own object at the top, where the protocol wants to see one."""
    definitions = dict(schema["$defs"])
    own = definitions.pop(schema["$ref"].rpartition("/")[2])
    return {**own, **({"$defs": definitions} if definitions else {})}


def _list(traces: Traces, redactor: Redactor, taken: ListArguments) -> TracesAnswer:
    entries, count = traces.listed(taken.limit)
    return TracesAnswer(
        traces=[
            TraceJson(
                trace=each.word,
                kind=each.kind,
                changed=each.changed.isoformat(timespec="seconds"),
                bytes=each.bytes,
            )
            for each in entries
        ],
        count=count,
        next=NextJson(
            tool="diagnosis",
            arguments=TraceName(entries[0].word).arguments,
            tells="why the newest of them took so long",
        )
        if entries
        else None,
    )


def _verdict(traces: Traces, redactor: Redactor, taken: TraceArguments) -> VerdictAnswer:
    read = traces.read(taken.trace, taken.id)
    return verdict_answer(taken.name, verdict_document(read.verdict))


def _diagnosis(traces: Traces, redactor: Redactor, taken: DiagnosisArguments) -> DiagnosisAnswer:
    read = traces.read(taken.trace, taken.id)
    return diagnosis_answer(taken.name, diagnosis_document(read.diagnosis(taken.target_s)))


def _what_if(traces: Traces, redactor: Redactor, taken: WhatIfArguments) -> WhatIfAnswer:
    diagnosis = traces.read(taken.trace, taken.id).diagnosis(taken.target_s)
    numbers = list(dict.fromkeys(taken.findings))
    count = len(diagnosis.findings)
    if wrong := [each for each in numbers if each > count]:
        raise TraceError(
            f"The diagnosis has no finding {wrong[0]}; it has {count}, which `diagnosis` numbers."
        )
    played = what_if(diagnosis, [each - 1 for each in numbers])
    return what_if_answer(taken.name, diagnosis, numbers, played)


def _compare(traces: Traces, redactor: Redactor, taken: CompareArguments) -> CompareAnswer:
    if flaw := set_flaw(len(taken.base), len(taken.new)):
        raise TraceError(flaw)
    (base, lacking), (new, lacking_too) = (
        complete_runs([(word, traces.read(word).table, None) for word in side])
        for side in (taken.base, taken.new)
    )
    if lacking or lacking_too:
        return no_comparison([*lacking, *lacking_too])
    if flaw := repetition(base) or repetition(new):
        raise TraceError(flaw)
    share = None if taken.tolerance is None else taken.tolerance / 100
    compared = compare(base, new, share)
    if not isinstance(compared, Comparison):
        return no_comparison([NOTHING_SHARED])
    document = comparison_document(compared)
    assert isinstance(document, ComparisonJson)
    return compare_answer(document, TraceName(taken.new[0]))


def _span(traces: Traces, redactor: Redactor, taken: SpanArguments) -> SpanAnswer:
    read = traces.read(taken.trace, taken.id)
    try:
        span = Trace(read.table).span(taken.span_id)
    except KeyError:
        raise TraceError(
            f"The trace {read.table.trace_id} has no span {taken.span_id}; `verdict` and "
            "`diagnosis` name spans by their ids."
        ) from None
    begin_ns = int(read.table.start.min())
    return span_answer(taken.name, span, begin_ns, read.diagnosis_or_none(), redactor)


TOOLS: Sequence[Tool] = (
    Tool(
        "list_traces",
        "List traces",
        "The traces that can be asked about, the newest first.",
        ListArguments,
        TracesAnswer,
        _list,
        texts.traces_text,
    ),
    Tool(
        "verdict",
        "Verdict on a trace",
        "Whether a run really did its work in parallel and kept its gate: every check, what was "
        "measured, how strong the proof is, and the spans that show a failure.",
        TraceArguments,
        VerdictAnswer,
        _verdict,
        texts.verdict_text,
    ),
    Tool(
        "diagnosis",
        "Why a run was slow",
        "Why a run was slow: its critical path, and the first findings with their evidence, what "
        "to change, and what each change would gain.",
        DiagnosisArguments,
        DiagnosisAnswer,
        _diagnosis,
        texts.diagnosis_text,
    ),
    Tool(
        "what_if",
        "What if findings were fixed",
        "How long the run would take with some findings of its diagnosis fixed together: the run "
        "is played again, gains are not added.",
        WhatIfArguments,
        WhatIfAnswer,
        _what_if,
        texts.what_if_text,
    ),
    Tool(
        "compare",
        "Compare runs",
        "What changed between two runs, or between two sets of runs, of one program.",
        CompareArguments,
        CompareAnswer,
        _compare,
        texts.compare_text,
    ),
    Tool(
        "span",
        "Details of a span",
        "What was recorded of one span: its times, attributes, events, parent and children.",
        SpanArguments,
        SpanAnswer,
        _span,
        texts.span_text,
    ),
)

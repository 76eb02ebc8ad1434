"""LangSmith's runs: a list, lines, `{"runs": [...]}`, or runs inside runs.

Spans that our exporter sent over OTLP come back whole: every run has its span as metadata. Of any
other run LangSmith keeps microseconds, and nothing about event loops, CPU time or span counts. If
some of a trace's runs lost their span, all are read from LangSmith's own fields: a mixture could
lead to a wrong verdict. Source: LangSmith's API, run schema.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any

import msgspec

from trading_graph.otel.otlp_json import DECODE_ERRORS, OtlpSpan, RawSpan, hexadecimal
from trading_graph.otel.sources.fields import decoded_object, mapping, moment, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import SpanRecord, SpanValues, no_events, semconv
from trading_graph.otel.vocabularies import Attributes, witness

_NAME = "LangSmith's runs"
_METADATA: tuple[tuple[str, type | UnionType], ...] = (
    ("langgraph_node", str),
    ("langgraph_step", int),
    ("langgraph_triggers", list | str),
    ("langgraph_path", list | str),
    ("langgraph_checkpoint_ns", str),
    ("checkpoint_ns", str),
    ("ls_model_name", str),
    ("session_id", str),
    ("thread_id", str),
    ("conversation_id", str),
)
"""What is read of a run's metadata: structure, and no content."""

_SPAN_DECODER = msgspec.json.Decoder(RawSpan, strict=False)
_PADDING = "0" * 16
"""The zeros before the span id in the id of a run that was sent over OTLP."""

# Tracers write the exception's repr as the error, or its name, a colon and the message.
_EXCEPTION = re.compile(r"\s*([A-Za-z_][\w.]{0,79})[(:]")
_OTHER_ERROR = "_OTHER"

Run = Mapping[str, Any]
"""The fields of a run."""


def spans_of(trace_id: str, runs: Sequence[Run]) -> Iterator[tuple[str, SpanRecord]]:
    """The spans of one trace's runs, each with the trace's id; `trace_id` is LangSmith's."""
    originals = {id_of(run, "id"): span for run in runs if (span := _original(run)) is not None}
    if _some_are_lost(runs, originals):
        originals = {}
    own_id = next((span.trace_id for span in originals.values()), trace_id)
    for run in runs:
        yield own_id, originals.get(id_of(run, "id")) or _span(run)


def id_of(run: Run, name: str) -> str:
    """The span id if a run was sent over OTLP, else the run's own id; empty without one."""
    return text(run, name).replace("-", "").lower().removeprefix(_PADDING)


def _some_are_lost(runs: Sequence[Run], originals: Mapping[str, OtlpSpan]) -> bool:
    """Whether a run that we sent came back without its span.

    The parent of our root run may be its caller's run, which never had one. No other run with a
    span may have a neighbour without one.
    """
    without = {id_of(run, "id") for run in runs} - set(originals)
    for run in runs:
        span, parent = originals.get(id_of(run, "id")), id_of(run, "parent_run_id")
        if span is None:
            if parent in originals:
                return True
        elif parent in without and witness.spans_started(span.attributes()) is None:
            return True
    return False


def _original(run: Run) -> OtlpSpan | None:
    """The span that a run was sent as, or None."""
    sent = _metadata(run).get(semconv.LANGSMITH_SPAN)
    if sent is None:
        return None
    if not isinstance(sent, str):
        # A server that parses JSON in metadata returns it as an object.
        sent = msgspec.json.encode(sent)
    try:
        raw = _SPAN_DECODER.decode(sent)
    except DECODE_ERRORS:
        return None
    span = raw.record(hexadecimal(raw.trace_id), {})
    # Metadata can be copied from one run to another.
    return span if id_of(run, "id") == span.span_id else None


def _span(run: Run) -> SpanValues:
    attributes = _attributes(run)
    status = run.get("status")
    return SpanValues(
        span_id=id_of(run, "id"),
        parent_id=id_of(run, "parent_run_id"),
        name=text(run, "name"),
        kind=1,
        start_ns=moment(run, "start_time", None),
        end_ns=moment(run, "end_time", None),
        status=2 if run.get("error") or status == "error" else int(status == "success"),
        attributes=lambda: attributes,
        events=no_events,
    )


def _attributes(run: Run) -> Attributes:
    kind, error = text(run, "run_type"), run.get("error")
    attributes: dict[str, Any] = {semconv.LANGSMITH_SPAN_KIND: kind}
    if error:
        # Never the message, which may quote the run's inputs.
        exception = _EXCEPTION.match(error) if isinstance(error, str) else None
        attributes[semconv.ERROR_TYPE] = exception[1] if exception else _OTHER_ERROR
    if kind == "tool":
        attributes[semconv.TOOL_NAME] = text(run, "name")
        attributes |= _present({"gen_ai.prompt": run.get("inputs")})
        attributes |= _present({semconv.TOOL_CALL_ID: _call_id(run)})
    elif kind == "llm":
        attributes |= _present({"gen_ai.completion": run.get("outputs")})
        if first_token := moment(run, "first_token_time", None):
            wait_ns = first_token - moment(run, "start_time", None)
            attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = wait_ns / 1e9
    attributes |= _present(
        {
            semconv.USAGE_INPUT_TOKENS: run.get("prompt_tokens"),
            semconv.USAGE_OUTPUT_TOKENS: run.get("completion_tokens"),
        }
    )
    metadata = _metadata(run)
    for key, type_ in _METADATA:
        value = metadata.get(key)
        if isinstance(value, type_) and not isinstance(value, bool):
            attributes[semconv.LANGSMITH_METADATA + key] = value
    return attributes


def _present(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if value not in (None, "", {}, [])}


def _metadata(run: Run) -> Mapping[str, Any]:
    return mapping(decoded_object(run.get("extra")), "metadata") or decoded_object(
        run.get("metadata")
    )


def _call_id(run: Run) -> str | None:
    """The id of a tool's call, which its answer names."""
    answer = mapping(decoded_object(run.get("outputs")), "output")
    found = answer.get("tool_call_id") or mapping(answer, "kwargs").get("tool_call_id")
    return found if isinstance(found, str) else None


def _spans(document: Any) -> Spans:
    by_trace: dict[str, list[Run]] = defaultdict(list)
    for run in _runs(document):
        by_trace[text(run, "trace_id").replace("-", "").lower()].append(run)
    for trace_id, runs in by_trace.items():
        yield from spans_of(trace_id, runs)


def _runs(document: Any) -> Iterator[Run]:
    """All runs, those inside others too; each names its trace and its parent."""
    if isinstance(document, dict) and isinstance(document.get("runs"), list):
        document = document["runs"]
    pending = [
        (run, "", "") for run in reversed(document if isinstance(document, list) else [document])
    ]
    while pending:
        run, trace_id, parent_id = pending.pop()
        if not isinstance(run, dict):
            continue
        trace_id = text(run, "trace_id") or trace_id or _root_id(run)
        yield {**run, "trace_id": trace_id, "parent_run_id": run.get("parent_run_id") or parent_id}
        children = run.get("child_runs")
        if isinstance(children, list):
            pending += [(child, trace_id, text(run, "id")) for child in reversed(children)]


def _root_id(run: Run) -> str:
    """The id of a run's trace, which is that of its first run: the order of runs begins with it."""
    first, _, _ = text(run, "dotted_order").partition(".")
    return first.partition("Z")[2] or text(run, "id")


def _is_run(value: Any) -> bool:
    own = {"dotted_order", "parent_run_id", "child_runs", "child_run_ids", "trace_id", "serialized"}
    return (
        isinstance(value, dict)
        and {"run_type", "start_time"} <= set(value)
        and not own.isdisjoint(value)
    )


def _recognises(head: Head) -> bool:
    return _is_run(head.first) or _is_run(first_object(head.first.get("runs")))


FORMATS = (
    Format(
        _NAME,
        'of `Client.list_runs`, the bulk export, the CLI: an array, lines, `{"runs": []}`, runs '
        "with `child_runs`",
        "`run_type` with `dotted_order`, `trace_id`, `parent_run_id` or `child_runs`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)

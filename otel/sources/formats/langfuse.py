"""Langfuse's traces and observations: a download of its page, answers of its API, an export.

An observation gets the attributes that Langfuse's own SDK gives to the span that it came from.
Names are in camelCase, in an export of the storage in snake_case. Source: Langfuse's API reference.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trading_graph.otel.sources.fields import decoded_object, items, mapping, moment, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import Attributes, SpanValues, no_events

_NAME = "Langfuse's JSON"

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for trace, observations in _traces(document):
        own_id = text(trace, "id")
        tops = [each for each in observations if not _parent(each)]
        root = own_id if own_id and len(tops) > 1 else ""
        spans = [_span(each, trace, root) for each in observations]
        for row, span in zip(observations, spans, strict=True):
            yield text(row, "traceId", "trace_id") or own_id, span
        if root:
            yield own_id, _trace_span(trace, root, spans)


def _traces(document: Any) -> Iterator[tuple[_Row, Sequence[_Row]]]:
    """Each trace with its observations; of observations alone no trace is known."""
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        document = document["data"]
    alone = []
    for row in document if isinstance(document, list) else [document]:
        if not isinstance(row, dict):
            continue
        if isinstance(row.get("observations"), list):
            yield mapping(row, "trace") or row, items(row, "observations")
        elif _is_observation(row):
            alone.append(row)
    if alone:
        yield {}, alone


def _trace_span(trace: _Row, root: str, spans: Sequence[SpanValues]) -> SpanValues:
    """The trace itself, which is above observations that have no other parent."""
    starts = [span.start_ns for span in spans if span.start_ns]
    return SpanValues(
        span_id=root,
        parent_id="",
        name=text(trace, "name") or "trace",
        kind=1,
        start_ns=min(starts, default=0),
        end_ns=max([span.end_ns for span in spans], default=0),
        status=0,
        attributes=lambda: _session(trace),
        events=no_events,
    )


def _span(row: _Row, trace: _Row, root: str) -> SpanValues:
    attributes = {**_attributes(row), **_session(trace)}
    start = moment(row, "startTime", None) or moment(row, "start_time", None)
    end = moment(row, "endTime", None) or moment(row, "end_time", None)
    is_event = text(row, "type").upper() == "EVENT"
    return SpanValues(
        span_id=text(row, "id"),
        parent_id=_parent(row) or root,
        name=text(row, "name"),
        kind=1,
        start_ns=start,
        end_ns=start if is_event else end,
        status=2 if text(row, "level") == "ERROR" else 0,
        attributes=lambda: attributes,
        events=no_events,
    )


def _parent(row: _Row) -> str:
    return text(row, "parentObservationId", "parent_observation_id")


def _attributes(row: _Row) -> Attributes:
    names = {
        "langfuse.observation.model.name": ("model", "provided_model_name", "providedModelName"),
        "langfuse.observation.usage_details": ("usageDetails", "usage_details", "usage"),
        "langfuse.observation.completion_start_time": (
            "completionStartTime",
            "completion_start_time",
        ),
        "langfuse.observation.input": ("input",),
        "langfuse.observation.output": ("output",),
        "metadata": ("metadata",),
    }
    # What came over OTLP keeps the attributes of its span as metadata.
    sent = mapping(decoded_object(row.get("metadata")), "attributes")
    attributes = {**sent, "langfuse.observation.type": text(row, "type").lower()}
    for key, fields in names.items():
        value = next((row[field] for field in fields if row.get(field)), None)
        if value is not None:
            attributes[key] = value
    return attributes


def _session(trace: _Row) -> Attributes:
    session = text(trace, "sessionId", "session_id")
    return {"langfuse.session.id": session} if session else {}


def _is_observation(row: _Row) -> bool:
    camel = {"traceId", "type", "startTime", "id"} <= set(row)
    snake = {"trace_id", "type", "start_time", "parent_observation_id"} <= set(row)
    return (camel and "spanId" not in row) or snake


def _recognises(head: Head) -> bool:
    row = first_object(head.first["data"]) if "data" in head.first else head.first
    observations = row.get("observations")
    if isinstance(observations, list):
        # A list of traces names its observations by their ids alone.
        return not observations or _is_observation(first_object(observations))
    return _is_observation(row)


FORMATS = (
    Format(
        _NAME,
        "a trace with its observations (page, API), observations as an array, lines, or "
        '`{"data": []}`, the export to blob storage',
        "`observations[]` or rows with `traceId`, `type`, `startTime`, `parentObservationId`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)

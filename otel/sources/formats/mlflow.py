"""MLflow's traces: `Trace.to_json`, the artifact of a trace, and a list or lines of them.

The values of attributes are JSON inside JSON. Source: mlflow.entities, Trace and Span, of its
second and third version.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from trading_graph.otel.otlp_json import DECODE_ERRORS, hexadecimal
from trading_graph.otel.sources.fields import decoded_object, items, mapping, moment, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import Attributes, Event, SpanValues, semconv

_NAME = "MLflow's JSON"
_STATUSES = {"OK": 1, "ERROR": 2}
_USAGE = "mlflow.chat.tokenUsage"

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for trace in document if isinstance(document, list) else [document]:
        if isinstance(trace, dict):
            for row in _rows(trace):
                context = mapping(row, "context")
                yield _id(context or row, "trace_id"), _span(row, _id(context or row, "span_id"))


def _rows(trace: _Row) -> Iterator[_Row]:
    """The spans of a trace, which a row of a dataframe holds as text."""
    trace = decoded_object(trace.get("trace")) or trace
    yield from items(mapping(trace, "data") or trace, "spans")


def _id(row: _Row, name: str) -> str:
    return hexadecimal(text(row, name)).removeprefix("0x")


def _span(row: _Row, span_id: str) -> SpanValues:
    attributes = _attributes(row)
    code = text(mapping(row, "status"), "code") or text(row, "status_code")
    session = attributes.get("mlflow.trace.session")
    if isinstance(session, str):
        attributes = {**attributes, "session.id": session}
    return SpanValues(
        span_id=span_id,
        parent_id=_id(row, "parent_span_id") or _id(row, "parent_id"),
        name=text(row, "name"),
        kind=1,
        start_ns=moment(row, "start_time_unix_nano") or moment(row, "start_time", None),
        end_ns=moment(row, "end_time_unix_nano") or moment(row, "end_time", None),
        status=_STATUSES.get(code.removeprefix("STATUS_CODE_"), 0),
        attributes=lambda: attributes,
        events=partial(_events, row),
    )


def _attributes(row: _Row) -> Attributes:
    attributes = {key: _decoded(value) for key, value in mapping(row, "attributes").items()}
    usage = attributes.get(_USAGE)
    if isinstance(usage, dict):
        for key, field in (
            (semconv.USAGE_INPUT_TOKENS, "input_tokens"),
            (semconv.USAGE_OUTPUT_TOKENS, "output_tokens"),
        ):
            if isinstance(usage.get(field), int):
                attributes[key] = usage[field]
    return attributes


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except DECODE_ERRORS:
        return value


def _events(row: _Row) -> list[Event]:
    return [
        Event(
            text(each, "name"),
            moment(each, "time_unix_nano") or moment(each, "timestamp", None),
            mapping(each, "attributes"),
        )
        for each in items(row, "events")
    ]


def _recognises(head: Head) -> bool:
    first = head.first
    if "info" in first and "spans" in mapping(first, "data"):
        return True
    if isinstance(first.get("trace"), str) and "spans" in first:
        return True
    span = first_object(first.get("spans"))
    return any(str(key).startswith("mlflow.") for key in mapping(span, "attributes"))


FORMATS = (
    Format(
        _NAME,
        "`Trace.to_json`, `mlflow traces get`, `traces.json` of a run, arrays, lines, "
        "`search_traces` as a dataframe",
        "`info` with `data.spans`; `spans` with attributes `mlflow.*`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)

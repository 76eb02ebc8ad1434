"""What Go's SDK writes: `stdouttrace`, and the span stubs of its tests and of Docker Desktop.

Source: go.opentelemetry.io/otel, sdk/trace/tracetest SpanStub and exporters/stdout/stdouttrace.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from trading_graph.otel.sources.fields import items, mapping, moment, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head
from trading_graph.otel.trace import Attributes, Event, Link, SpanValues

_NAME = "the JSON of Go's SDK"
_STATUSES: dict[str | int, int] = {"Ok": 1, "Error": 2, 2: 1, 1: 2}


def _spans(document: Any) -> Spans:
    for row in document if isinstance(document, list) else [document]:
        if isinstance(row, dict):
            yield _id(mapping(row, "SpanContext"), "TraceID"), _span(row)


def _span(row: Mapping[str, Any]) -> SpanValues:
    kind = row.get("SpanKind")
    code = mapping(row, "Status").get("Code")
    # The SDK counts kinds as OTLP does; its codes, where they are numbers, are unset, error, ok.
    status = _STATUSES.get(code, 0) if isinstance(code, str | int) else 0
    return SpanValues(
        span_id=_id(mapping(row, "SpanContext"), "SpanID"),
        parent_id=_id(mapping(row, "Parent"), "SpanID"),
        name=text(row, "Name"),
        kind=kind if isinstance(kind, int) and 0 <= kind <= 5 else 0,
        start_ns=moment(row, "StartTime"),
        end_ns=moment(row, "EndTime"),
        status=status,
        attributes=partial(_attributes, row, "Attributes"),
        events=partial(_events, row),
        links=partial(_links, row),
        resource=_attributes(row, "Resource"),
    )


def _id(row: Mapping[str, Any], name: str) -> str:
    id = text(row, name).lower()
    return id if id.strip("0") else ""


def _attributes(row: Mapping[str, Any], name: str) -> Attributes:
    return {text(each, "Key"): mapping(each, "Value").get("Value") for each in items(row, name)}


def _events(row: Mapping[str, Any]) -> list[Event]:
    return [
        Event(text(each, "Name"), moment(each, "Time"), _attributes(each, "Attributes"))
        for each in items(row, "Events", "MessageEvents")
    ]


def _links(row: Mapping[str, Any]) -> list[Link]:
    links = []
    for each in items(row, "Links"):
        context = mapping(each, "SpanContext")
        ids = _id(context, "TraceID"), _id(context, "SpanID")
        links.append(Link(*ids, _attributes(each, "Attributes")))
    return links


def _recognises(head: Head) -> bool:
    return "TraceID" in mapping(head.first, "SpanContext")


FORMATS = (
    Format(
        _NAME,
        "`stdouttrace` (lines or indented), an array of `SpanStub` (Docker Desktop's builds)",
        "`SpanContext.TraceID`",
        _recognises,
        json_reader(_NAME, _spans, loose=True),
    ),
)

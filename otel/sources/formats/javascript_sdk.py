"""A `ReadableSpan` of JavaScript's SDK as JSON, and the fields that its console exporter prints.

Times are pairs of seconds and nanoseconds, or microseconds where they are printed. Source:
opentelemetry-js, sdk-trace-base, ReadableSpan and ConsoleSpanExporter.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from trading_graph.otel.sources.fields import (
    LATEST_NS,
    MICROSECOND,
    FieldError,
    duration,
    items,
    mapping,
    moment,
    pairs,
    text,
)
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head
from trading_graph.otel.trace import Attributes, Event, Link, SpanValues

_NAME = "the JSON of JavaScript's SDK"
_CONTEXTS = ("_spanContext", "spanContext")

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for row in document if isinstance(document, list) else [document]:
        if isinstance(row, dict):
            context = mapping(row, *_CONTEXTS) or row
            yield text(context, "traceId"), _span(row, text(context, "spanId", "id"))


def _span(row: _Row, span_id: str) -> SpanValues:
    kind, code = row.get("kind"), mapping(row, "status").get("code")
    start, end = _times(row)
    parent = text(mapping(row, "parentSpanContext"), "spanId")
    attributes = pairs(row.get("attributes"))
    return SpanValues(
        span_id=span_id.lower(),
        parent_id=(parent or text(row, "parentSpanId", "parentId")).lower(),
        name=text(row, "name"),
        # The SDK counts kinds from "internal", OTLP from "unspecified".
        kind=kind + 1 if isinstance(kind, int) and 0 <= kind <= 4 else 0,
        start_ns=start,
        end_ns=end,
        status=code if isinstance(code, int) and 0 <= code <= 2 else 0,
        attributes=lambda: attributes,
        events=partial(_events, row),
        links=partial(_links, row),
        resource=_resource(row),
    )


def _times(row: _Row) -> tuple[int, int]:
    if "startTime" not in row:
        start = moment(row, "timestamp", MICROSECOND)
        return start, start + duration(row, "duration", MICROSECOND)
    return _time(row, "startTime"), _time(row, "endTime")


def _time(row: _Row, name: str) -> int:
    """A time as a pair of seconds and nanoseconds, or as Date writes it; 0 where it is unknown."""
    value = row.get(name)
    if not isinstance(value, list):
        return moment(row, name, 10**6)
    if len(value) != 2 or not all(isinstance(each, int) for each in value):
        raise FieldError(name)
    found = value[0] * 10**9 + value[1]
    if not 0 <= found <= LATEST_NS:
        raise FieldError(name)
    return int(found)


def _resource(row: _Row) -> Attributes:
    resource = mapping(row, "resource")
    return mapping(resource, "attributes", "_attributes") or _raw(resource)


def _raw(resource: _Row) -> Attributes:
    """The attributes of the SDK's second version, which holds them as pairs."""
    found = resource.get("_rawAttributes")
    pairs_: Sequence[Any] = found if isinstance(found, list) else ()
    return {str(each[0]): each[1] for each in pairs_ if isinstance(each, list) and len(each) == 2}


def _events(row: _Row) -> list[Event]:
    return [
        Event(text(each, "name"), _time(each, "time"), mapping(each, "attributes"))
        for each in items(row, "events")
    ]


def _links(row: _Row) -> list[Link]:
    links = []
    for each in items(row, "links"):
        context = mapping(each, "context")
        ids = text(context, "traceId").lower(), text(context, "spanId").lower()
        links.append(Link(*ids, mapping(each, "attributes")))
    return links


def _recognises(head: Head) -> bool:
    row = head.first
    context = mapping(row, *_CONTEXTS)
    if {"traceId", "spanId"} <= set(context):
        return True
    if {"traceId", "spanId", "startTime", "endTime"} <= set(row):
        return isinstance(row["startTime"], list)
    return {"traceId", "id", "timestamp", "duration", "attributes"} <= set(row)


FORMATS = (
    Format(
        _NAME,
        "`ReadableSpan` with `JSON.stringify`, and what `ConsoleSpanExporter` gives to the console",
        "`spanContext` with `traceId`; `startTime` as a pair; `id`, `timestamp` and `attributes`",
        _recognises,
        json_reader(_NAME, _spans, loose=True),
    ),
)

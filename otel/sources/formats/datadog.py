"""Datadog's spans: the payload of a tracer, a trace of its page, and the answer of its API.

A tracer counts nanoseconds, the page seconds, the API writes ISO 8601. Source: Datadog's trace
agent API, `PUT /v0.4/traces`, and its API for spans.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trading_graph.otel.sources.fields import (
    KIND_TAGS,
    NANOSECOND,
    SECOND,
    duration,
    flat,
    items,
    mapping,
    moment,
    text,
)
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import Attributes, SpanValues, no_events

_NAME = "Datadog's JSON"

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for row in _rows(document):
        yield text(row, "trace_id"), _span(row)


def _rows(document: Any) -> Iterator[_Row]:
    """The spans of a list of traces, of the page's trace, or of an answer of the API."""
    if isinstance(document, list):
        for each in document:
            yield from _rows(each)
    elif isinstance(document, dict):
        trace = mapping(document, "trace") or document
        spans = trace.get("spans")
        if isinstance(spans, dict):
            yield from (each for each in spans.values() if isinstance(each, dict))
        elif isinstance(spans, list):
            yield from items(trace, "spans")
        elif isinstance(document.get("data"), list):
            yield from _rows(document["data"])
        elif isinstance(document.get("traces"), list):
            yield from _rows(document["traces"])
        elif "attributes" in document:
            yield mapping(document, "attributes")
        else:
            yield document


def _span(row: _Row) -> SpanValues:
    attributes = _attributes(row)
    start, end = _times(row)
    service = text(row, "service")
    return SpanValues(
        span_id=text(row, "span_id"),
        parent_id="" if text(row, "parent_id") == "0" else text(row, "parent_id"),
        name=text(row, "name", "operation_name", "resource", "resource_name"),
        kind=KIND_TAGS.get(str(attributes.get("span.kind")), 0),
        start_ns=start,
        end_ns=end,
        status=2 if row.get("error") in (1, True) or row.get("status") == "error" else 0,
        attributes=lambda: attributes,
        events=no_events,
        resource={"service.name": service} if service else {},
    )


def _times(row: _Row) -> tuple[int, int]:
    if "start_timestamp" in row:
        return moment(row, "start_timestamp"), moment(row, "end_timestamp")
    # The page has seconds, which are too few for nanoseconds since the epoch.
    unit = NANOSECOND if moment(row, "start") > 10**12 else SECOND
    start = moment(row, "start", unit)
    return start, start + duration(row, "duration", unit)


def _attributes(row: _Row) -> Attributes:
    attributes = {
        **mapping(row, "metrics"),
        **mapping(row, "meta"),
        **dict(flat(mapping(row, "custom"))),
    }
    if resource := text(row, "resource", "resource_name"):
        attributes.setdefault("resource.name", resource)
    return attributes


def _is_span(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and {"trace_id", "span_id"} <= set(row)
        and not {"resource", "meta", "metrics", "resource_name", "start_timestamp"}.isdisjoint(row)
        and not {"start", "start_timestamp"}.isdisjoint(row)
    )


def _recognises(head: Head) -> bool:
    first = head.first
    spans = mapping(first, "trace").get("spans")
    if isinstance(spans, dict):
        return "root_id" in first["trace"] or _is_span(next(iter(spans.values()), None))
    if isinstance(first.get("traces"), list):
        first = first_object(first["traces"])
    if isinstance(first.get("data"), list):
        first = first_object(first["data"])
    if first.get("type") == "spans":
        first = mapping(first, "attributes")
    return _is_span(first) or _is_span(first_object(first.get("spans")))


FORMATS = (
    Format(
        _NAME,
        "the payload of a tracer (arrays of traces), a trace of its page, the API's list of spans",
        "`trace_id`, `span_id`, `start` and `meta` or `metrics`; `trace.root_id`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)

"""OpenTelemetry's spans as documents of Elasticsearch and OpenSearch.

Source: the collector's exporter for Elasticsearch in its mapping `otel`, and OpenSearch's Data
Prepper, index otel-v1-apm-span, which writes `@` for the dots of names.
"""

from collections.abc import Mapping
from typing import Any

from trading_graph.otel.sources.fields import (
    MILLISECOND,
    SPAN_KINDS,
    duration,
    flat,
    hits,
    mapping,
    moment,
    text,
)
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head
from trading_graph.otel.trace import Attributes, SpanValues, no_events

_NAME = "OpenTelemetry's documents"
_PREFIXES = ("span.attributes.", "resource.attributes.")

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for row in hits(document):
        yield text(row, "trace_id", "traceId"), _span(row)


def _span(row: _Row) -> SpanValues:
    attributes, resource = _attributes(row)
    start = moment(row, "@timestamp", MILLISECOND) or moment(row, "startTime", None)
    took = duration(row, "duration") or duration(row, "durationInNanos")
    code = str(dict(flat(mapping(row, "status"))).get("code", row.get("status.code", ""))).upper()
    return SpanValues(
        span_id=text(row, "span_id", "spanId").lower(),
        parent_id=text(row, "parent_span_id", "parentSpanId").lower(),
        name=text(row, "name"),
        kind=SPAN_KINDS.get(text(row, "kind").rpartition("_")[2].upper(), 0),
        start_ns=start,
        end_ns=moment(row, "endTime", None) or start + took,
        status=2 if code in ("ERROR", "2") else 0,
        attributes=lambda: attributes,
        events=no_events,
        resource=resource,
    )


def _attributes(row: _Row) -> tuple[Attributes, Attributes]:
    """The attributes of a span and of its resource."""
    found = (
        dict(flat(mapping(row, "attributes"))),
        dict(flat(mapping(mapping(row, "resource"), "attributes"))),
    )
    for key, value in flat(row):
        for prefix, into in zip(_PREFIXES, found, strict=True):
            if key.startswith(prefix):
                into[key.removeprefix(prefix).replace("@", ".")] = value
    if service := text(row, "serviceName"):
        found[1].setdefault("service.name", service)
    return found


def _recognises(head: Head) -> bool:
    row = next(hits(head.value), None) or {}
    collected = {"@timestamp", "trace_id", "span_id", "duration"} <= set(row)
    return collected or {"traceId", "spanId", "durationInNanos"} <= set(row)


FORMATS = (
    Format(
        _NAME,
        "of Elasticsearch (the collector's mapping `otel`) and OpenSearch (Data Prepper): a "
        "search, an array, lines",
        "`@timestamp`, `trace_id`, `span_id`, `duration`; `traceId`, `durationInNanos`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)

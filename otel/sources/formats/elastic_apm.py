"""Elastic APM: the lines that agents send, and its documents in Elasticsearch.

Agents count microseconds and milliseconds. Source: Elastic's APM intake API of version 2 (lines of
`metadata`, `transaction`, `span`), and the fields of its documents.
"""

from collections.abc import Mapping
from typing import Any

from trading_graph.otel.sources.fields import (
    MICROSECOND,
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

_NAME = "Elastic APM's JSON"
_LABELS = ("labels.", "numeric_labels.")

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    for row in hits(document):
        for event in ("transaction", "span"):
            if "trace_id" in (sent := mapping(row, event)):
                yield text(sent, "trace_id"), _sent(sent, event)
                break
        else:
            stored = dict(flat(row))
            if "trace.id" in stored:
                event = "span" if "span.duration.us" in stored else "transaction"
                if f"{event}.duration.us" in stored:
                    yield text(stored, "trace.id"), _stored(stored, event)


def _sent(row: _Row, event: str) -> SpanValues:
    """A transaction or a span as an agent sends it."""
    start, otel = moment(row, "timestamp", MICROSECOND), mapping(row, "otel")
    attributes = {
        **_of_type(text(row, "type"), text(row, "subtype")),
        **mapping(otel, "attributes"),
        **mapping(mapping(row, "context"), "tags"),
    }
    kind = text(otel, "span_kind").upper()
    above = ("parent_id", "transaction_id") if event == "span" else ("parent_id",)
    return SpanValues(
        span_id=text(row, "id").lower(),
        parent_id=text(row, *above).lower(),
        name=text(row, "name"),
        kind=SPAN_KINDS.get(kind, 2 if event == "transaction" else 0),
        start_ns=start,
        end_ns=start + duration(row, "duration", MILLISECOND),
        status=2 if row.get("outcome") == "failure" else 0,
        attributes=lambda: attributes,
        events=no_events,
    )


def _stored(row: _Row, event: str) -> SpanValues:
    """A transaction or a span as Elasticsearch has it, under flat names."""
    start = moment(row, "timestamp.us", MICROSECOND) or moment(row, "@timestamp", MILLISECOND)
    attributes = dict(_of_type(text(row, f"{event}.type"), text(row, "span.subtype")))
    for key, value in row.items():
        for prefix in _LABELS:
            if key.startswith(prefix):
                # Its names hold no dots, which the names of attributes do.
                attributes[key.removeprefix(prefix).replace("_", ".")] = value
                attributes[key.removeprefix(prefix)] = value
    service = text(row, "service.name")
    return SpanValues(
        span_id=text(row, f"{event}.id").lower(),
        parent_id=text(row, "parent.id").lower(),
        name=text(row, f"{event}.name"),
        kind=2 if event == "transaction" else 0,
        start_ns=start,
        end_ns=start + duration(row, f"{event}.duration.us", MICROSECOND),
        status=2 if row.get("event.outcome") == "failure" else 0,
        attributes=lambda: attributes,
        events=no_events,
        resource={"service.name": service} if service else {},
    )


def _of_type(kind: str, subtype: str) -> Attributes:
    """What a type of Elastic's says in OpenTelemetry's words."""
    match kind.partition(".")[0]:
        case "db":
            return {"db.system.name": subtype or "_OTHER"}
        case "messaging":
            return {"messaging.system": subtype or "_OTHER"}
        case "external" if subtype == "grpc":
            return {"rpc.system": subtype}
        case "external":
            return {"http.request.method": "_OTHER"}
        case _:
            return {}


def _recognises(head: Head) -> bool:
    row = next(hits(head.value), None) or {}
    if any("trace_id" in mapping(row, event) for event in ("transaction", "span")):
        return True
    metadata = mapping(row, "metadata")
    if set(row) == {"metadata"} and "agent" in mapping(metadata, "service"):
        return True  # the first line of what an agent sends
    stored = dict(flat(row))
    return "trace.id" in stored and any(
        key in stored for key in ("transaction.id", "span.id", "processor.event")
    )


FORMATS = (
    Format(
        _NAME,
        "what an agent sends (lines), documents of Elasticsearch as a search, an array, lines",
        "`metadata`, then `transaction` and `span` with `trace_id`; `trace.id` with "
        "`transaction.duration.us`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)

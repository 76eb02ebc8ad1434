"""Zipkin's spans, of version 2 and of version 1, in microseconds.

A client and a server may share one span: its two halves come with one id. The server's half then
hangs below the client's, and has an id of its own here. Source: Zipkin's api, zipkin2-api.yaml.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from trading_graph.otel.sources.fields import (
    MICROSECOND,
    SPAN_KINDS,
    duration,
    items,
    mapping,
    moment,
    pairs,
    text,
)
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head
from trading_graph.otel.trace import Attributes, Event, SpanValues

_NAME = "Zipkin's JSON"
_CORE = {"sr": "SERVER", "ss": "SERVER", "cs": "CLIENT", "ms": "PRODUCER", "mr": "CONSUMER"}
_SERVER = ":server"

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    rows = list(_rows(document))
    clients = {_key(row) for row in rows if _kind(row) == "CLIENT"}
    halves = {
        _key(row): _service(row)
        for row in rows
        if _kind(row) == "SERVER" and (row.get("shared") is True or _key(row) in clients)
    }
    for row in rows:
        yield text(row, "traceId"), _span(row, halves, clients)


def _rows(document: Any) -> Iterator[_Row]:
    """The spans of a list, or of a list of traces."""
    for each in document if isinstance(document, list) else [document]:
        if isinstance(each, list):
            yield from _rows(each)
        elif isinstance(each, dict):
            yield each


def _span(row: _Row, halves: Mapping[Any, str], clients: set[Any]) -> SpanValues:
    trace_id, span_id, parent = text(row, "traceId"), text(row, "id"), text(row, "parentId")
    key, service = (trace_id, span_id), _service(row)
    if _kind(row) == "SERVER" and key in halves and key in clients:
        span_id, parent = span_id + _SERVER, span_id
    elif (trace_id, parent) in clients and halves.get((trace_id, parent)) == service:
        parent += _SERVER  # the server's half did this, and not the client's
    start = moment(row, "timestamp", MICROSECOND)
    attributes = dict(pairs(row.get("binaryAnnotations")) or mapping(row, "tags"))
    return SpanValues(
        span_id=span_id.lower(),
        parent_id=parent.lower(),
        name=text(row, "name"),
        kind=SPAN_KINDS.get(_kind(row), 1),
        start_ns=start,
        end_ns=start + duration(row, "duration", MICROSECOND) if start else 0,
        status=2 if attributes.get("error") not in (None, "false", False) else 0,
        attributes=lambda: attributes,
        events=partial(_events, row),
        resource=_resource(service),
    )


def _key(row: _Row) -> tuple[str, str]:
    return text(row, "traceId"), text(row, "id")


def _kind(row: _Row) -> str:
    kind = row.get("kind")
    if isinstance(kind, str):
        return kind.upper()
    values = [str(each.get("value")) for each in items(row, "annotations")]
    return next((_CORE[value] for value in values if value in _CORE), "")


def _service(row: _Row) -> str:
    """The service that made a span; of version 1, the annotations name it."""
    name = text(mapping(row, "localEndpoint"), "serviceName")
    if name:
        return name
    for each in (*items(row, "annotations"), *items(row, "binaryAnnotations")):
        if name := text(mapping(each, "endpoint"), "serviceName"):
            return name
    return ""


def _resource(service: str) -> Attributes:
    return {"service.name": service} if service else {}


def _events(row: _Row) -> list[Event]:
    return [
        Event(text(each, "value"), moment(each, "timestamp", MICROSECOND), {})
        for each in items(row, "annotations")
    ]


def _recognises(head: Head) -> bool:
    row = head.first
    if not {"traceId", "id"} <= set(row) or "attributes" in row:
        return False
    own = {"localEndpoint", "remoteEndpoint", "binaryAnnotations"}
    return not own.isdisjoint(row) or {"timestamp", "duration", "name"} <= set(row)


FORMATS = (
    Format(
        _NAME,
        "version 2 and version 1: an array, an array of traces, lines",
        "`traceId` and `id` with `localEndpoint`, or with `timestamp` and `duration`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)

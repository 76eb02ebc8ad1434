"""Rows of ClickHouse's table `otel_traces`: lines, an array, or an answer with `data`.

Source: the collector's exporter for ClickHouse, its schema of traces.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from trading_graph.otel.sources.fields import (
    SPAN_KINDS,
    FieldError,
    decoded_object,
    duration,
    mapping,
    moment,
    text,
)
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import Attributes, Event, Link, SpanValues

_NAME = "ClickHouse's otel_traces"
_STATUSES = {"OK": 1, "ERROR": 2}

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        document = document["data"]
    for row in document if isinstance(document, list) else [document]:
        if isinstance(row, dict):
            yield text(row, "TraceId"), _span(row)


def _span(row: _Row) -> SpanValues:
    start = moment(row, "Timestamp", None)
    attributes, resource = _map(row, "SpanAttributes"), dict(_map(row, "ResourceAttributes"))
    if service := text(row, "ServiceName"):
        resource.setdefault("service.name", service)
    return SpanValues(
        span_id=text(row, "SpanId").lower(),
        parent_id=text(row, "ParentSpanId").lower(),
        name=text(row, "SpanName"),
        kind=SPAN_KINDS.get(_enum(row, "SpanKind"), 0),
        start_ns=start,
        end_ns=start + duration(row, "Duration"),
        status=_STATUSES.get(_enum(row, "StatusCode"), 0),
        attributes=lambda: attributes,
        events=partial(_events, row),
        links=partial(_links, row),
        resource=resource,
    )


def _enum(row: _Row, name: str) -> str:
    return text(row, name).rpartition("_")[2].upper()


def _map(row: _Row, name: str) -> Attributes:
    return decoded_object(row.get(name))


def _columns(row: _Row, name: str, *fields: str) -> list[dict[str, Any]]:
    """The items of a nested column: an object of lists, a list for each field, or objects."""
    nested = row.get(name)
    if isinstance(nested, list):
        return [each for each in nested if isinstance(each, dict)]
    lists = [
        found
        if isinstance(found := mapping(row, name).get(field, row.get(f"{name}.{field}")), list)
        else []
        for field in fields
    ]
    count = max(map(len, lists))
    if any(len(each) not in (0, count) for each in lists):
        raise FieldError(name)
    return [
        {field: each[number] for field, each in zip(fields, lists, strict=True) if each}
        for number in range(count)
    ]


def _events(row: _Row) -> list[Event]:
    return [
        Event(text(each, "Name"), moment(each, "Timestamp", None), mapping(each, "Attributes"))
        for each in _columns(row, "Events", "Timestamp", "Name", "Attributes")
    ]


def _links(row: _Row) -> list[Link]:
    return [
        Link(text(each, "TraceId"), text(each, "SpanId"), mapping(each, "Attributes"))
        for each in _columns(row, "Links", "TraceId", "SpanId", "Attributes")
    ]


def _recognises(head: Head) -> bool:
    row = first_object(head.first["data"]) if "data" in head.first else head.first
    return {"TraceId", "SpanId", "SpanName"} <= set(row)


FORMATS = (
    Format(
        _NAME,
        "rows as lines (`JSONEachRow`), an array, or `FORMAT JSON`",
        "`TraceId`, `SpanId` and `SpanName`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)

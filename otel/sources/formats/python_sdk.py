"""What Python's SDK prints: `ReadableSpan.to_json()`, an array, lines, or the console exporter.

Source: opentelemetry-sdk, `ReadableSpan.to_json` and `ConsoleSpanExporter`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from trading_graph.otel.sources.fields import SPAN_KINDS, items, mapping, moment, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head
from trading_graph.otel.trace import Event, Link, SpanValues

_NAME = "the JSON of Python's SDK"
_STATUSES = {"OK": 1, "ERROR": 2}


def _spans(document: Any) -> Spans:
    for row in document if isinstance(document, list) else [document]:
        if isinstance(row, dict):
            context = mapping(row, "context")
            yield _id(context, "trace_id"), _span(row, _id(context, "span_id"))


def _span(row: Mapping[str, Any], span_id: str) -> SpanValues:
    attributes = mapping(row, "attributes")
    kind = text(row, "kind").rpartition(".")[2]
    status = text(mapping(row, "status"), "status_code").rpartition(".")[2]
    return SpanValues(
        span_id=span_id,
        parent_id=_id(row, "parent_id"),
        name=text(row, "name"),
        kind=SPAN_KINDS.get(kind, 0),
        start_ns=moment(row, "start_time"),
        end_ns=moment(row, "end_time"),
        status=_STATUSES.get(status, 0),
        attributes=lambda: attributes,
        events=partial(_events, row),
        links=partial(_links, row),
        resource=_resource(row),
    )


def _id(row: Mapping[str, Any], name: str) -> str:
    return text(row, name).lower().removeprefix("0x")


def _resource(row: Mapping[str, Any]) -> Mapping[str, Any]:
    resource = mapping(row, "resource")
    return mapping(resource, "attributes") if "attributes" in resource else resource


def _events(row: Mapping[str, Any]) -> list[Event]:
    return [
        Event(text(each, "name"), moment(each, "timestamp"), mapping(each, "attributes"))
        for each in items(row, "events")
    ]


def _links(row: Mapping[str, Any]) -> list[Link]:
    links = []
    for each in items(row, "links"):
        context = mapping(each, "context")
        ids = _id(context, "trace_id"), _id(context, "span_id")
        links.append(Link(*ids, mapping(each, "attributes")))
    return links


def _recognises(head: Head) -> bool:
    row = head.first
    context = mapping(row, "context")
    is_hexadecimal = str(context.get("trace_id", "")).startswith("0x")
    return is_hexadecimal or ("trace_state" in context and "span_id" in context)


FORMATS = (
    Format(
        _NAME,
        "`ReadableSpan.to_json()`: an array, lines, or what `ConsoleSpanExporter` prints, also "
        "with other lines between",
        "`context.trace_id` that begins with `0x`, or `context.trace_state`",
        _recognises,
        json_reader(_NAME, _spans, loose=True),
    ),
)

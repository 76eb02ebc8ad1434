"""Jaeger's domain model in JSON: its storage, Kafka, and the traces of its own tests.

Ids are base64, times ISO 8601, durations text with a unit, and a tag has its value under its type.
Source: Jaeger's model.proto and its encoding as JSON.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from trading_graph.otel.otlp_json import hexadecimal
from trading_graph.otel.sources.fields import KIND_TAGS, FieldError, items, mapping, moment, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import Attributes, Event, Link, SpanValues

_NAME = "Jaeger's domain model"
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|μs|ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_VALUES = ("vStr", "vBool", "vInt64", "vFloat64", "vBinary", "value")


def _spans(document: Any) -> Spans:
    for each in document if isinstance(document, list) else [document]:
        if not isinstance(each, dict):
            continue
        for span in items(each, "spans") or ([each] if "spanId" in each else []):
            yield hexadecimal(text(span, "traceId")), _span(span)


def _span(span: Mapping[str, Any]) -> SpanValues:
    trace_id = hexadecimal(text(span, "traceId"))
    attributes = _attributes(span)
    references = [
        (each.get("refType", "CHILD_OF"), hexadecimal(text(each, "traceId")), _id(each))
        for each in items(span, "references")
    ]
    own = {kind: id for kind, trace, id in reversed(references) if trace in (trace_id, "")}
    parent = own.get("CHILD_OF", "") or own.get("FOLLOWS_FROM", "")
    start = moment(span, "startTime")
    process = mapping(span, "process")
    service = text(process, "serviceName")
    return SpanValues(
        span_id=_id(span),
        parent_id=parent,
        name=text(span, "operationName"),
        kind=KIND_TAGS.get(str(attributes.get("span.kind")), 0),
        start_ns=start,
        end_ns=start + _duration(span),
        status=2 if attributes.get("error") in (True, "true") else 0,
        attributes=lambda: attributes,
        events=partial(_events, span),
        links=lambda: [Link(trace, id, {}) for _, trace, id in references if id != parent],
        resource={**({"service.name": service} if service else {}), **_attributes(process)},
        follows=bool(parent) and "CHILD_OF" not in own,
    )


def _id(row: Mapping[str, Any]) -> str:
    return hexadecimal(text(row, "spanId"))


def _duration(span: Mapping[str, Any]) -> int:
    value = span.get("duration", 0)
    if isinstance(value, int) and value >= 0:
        return value
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(round(float(n) * _UNITS[unit]) for n, unit in _PART.findall(value))
    raise FieldError("duration")


def _attributes(holder: Mapping[str, Any], key: str = "tags") -> Attributes:
    return {text(tag, "key"): _value(tag) for tag in items(holder, key)}


def _value(tag: Mapping[str, Any]) -> Any:
    value = next((tag[key] for key in _VALUES if key in tag), None)
    if tag.get("vType") in ("INT64", 2) and isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    return value


def _events(span: Mapping[str, Any]) -> list[Event]:
    events = []
    for log in items(span, "logs"):
        fields = dict(_attributes(log, "fields"))
        events.append(Event(str(fields.pop("event", "")), moment(log, "timestamp"), fields))
    return events


def _is_span(row: Mapping[str, Any]) -> bool:
    return {"traceId", "spanId", "operationName"} <= set(row)


def _recognises(head: Head) -> bool:
    return _is_span(head.first) or _is_span(first_object(head.first.get("spans")))


FORMATS = (
    Format(
        _NAME,
        "its storage and Kafka, one trace or lines of spans",
        "`spans` or lines with `traceId`, `spanId` and `operationName`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)

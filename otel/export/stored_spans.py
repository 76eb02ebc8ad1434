"""Spans as OTLP JSON lines, the form of trace files and of the spool, written and read back.

What is read back are the SDK's own spans, so that any exporter can send them.
"""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes, AttributeValue

from otel.errors import TraceError

_KNOWS_REMOTE, _REMOTE = 0x100, 0x200
"""OTLP's flag bits: it is known whether the parent, or what a link names, is in another process,
and it is.
"""

# As protobuf's JSON spells them.
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def to_line(spans: Sequence[ReadableSpan]) -> bytes:
    """One line of OTLP JSON with all the spans.

    The SDK's own encoder takes six times as long, on a thread that competes with the run.
    """
    # By identity: hashing a resource encodes it as JSON, and all spans of a process share one.
    grouped: dict[tuple[int, int], list[ReadableSpan]] = {}
    for span in spans:
        grouped.setdefault((id(span.resource), id(span.instrumentation_scope)), []).append(span)
    document = {"resourceSpans": [_encoded_group(each) for each in grouped.values()]}
    return msgspec.json.encode(document) + b"\n"


def from_lines(content: bytes, origin: str) -> list[ReadableSpan]:
    """The spans of lines that `to_line` wrote; raises TraceError.

    A last line that was cut off is left out: a process that is killed leaves such a file.
    """
    found: list[ReadableSpan] = []
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found += _spans(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines):
                break
            raise TraceError(f"{origin}, line {number}, is not a line of spans: {error}.") from None
    return found


def _encoded_group(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    resource, scope = spans[0].resource, spans[0].instrumentation_scope
    of_scope: dict[str, Any] = {"spans": [_encoded_span(span) for span in spans]}
    if scope is not None:
        of_scope["scope"] = {
            "name": scope.name,
            **({"version": scope.version} if scope.version else {}),
            **_encoded_attributes(scope.attributes),
        }
        if scope.schema_url:
            of_scope["schemaUrl"] = scope.schema_url
    return {
        "resource": _encoded_attributes(resource.attributes),
        "scopeSpans": [of_scope],
        **({"schemaUrl": resource.schema_url} if resource.schema_url else {}),
    }


def _encoded_span(span: ReadableSpan) -> dict[str, Any]:
    context, parent = span.get_span_context(), span.parent
    assert context is not None  # only a span that never started has none
    status = span.status
    encoded: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "flags": _flags(parent),
        "name": span.name,
        # OTLP counts kinds from "unspecified", the SDK from "internal".
        "kind": span.kind.value + 1,
        # As strings: JSON's numbers cannot hold 64 bits.
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        **_encoded_attributes(span.attributes),
        "status": {
            **({"message": status.description} if status.description else {}),
            **({"code": status.status_code.value} if status.status_code.value else {}),
        },
    }
    if parent is not None:
        encoded["parentSpanId"] = f"{parent.span_id:016x}"
    if context.trace_state:
        encoded["traceState"] = context.trace_state.to_header()
    if span.events:
        encoded["events"] = [
            {
                "timeUnixNano": str(event.timestamp),
                "name": event.name,
                **_encoded_attributes(event.attributes),
            }
            for event in span.events
        ]
    if span.links:
        encoded["links"] = [
            {
                "traceId": f"{link.context.trace_id:032x}",
                "spanId": f"{link.context.span_id:016x}",
                "flags": _flags(link.context),
                **_encoded_attributes(link.attributes),
            }
            for link in span.links
        ]
    for name, count in (
        ("droppedAttributesCount", span.dropped_attributes),
        ("droppedEventsCount", span.dropped_events),
        ("droppedLinksCount", span.dropped_links),
    ):
        if count:
            encoded[name] = count
    return encoded


def _flags(context: SpanContext | None) -> int:
    return _KNOWS_REMOTE | (_REMOTE if context is not None and context.is_remote else 0)


def _encoded_attributes(attributes: Attributes) -> dict[str, Any]:
    if not attributes:
        return {}
    return {
        "attributes": [
            {"key": key, "value": _encoded_value(value)} for key, value in attributes.items()
        ]
    }


def _encoded_value(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _NOT_FINITE[str(value)]}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, Sequence):
        return {"arrayValue": {"values": [_encoded_value(each) for each in value]}}
    return {"stringValue": str(value)}


def _spans(document: Mapping[str, Any]) -> Iterator[ReadableSpan]:
    for of_resource in document["resourceSpans"]:
        resource = Resource(
            _attributes(of_resource.get("resource", {})), of_resource.get("schemaUrl")
        )
        for of_scope in of_resource["scopeSpans"]:
            named = of_scope.get("scope", {})
            scope = InstrumentationScope(
                named.get("name", ""),
                named.get("version"),
                of_scope.get("schemaUrl"),
                _attributes(named),
            )
            for span in of_scope["spans"]:
                yield _span(span, resource, scope)


def _span(span: Mapping[str, Any], resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    parent = span.get("parentSpanId")
    status = span.get("status", {})
    return ReadableSpan(
        name=span["name"],
        context=_context(span, span["spanId"]),
        parent=_context(span, parent) if parent else None,
        resource=resource,
        attributes=_attributes(span),
        events=[
            Event(each["name"], _attributes(each), int(each["timeUnixNano"]))
            for each in span.get("events", ())
        ],
        links=[
            Link(_context(each, each["spanId"]), _attributes(each))
            for each in span.get("links", ())
        ],
        # OTLP counts kinds from "unspecified", the SDK from "internal".
        kind=SpanKind(max(span.get("kind", 1) - 1, 0)),
        status=Status(StatusCode(status.get("code", 0)), status.get("message")),
        start_time=int(span["startTimeUnixNano"]),
        end_time=int(span["endTimeUnixNano"]),
        instrumentation_scope=scope,
    )


def _context(owner: Mapping[str, Any], span_id: str) -> SpanContext:
    return SpanContext(
        int(owner["traceId"], 16),
        int(span_id, 16),
        is_remote=bool(owner.get("flags", 0) & _REMOTE),
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([owner.get("traceState", "")]),
    )


def _attributes(owner: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {each["key"]: _value(each["value"]) for each in owner.get("attributes", ())}


def _value(encoded: Mapping[str, Any]) -> Any:
    ((kind, value),) = encoded.items()
    if kind == "intValue":
        return int(value)
    if kind == "doubleValue":
        return float(value)
    if kind == "bytesValue":
        return base64.b64decode(value)
    if kind == "arrayValue":
        return [_value(each) for each in value.get("values", ())]
    return value

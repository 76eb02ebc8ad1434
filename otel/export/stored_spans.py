"""Spans as OTLP JSON lines, the form of trace files and of the spool, written and read back.

What is read back are the SDK's own spans, so that any exporter can send them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
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
from opentelemetry.util.types import AttributeValue

from otel.errors import TraceError

_REMOTE = 0x200
"""OTLP's flag bit: the parent, or what a link names, is in another process."""


def to_line(spans: Sequence[ReadableSpan]) -> bytes:
    """One line of OTLP JSON with all the spans."""
    return encode_spans(spans).to_json().encode() + b"\n"


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
    if kind == "arrayValue":
        return [_value(each) for each in value.get("values", ())]
    return value

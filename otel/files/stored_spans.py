"""Spans as OTLP JSON lines, the form of trace files and of the spool, written and read back.

What is read back are the SDK's own spans, so that any exporter can send them. The SDK's encoder
makes some twenty containers a span; their collection stops the run's thread too, so here are
structures that the garbage collector does not see, and that take a sixth of the time.
"""

import math
from collections.abc import Container, Iterator, Sequence
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

from trading_graph.otel.errors import TraceError

_KNOWS_REMOTE, _REMOTE = 0x100, 0x200
"""OTLP's flag bits: it is known whether the parent, or what a link names, is in another process,
and it is.
"""


class _Part(msgspec.Struct, gc=False, omit_defaults=True, rename="camel"):
    """A part of an OTLP document."""


class _Array(_Part):
    values: list["_Value"] = []


class _Value(_Part):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: str | None = None
    double_value: float | str | None = None
    array_value: _Array | None = None
    bytes_value: bytes | None = None


class _KeyValue(_Part):
    key: str
    value: _Value


class _Status(_Part):
    message: str | None = None
    code: int = 0


class _Event(_Part):
    time_unix_nano: str
    name: str
    attributes: list[_KeyValue] = []


class _Link(_Part):
    trace_id: str
    span_id: str
    attributes: list[_KeyValue] = []
    flags: int = 0
    trace_state: str = ""


class _Span(_Part):
    trace_id: str
    span_id: str
    name: str
    start_time_unix_nano: str
    end_time_unix_nano: str
    status: _Status | None
    parent_span_id: str | None = None
    flags: int = 0
    trace_state: str = ""
    kind: int = 0
    attributes: list[_KeyValue] = []
    events: list[_Event] = []
    links: list[_Link] = []
    dropped_attributes_count: int = 0
    dropped_events_count: int = 0
    dropped_links_count: int = 0


class _Scope(_Part):
    name: str = ""
    version: str | None = None
    attributes: list[_KeyValue] = []


class _ScopeSpans(_Part):
    spans: list[_Span]
    scope: _Scope | None = None
    schema_url: str | None = None


class _Resource(_Part):
    attributes: list[_KeyValue] = []


class _ResourceSpans(_Part):
    scope_spans: list[_ScopeSpans]
    resource: _Resource | None = None
    schema_url: str | None = None


class _Document(_Part):
    resource_spans: list[_ResourceSpans]


_DECODER = msgspec.json.Decoder(_Document)


def to_line(spans: Sequence[ReadableSpan]) -> bytes:
    """One line of OTLP JSON with all the spans."""
    # By identity: hashing a resource encodes it as JSON, and all spans of a process share one.
    grouped: dict[tuple[int, int], list[ReadableSpan]] = {}
    for span in spans:
        grouped.setdefault((id(span.resource), id(span.instrumentation_scope)), []).append(span)
    return msgspec.json.encode(_Document([_group_to(each) for each in grouped.values()])) + b"\n"


def to_text(span: ReadableSpan, without: Container[str] = ()) -> str:
    """One span as OTLP JSON, outside of any document; attributes of some names left out."""
    encoded = _span_to(span)
    encoded.attributes = [each for each in encoded.attributes if each.key not in without]
    return msgspec.json.encode(encoded).decode()


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
            found += _spans_from(_DECODER.decode(line))
        except ValueError as error:  # msgspec's errors are of this kind
            if number == len(lines):
                break
            raise TraceError(f"{origin}, line {number}, is not a line of spans: {error}.") from None
    return found


def _group_to(spans: Sequence[ReadableSpan]) -> _ResourceSpans:
    resource, scope = spans[0].resource, spans[0].instrumentation_scope
    of_scope = _ScopeSpans([_span_to(span) for span in spans])
    if scope is not None:
        of_scope.scope = _Scope(scope.name, scope.version or None, _attributes_to(scope.attributes))
        of_scope.schema_url = scope.schema_url or None
    attributes = _Resource(_attributes_to(resource.attributes))
    return _ResourceSpans([of_scope], attributes, resource.schema_url or None)


def _span_to(span: ReadableSpan) -> _Span:
    context, parent, status = span.get_span_context(), span.parent, span.status
    assert context is not None  # only a span that never started has none
    return _Span(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        name=span.name,
        start_time_unix_nano=str(span.start_time),
        end_time_unix_nano=str(span.end_time or 0),
        status=_Status(status.description or None, status.status_code.value),
        parent_span_id=f"{parent.span_id:016x}" if parent else None,
        flags=_flags(parent),
        trace_state=context.trace_state.to_header() if context.trace_state else "",
        # OTLP counts kinds from "unspecified", the SDK from "internal".
        kind=span.kind.value + 1,
        attributes=_attributes_to(span.attributes),
        events=[
            _Event(str(each.timestamp), each.name, _attributes_to(each.attributes))
            for each in span.events
        ],
        links=[
            _Link(
                f"{each.context.trace_id:032x}",
                f"{each.context.span_id:016x}",
                _attributes_to(each.attributes),
                _flags(each.context),
            )
            for each in span.links
        ],
        dropped_attributes_count=span.dropped_attributes,
        dropped_events_count=span.dropped_events,
        dropped_links_count=span.dropped_links,
    )


def _flags(context: SpanContext | None) -> int:
    return _KNOWS_REMOTE | (_REMOTE if context is not None and context.is_remote else 0)


def _attributes_to(attributes: Attributes) -> list[_KeyValue]:
    return [_KeyValue(key, _value_to(value)) for key, value in (attributes or {}).items()]


def _value_to(value: Any) -> _Value:
    if isinstance(value, str):
        return _Value(string_value=value)
    if isinstance(value, bool):
        return _Value(bool_value=value)
    if isinstance(value, int):
        return _Value(int_value=str(value))  # JSON's numbers cannot hold 64 bits
    if isinstance(value, float):
        return _Value(double_value=value if math.isfinite(value) else _not_finite(value))
    if isinstance(value, bytes):
        return _Value(bytes_value=value)
    if isinstance(value, Sequence):
        return _Value(array_value=_Array([_value_to(each) for each in value]))
    return _Value(string_value=str(value))


def _not_finite(value: float) -> str:
    """As protobuf's JSON spells it."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _spans_from(document: _Document) -> Iterator[ReadableSpan]:
    for of_resource in document.resource_spans:
        said = of_resource.resource.attributes if of_resource.resource else []
        resource = Resource(_attributes_from(said), of_resource.schema_url)
        for of_scope in of_resource.scope_spans:
            named = of_scope.scope or _Scope()
            scope = InstrumentationScope(
                named.name, named.version, of_scope.schema_url, _attributes_from(named.attributes)
            )
            for span in of_scope.spans:
                yield _span_from(span, resource, scope)


def _span_from(span: _Span, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    parent = span.parent_span_id
    status = span.status or _Status()
    return ReadableSpan(
        name=span.name,
        context=_context_from(span, span.span_id),
        parent=_context_from(span, parent) if parent else None,
        resource=resource,
        attributes=_attributes_from(span.attributes),
        events=[
            Event(each.name, _attributes_from(each.attributes), int(each.time_unix_nano))
            for each in span.events
        ],
        links=[
            Link(_context_from(each, each.span_id), _attributes_from(each.attributes))
            for each in span.links
        ],
        kind=SpanKind(max(span.kind - 1, 0)),
        status=Status(StatusCode(status.code), status.message),
        start_time=int(span.start_time_unix_nano),
        end_time=int(span.end_time_unix_nano),
        instrumentation_scope=scope,
    )


def _context_from(owner: _Span | _Link, span_id: str) -> SpanContext:
    return SpanContext(
        int(owner.trace_id, 16),
        int(span_id, 16),
        is_remote=bool(owner.flags & _REMOTE),
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([owner.trace_state]),
    )


def _attributes_from(encoded: Sequence[_KeyValue]) -> dict[str, AttributeValue]:
    return {each.key: _value_from(each.value) for each in encoded}


def _value_from(value: _Value) -> Any:
    if value.int_value is not None:
        return int(value.int_value)
    if value.double_value is not None:
        return float(value.double_value)
    if value.array_value is not None:
        return [_value_from(each) for each in value.array_value.values]
    if value.bool_value is not None:
        return value.bool_value
    return value.string_value if value.bytes_value is None else value.bytes_value

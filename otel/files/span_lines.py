"""The SDK's spans as lines of OTLP JSON.

This is the only writer: trace files, the logs of runs, the spool and exports all use it. It loads
no model of a trace, which a program that only writes its spans does without.

The SDK's own encoder makes some twenty containers for each span, and collecting them stops the
run's thread too. The structures here are invisible to the garbage collector and take a sixth of the
time. Source of the format: opentelemetry-proto, JSON encoding.
"""

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    SpanContext,
)
from opentelemetry.util.types import Attributes

HAS_REMOTE, IS_REMOTE = 0x100, 0x200
"""OTLP's flag bits. The first says that the second has a meaning; the second, that the parent or
the target of a link is in another process.
"""


class _MessagePart(msgspec.Struct, gc=False, omit_defaults=True, rename="camel"):
    """A part of an OTLP message."""


class _Array(_MessagePart):
    values: list["_Value"] = []


class _Value(_MessagePart):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: str | None = None
    double_value: float | str | None = None
    array_value: _Array | None = None
    kvlist_value: "_KeyValues | None" = None
    bytes_value: bytes | None = None


class _KeyValue(_MessagePart):
    key: str
    value: _Value


class _KeyValues(_MessagePart):
    values: list[_KeyValue] = []


class _Status(_MessagePart):
    message: str | None = None
    code: int = 0


class _Event(_MessagePart):
    time_unix_nano: str
    name: str
    attributes: list[_KeyValue] = []


class _Link(_MessagePart):
    trace_id: str
    span_id: str
    attributes: list[_KeyValue] = []
    flags: int = 0
    trace_state: str = ""


class _Span(_MessagePart):
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


class _Scope(_MessagePart):
    name: str = ""
    version: str | None = None
    attributes: list[_KeyValue] = []


class _ScopeSpans(_MessagePart):
    spans: list[_Span]
    scope: _Scope | None = None
    schema_url: str | None = None


class _Resource(_MessagePart):
    attributes: list[_KeyValue] = []


class _ResourceSpans(_MessagePart):
    scope_spans: list[_ScopeSpans]
    resource: _Resource | None = None
    schema_url: str | None = None


class _OtlpMessage(_MessagePart):
    resource_spans: list[_ResourceSpans]


def to_line(spans: Sequence[ReadableSpan]) -> bytes:
    """Encode the spans as one line of OTLP JSON, a document with a line feed at its end."""
    # By identity: hashing a resource encodes it as JSON, and all spans of a process share one.
    groups: dict[tuple[int, int], list[ReadableSpan]] = {}
    for span in spans:
        groups.setdefault((id(span.resource), id(span.instrumentation_scope)), []).append(span)
    document = _OtlpMessage(
        [
            _encode_group(each[0].resource, each[0].instrumentation_scope, each)
            for each in groups.values()
        ]
    )
    return msgspec.json.encode(document) + b"\n"


class LineEncoder:
    """Encodes spans one at a time, as `to_line` does; what they share is encoded once."""

    def __init__(self) -> None:
        self._envelopes: dict[tuple[int, int], _Envelope] = {}

    def line(self, span: ReadableSpan) -> bytes:
        """Encode a span as a line with a line feed at its end."""
        resource, scope = span.resource, span.instrumentation_scope
        key = (id(resource), id(scope))
        envelope = self._envelopes.get(key)
        if envelope is None:
            if len(self._envelopes) >= _ENVELOPES:
                self._envelopes.clear()
            document = msgspec.json.encode(_OtlpMessage([_encode_group(resource, scope, [])]))
            # The first ones: everything before them is names of fields.
            before, _, after = document.partition(b'"spans":[]')
            envelope = _Envelope(resource, scope, before + b'"spans":[', b"]" + after + b"\n")
            self._envelopes[key] = envelope
        return envelope.before + msgspec.json.encode(_encode_span(span)) + envelope.after


class _Envelope(NamedTuple):
    """What stands around the spans of a scope; it keeps those whose ids are its key."""

    resource: Resource
    scope: InstrumentationScope | None
    before: bytes
    after: bytes


_ENVELOPES = 256


def to_text(span: ReadableSpan, without: Container[str] = ()) -> str:
    """Encode one span as an OTLP JSON object, without the attributes that `without` names."""
    part = _encode_span(span)
    part.attributes = [each for each in part.attributes if each.key not in without]
    return msgspec.json.encode(part).decode()


def _encode_group(
    resource: Resource, scope: InstrumentationScope | None, spans: Sequence[ReadableSpan]
) -> _ResourceSpans:
    scope_part = _ScopeSpans([_encode_span(span) for span in spans])
    if scope is not None:
        scope_part.scope = _Scope(
            scope.name, scope.version or None, _encode_attributes(scope.attributes)
        )
        scope_part.schema_url = scope.schema_url or None
    attributes = _Resource(_encode_attributes(resource.attributes))
    return _ResourceSpans([scope_part], attributes, resource.schema_url or None)


def _encode_span(span: ReadableSpan) -> _Span:
    context = span.get_span_context() or INVALID_SPAN_CONTEXT  # as the SDK's encoder does
    parent, status = span.parent, span.status
    return _Span(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        name=span.name,
        start_time_unix_nano=str(span.start_time or 0),
        end_time_unix_nano=str(span.end_time or 0),
        status=_Status(status.description or None, status.status_code.value),
        parent_span_id=f"{parent.span_id:016x}" if parent else None,
        flags=_encode_flags(parent),
        trace_state=context.trace_state.to_header() if context.trace_state else "",
        # OTLP counts kinds from "unspecified", the SDK from "internal".
        kind=span.kind.value + 1,
        attributes=_encode_attributes(span.attributes),
        events=[
            _Event(str(each.timestamp), each.name, _encode_attributes(each.attributes))
            for each in span.events
        ],
        links=[
            _Link(
                f"{each.context.trace_id:032x}",
                f"{each.context.span_id:016x}",
                _encode_attributes(each.attributes),
                _encode_flags(each.context),
            )
            for each in span.links
        ],
        dropped_attributes_count=span.dropped_attributes,
        dropped_events_count=span.dropped_events,
        dropped_links_count=span.dropped_links,
    )


def _encode_flags(context: SpanContext | None) -> int:
    return HAS_REMOTE | (IS_REMOTE if context is not None and context.is_remote else 0)


def _encode_attributes(attributes: Attributes) -> list[_KeyValue]:
    return [_KeyValue(key, _encode_value(value)) for key, value in (attributes or {}).items()]


def _encode_value(value: Any) -> _Value:
    if isinstance(value, str):
        return _Value(string_value=value)
    if isinstance(value, bool):
        return _Value(bool_value=value)
    if isinstance(value, int):
        return _Value(int_value=str(value))  # JSON's numbers cannot hold 64 bits
    if isinstance(value, float):
        return _Value(double_value=value if math.isfinite(value) else _spell_non_finite(value))
    if isinstance(value, bytes):
        return _Value(bytes_value=value)
    if isinstance(value, Sequence):
        return _Value(array_value=_Array([_encode_value(each) for each in value]))
    if isinstance(value, Mapping):
        return _Value(kvlist_value=_KeyValues(_encode_attributes(value)))
    if value is None:
        return _Value()
    return _Value(string_value=str(value))


def _spell_non_finite(value: float) -> str:
    """Spell the number as protobuf's JSON does."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"

"""The protobuf encoding of OTLP: a message of spans read, and the answers written.

A span is decoded by itself, so that a body of millions of empty ones takes no memory.
"""

import base64
import math
from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.common.v1.common_pb2 import KeyValue as ProtoKeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from trading_graph.service.server.receiving.errors import MalformedMessageError
from trading_graph.service.server.receiving.message import (
    NO_ID,
    Event,
    KeyValue,
    KeyValues,
    Link,
    Message,
    Origin,
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
    Value,
    Values,
)

_LATEST_NS = 2**63 - 1
_MOST_KINDS = 127
_TRACE_ID, _SPAN_ID = bytes(16), bytes(8)  # all zeros: no id
_BYTES, _VARINT, _FIXED64, _FIXED32 = 2, 0, 1, 5


def decode_protobuf(content: bytes) -> Message:
    """Decode a message of OTLP protobuf; raises MalformedMessageError."""
    try:
        parts = [_resource_spans(part) for number, part in _fields(content) if number == 1]
    except (DecodeError, ValueError, IndexError, RecursionError):
        raise MalformedMessageError(
            "The body is no message of spans in OTLP protobuf; send what an OTLP exporter sends."
        ) from None
    return Message(parts)


def _resource_spans(content: memoryview) -> ResourceSpans:
    resource, scopes, url = Origin(), [], ""
    for number, part in _fields(content):
        if number == 1:
            decoded = Resource.FromString(part)
            resource = Origin(
                attributes=_attributes(decoded.attributes),
                dropped_attributes_count=decoded.dropped_attributes_count,
            )
        elif number == 2:
            scopes.append(_scope_spans(part))
        elif number == 3:
            url = str(part, "utf-8")
    return ResourceSpans(resource, scopes, url)


def _scope_spans(content: memoryview) -> ScopeSpans:
    scope, spans, url = None, list[Span](), ""
    for number, part in _fields(content):
        if number == 2:
            spans.append(_span(ProtoSpan.FromString(part)))
        elif number == 1:
            decoded = InstrumentationScope.FromString(part)
            scope = Origin(
                decoded.name,
                decoded.version,
                _attributes(decoded.attributes),
                decoded.dropped_attributes_count,
            )
        elif number == 3:
            url = str(part, "utf-8")
    return ScopeSpans(scope, spans, url)


def _span(span: ProtoSpan) -> Span:
    start, end, kind = span.start_time_unix_nano, span.end_time_unix_nano, span.kind
    parent = span.parent_span_id
    decoded = Span(
        _id(span.trace_id, _TRACE_ID),
        _id(span.span_id, _SPAN_ID),
        span.trace_state,
        _id(parent, _SPAN_ID) if parent and parent != _SPAN_ID else "",
        span.flags,
        span.name,
        kind if 0 <= kind <= _MOST_KINDS else 0,
        # A time past the year 2262 has no place in a trace; `batches` rejects what has no start.
        start if start <= _LATEST_NS else 0,
        end if end <= _LATEST_NS else 0,
        _attributes(span.attributes),
        span.dropped_attributes_count,
    )
    if events := span.events:
        decoded.events = [
            Event(
                min(each.time_unix_nano, _LATEST_NS),
                each.name,
                _attributes(each.attributes),
                each.dropped_attributes_count,
            )
            for each in events
        ]
    if links := span.links:
        decoded.links = [
            Link(
                each.trace_id.hex(),
                each.span_id.hex(),
                each.trace_state,
                _attributes(each.attributes),
                each.dropped_attributes_count,
                each.flags,
            )
            for each in links
        ]
    decoded.dropped_events_count = span.dropped_events_count
    decoded.dropped_links_count = span.dropped_links_count
    if span.HasField("status"):
        code = span.status.code
        decoded.status = Status(span.status.message, code if 0 <= code <= _MOST_KINDS else 0)
    return decoded


def _id(content: bytes, none: bytes) -> str:
    return content.hex() if len(content) == len(none) and content != none else NO_ID


def _attributes(items: Iterable[ProtoKeyValue]) -> list[KeyValue] | None:
    # Most values are strings, then numbers: they cost no function call.
    attributes = []
    for item in items:
        value = item.value
        kind = value.WhichOneof("value")
        if kind == "string_value":
            decoded = Value(value.string_value)
        elif kind == "int_value":
            decoded = Value(None, value.int_value)
        else:
            decoded = _value(value)
        attributes.append(KeyValue(item.key, decoded))
    return attributes or None


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "string_value":
            return Value(value.string_value)
        case "int_value":
            return Value(int_value=value.int_value)
        case "double_value":
            number = value.double_value
            return Value(double_value=number if math.isfinite(number) else _spelled(number))
        case "bool_value":
            return Value(bool_value=value.bool_value)
        case "array_value":
            return Value(array_value=Values([_value(each) for each in value.array_value.values]))
        case "kvlist_value":
            return Value(kvlist_value=KeyValues(_attributes(value.kvlist_value.values)))
        case "bytes_value":
            return Value(bytes_value=base64.b64encode(value.bytes_value).decode())
        case _:
            return Value()


def _spelled(number: float) -> str:
    """A number that JSON has no spelling for, as the JSON of protobuf spells it."""
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _fields(content: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that hold bytes, by number; raises ValueError or IndexError."""
    data = memoryview(content)
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _BYTES:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError("a length leads past the end")
            yield tag >> 3, data[at : at + size]
            at += size
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("a field has no kind of the wire format")
    if at > end:
        raise ValueError("a field leads past the end")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")


def encode_answer(rejected: int, reason: str) -> bytes:
    """The answer to an export of which some spans may have been rejected."""
    answer = ExportTraceServiceResponse()
    if rejected or reason:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = reason
    content: bytes = answer.SerializeToString()
    return content


def encode_status(reason: str) -> bytes:
    """The answer to an export that failed: a `google.rpc.Status` with a message alone."""
    text = reason.encode()
    size, length = len(text), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return b"\x12" + bytes(length) + text

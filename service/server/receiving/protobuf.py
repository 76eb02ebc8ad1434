"""The protobuf encoding of OTLP: a message of spans read, and the answers written.

Spans are read by a schema of our own that leaves their attributes, events and links packed: to walk
through these as objects takes most of the time, and `attributes` knows most of them by their bytes.
A span is decoded by itself, so that a body of millions of empty ones takes no memory. Source of the
numbers: opentelemetry-proto, trace.proto.
"""

import base64
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.common.v1.common_pb2 import KeyValue as ProtoKeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status as ProtoStatus

from trading_graph.service.server.receiving.errors import MalformedMessageError
from trading_graph.service.server.receiving.message import (
    NO_ID,
    Encoding,
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


_PROTO = FieldDescriptorProto
_MESSAGES = {
    "Span": {
        "trace_id": (1, _PROTO.TYPE_BYTES),
        "span_id": (2, _PROTO.TYPE_BYTES),
        "trace_state": (3, _PROTO.TYPE_STRING),
        "parent_span_id": (4, _PROTO.TYPE_BYTES),
        "name": (5, _PROTO.TYPE_STRING),
        "kind": (6, _PROTO.TYPE_INT32),
        "start_time_unix_nano": (7, _PROTO.TYPE_FIXED64),
        "end_time_unix_nano": (8, _PROTO.TYPE_FIXED64),
        "attributes": (9, _PROTO.TYPE_BYTES),
        "dropped_attributes_count": (10, _PROTO.TYPE_UINT32),
        "events": (11, _PROTO.TYPE_BYTES),
        "dropped_events_count": (12, _PROTO.TYPE_UINT32),
        "links": (13, _PROTO.TYPE_BYTES),
        "dropped_links_count": (14, _PROTO.TYPE_UINT32),
        "status": (15, _PROTO.TYPE_BYTES),
        "flags": (16, _PROTO.TYPE_FIXED32),
    },
    "Event": {
        "time_unix_nano": (1, _PROTO.TYPE_FIXED64),
        "name": (2, _PROTO.TYPE_STRING),
        "attributes": (3, _PROTO.TYPE_BYTES),
        "dropped_attributes_count": (4, _PROTO.TYPE_UINT32),
    },
    "Link": {
        "trace_id": (1, _PROTO.TYPE_BYTES),
        "span_id": (2, _PROTO.TYPE_BYTES),
        "trace_state": (3, _PROTO.TYPE_STRING),
        "attributes": (4, _PROTO.TYPE_BYTES),
        "dropped_attributes_count": (5, _PROTO.TYPE_UINT32),
        "flags": (6, _PROTO.TYPE_FIXED32),
    },
    "Resource": {
        "attributes": (1, _PROTO.TYPE_BYTES),
        "dropped_attributes_count": (2, _PROTO.TYPE_UINT32),
    },
    "Scope": {
        "name": (1, _PROTO.TYPE_STRING),
        "version": (2, _PROTO.TYPE_STRING),
        "attributes": (3, _PROTO.TYPE_BYTES),
        "dropped_attributes_count": (4, _PROTO.TYPE_UINT32),
    },
}
_REPEATED = frozenset({"attributes", "events", "links"})


def _classes() -> Iterator[Any]:
    """The class of each of `_MESSAGES`, which leaves parts of it packed."""
    file = FileDescriptorProto(name="packed.proto", package="packed", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = _PROTO.LABEL_REPEATED if field in _REPEATED else _PROTO.LABEL_OPTIONAL
            message.field.add(name=field, number=number, type=kind, label=label)
    pool = DescriptorPool()
    pool.Add(file)
    for name in _MESSAGES:
        yield GetMessageClass(pool.FindMessageTypeByName(f"packed.{name}"))


_PackedSpan, _PackedEvent, _PackedLink, _PackedResource, _PackedScope = _classes()


def _decode(content: bytes) -> Message:
    """Decode a message of OTLP protobuf; raises MalformedMessageError."""
    try:
        return Message([_resource_spans(part) for number, part in _fields(content) if number == 1])
    except _ERRORS:
        raise _malformed() from None


def _decode_attribute(content: bytes) -> KeyValue:
    """Decode an attribute of OTLP protobuf; raises MalformedMessageError."""
    try:
        item = ProtoKeyValue.FromString(content)
        return KeyValue(item.key, _value(item.value))
    except _ERRORS:
        raise _malformed() from None


PROTOBUF: Final = Encoding(_decode, _decode_attribute)

_ERRORS = (DecodeError, ValueError, IndexError, RecursionError)


def _malformed() -> MalformedMessageError:
    return MalformedMessageError(
        "The body is no message of spans in OTLP protobuf; send what an OTLP exporter sends."
    )


def _resource_spans(content: memoryview) -> ResourceSpans:
    resource, scopes, url = Origin(), [], ""
    for number, part in _fields(content):
        if number == 1:
            packed = _PackedResource.FromString(part)
            resource = Origin(
                attributes=list(packed.attributes) or None,
                dropped_attributes_count=packed.dropped_attributes_count,
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
            spans.append(_span(_PackedSpan.FromString(part)))
        elif number == 1:
            packed = _PackedScope.FromString(part)
            scope = Origin(
                packed.name,
                packed.version,
                list(packed.attributes) or None,
                packed.dropped_attributes_count,
            )
        elif number == 3:
            url = str(part, "utf-8")
    return ScopeSpans(scope, spans, url)


def _span(packed: Any) -> Span:
    start, end, kind = packed.start_time_unix_nano, packed.end_time_unix_nano, packed.kind
    parent, status = packed.parent_span_id, packed.status
    return Span(
        _id(packed.trace_id, _TRACE_ID),
        _id(packed.span_id, _SPAN_ID),
        packed.trace_state,
        _id(parent, _SPAN_ID) if parent and parent != _SPAN_ID else "",
        packed.flags,
        packed.name,
        kind if 0 <= kind <= _MOST_KINDS else 0,
        # A time past the year 2262 has no place in a trace; `batches` rejects what has no start.
        start if start <= _LATEST_NS else 0,
        end if end <= _LATEST_NS else 0,
        list(packed.attributes) or None,
        packed.dropped_attributes_count,
        [_event(each) for each in packed.events] or None,
        packed.dropped_events_count,
        [_link(each) for each in packed.links] or None,
        packed.dropped_links_count,
        _status(status) if status else None,
    )


def _event(content: bytes) -> Event:
    packed = _PackedEvent.FromString(content)
    return Event(
        min(packed.time_unix_nano, _LATEST_NS),
        packed.name,
        list(packed.attributes) or None,
        packed.dropped_attributes_count,
    )


def _link(content: bytes) -> Link:
    packed = _PackedLink.FromString(content)
    return Link(
        packed.trace_id.hex(),
        packed.span_id.hex(),
        packed.trace_state,
        list(packed.attributes) or None,
        packed.dropped_attributes_count,
        packed.flags,
    )


def _status(content: bytes) -> Status:
    status = ProtoStatus.FromString(content)
    return Status(status.message, status.code if 0 <= status.code <= _MOST_KINDS else 0)


def _id(content: bytes, none: bytes) -> str:
    return content.hex() if len(content) == len(none) and content != none else NO_ID


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
            return Value(kvlist_value=KeyValues(_items(value.kvlist_value.values)))
        case "bytes_value":
            return Value(bytes_value=base64.b64encode(value.bytes_value).decode())
        case _:
            return Value()


def _items(items: Iterable[ProtoKeyValue]) -> list[KeyValue]:
    return [KeyValue(each.key, _value(each.value)) for each in items]


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

"""OTLP protobuf: a message of traces, several, or the collector's file with a length before each.

A reader of the wire format of its own, because the usual package is not quicker and would be one
more dependency. Every length is checked against what is around it. Source of the numbers:
opentelemetry-proto, trace.proto and common.proto.
"""

import base64
import math
import re
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from trading_graph.otel.errors import TraceError
from trading_graph.otel.otlp_json import OtlpSpan
from trading_graph.otel.sources.fields import LATEST_NS
from trading_graph.otel.sources.formats.format import Format
from trading_graph.otel.sources.head import Head
from trading_graph.otel.sources.traces import Traces
from trading_graph.otel.trace import NO_RESOURCE, Attributes, Event, Link, TraceBuilder
from trading_graph.otel.trace.records import nothing
from trading_graph.otel.vocabularies.sampling import TRACE_STATE

_Part = TypeVar("_Part")

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""What no text has, and what every message of spans has: the tag of a scope's spans is 0x12."""

_DOUBLE = struct.Struct("<d")
_FIXED = struct.Struct("<Q")
_TIMES = struct.Struct("<QBQ")
"""The start, a tag, and what may be the end."""
_TRACE_ID, _SPAN_ID = b"\x0a\x10", b"\x12\x08"
"""The tags of the ids, and their lengths."""
_FRAME = struct.Struct(">I")
_LARGEST = 2**64
_DEEPEST = 32
_SHARED, _SHORT = 5000, 64
"""How many attributes are shared between spans, and up to how many bytes of each."""
_NO_SPAN = b"\0" * 8


class _Malformed(Exception):
    """The bytes are no message of spans, or lie about a length."""


_ERRORS = (_Malformed, IndexError, struct.error, UnicodeDecodeError)


class _Field(NamedTuple):
    """A field of a message: its number, and its number or the place of its bytes."""

    number: int
    value: int
    start: int
    end: int


def _is_message(head: Head) -> bool:
    data = head.data
    return bool(_CONTROL.search(data)) and (_starts(data) or _is_framed(data))


def _is_framed(data: bytes) -> bool:
    """Whether a message begins after its length, which takes four bytes."""
    return data[:1] == b"\0" and _starts(data[4:])


def _starts(data: bytes) -> bool:
    """Whether bytes begin with the spans of a resource: a resource, or a scope with its spans."""
    try:
        if data[0] != 0x0A:
            return False
        size, at = _varint(data, 1)
        return size >= 2 and data[at] in (0x0A, 0x12)
    except (_Malformed, IndexError):
        return False


def _read(content: bytes, origin: str, traces: Traces) -> None:
    reader = _Reader(content, traces)
    try:
        if _is_framed(content):
            reader.frames()
        else:
            reader.message(0, len(content))
    except _ERRORS:
        raise TraceError(
            f"{origin} is no trace that can be read as OTLP protobuf: what begins at byte "
            f"{reader.at} is no span; it is cut off or damaged, or it holds logs or metrics."
        ) from None


class _Reader:
    """Reads the messages in some bytes; `at` is where the part begins that is read now."""

    def __init__(self, content: bytes, traces: Traces) -> None:
        self.at = 0
        self._data = content
        self._traces = traces
        self._known: dict[bytes, tuple[str, Any]] = {}
        self._trace_id, self._builder = b"", TraceBuilder("")

    def frames(self) -> None:
        """Read messages with the length before each."""
        at, size = 0, len(self._data)
        while at < size:
            (length,) = _FRAME.unpack_from(self._data, at)
            at += 4
            if at + length > size:
                self._traces.flaw("The last message of the file is cut off.")
                return
            self.message(at, at + length)
            at += length

    def message(self, at: int, end: int) -> None:
        """Read one message of traces, or several without anything between them."""
        for part in self._fields(at, end):
            if part.number == 1:
                resource: Attributes = NO_RESOURCE
                scopes = []
                for each in self._fields(part.start, part.end):
                    if each.number == 1:
                        resource = self._resource(each)
                    elif each.number in (2, 1000):  # 1000: what scopes were called before
                        scopes.append(each)
                for scope in scopes:
                    self._scope(scope.start, scope.end, resource)

    def _scope(self, at: int, end: int, resource: Attributes) -> None:
        data = self._data
        while at < end:
            if data[at] != 0x12:
                at = _skip(data, at, end)
                continue
            size, at = _varint(data, at + 1)
            if at + size > end:
                raise _Malformed
            self._span(at, at + size, resource)
            at += size

    def _resource(self, part: _Field) -> Attributes:
        pairs = [
            _key_value(self._data[each.start : each.end])
            for each in self._fields(part.start, part.end)
            if each.number == 1
        ]
        return dict(pairs)

    def _fields(self, at: int, end: int) -> Iterator[_Field]:
        for field in _fields(self._data, at, end):
            self.at = field.start
            yield field

    def _span(self, at: int, end: int, resource: Attributes) -> None:
        # One loop without a call for each field: there are a dozen in a span.
        self.at = at
        data, known = self._data, self._known
        get = known.get
        trace_id = span_id = parent_id = b""
        name, kind, status, start, stop = "", 0, 0, 0, 0
        attributes: dict[str, Any] = {}
        events: list[bytes] | None = None
        links: list[bytes] | None = None
        if data[at : at + 2] == _TRACE_ID and data[at + 18 : at + 20] == _SPAN_ID:
            trace_id, span_id = data[at + 2 : at + 18], data[at + 20 : at + 28]
            at += 28  # as all exporters write it
        while at < end:
            tag = data[at]
            at += 1
            if tag == 0x4A:
                size = data[at]
                at += 1
                if size > 0x7F:
                    size, at = _varint(data, at - 1)
                last = at + size
                if last > end:
                    raise _Malformed
                piece = data[at:last]
                pair = get(piece)
                if pair is None:
                    pair = _key_value(piece)
                    if size <= _SHORT and len(known) < _SHARED:
                        known[piece] = pair
                attributes[pair[0]] = pair[1]
                at = last
            elif tag == 0x39:
                start, next_tag, stop = _TIMES.unpack_from(data, at)
                at += 8
                if next_tag == 0x41:
                    at += 9
                else:
                    stop = 0
            elif tag == 0x41:
                (stop,) = _FIXED.unpack_from(data, at)
                at += 8
            elif tag == 0x30:
                kind, at = _varint(data, at)
            elif tag & 7 == 2 and tag < 0x80:
                size = data[at]
                at += 1
                if size > 0x7F:
                    size, at = _varint(data, at - 1)
                last = at + size
                if last > end:
                    raise _Malformed
                if tag == 0x0A:
                    trace_id = data[at:last]
                elif tag == 0x12:
                    span_id = data[at:last]
                elif tag == 0x22:
                    parent_id = data[at:last]
                elif tag == 0x2A:
                    name = str(data[at:last], "utf-8")
                elif tag == 0x7A:
                    if size:
                        status = _status(data, at, last)
                elif tag == 0x1A and b"ot=" in data[at:last]:
                    attributes[TRACE_STATE] = str(data[at:last], "utf-8")
                elif tag == 0x5A:
                    if events is None:
                        events = []
                    events.append(data[at:last])
                elif tag == 0x6A:
                    if links is None:
                        links = []
                    links.append(data[at:last])
                at = last
            else:
                at = _skip(data, at - 1, end)
        if at != end or len(trace_id) != 16 or len(span_id) != 8:
            raise _Malformed
        if start > LATEST_NS or stop > LATEST_NS or kind > 127 or status > 127:
            raise _Malformed
        traces = self._traces
        if trace_id != self._trace_id:
            self._trace_id, self._builder = trace_id, traces.builder(trace_id.hex())
        builder = self._builder
        builder.add(
            OtlpSpan(
                builder.trace_id,
                span_id.hex(),
                parent_id.hex() if parent_id and parent_id != _NO_SPAN else None,
                traces.names.setdefault(name, name),
                start,
                stop,
                kind,
                status,
                attributes,
                partial(_lazily, _events, events, span_id.hex()) if events else nothing,
                partial(_lazily, _links, links, span_id.hex()) if links else nothing,
                resource,
            )
        )


def _status(data: bytes, at: int, end: int) -> int:
    return next((field.value for field in _fields(data, at, end) if field.number == 3), 0)


def _lazily(
    read: Callable[[list[bytes]], list[_Part]], pieces: list[bytes], id: str
) -> list[_Part]:
    """The events or the links of a span, decoded when they are asked for; raises TraceError."""
    try:
        return read(pieces)
    except _ERRORS:
        raise TraceError(f"The events or the links of span {id} are no OTLP protobuf.") from None


def _events(pieces: list[bytes]) -> list[Event]:
    found = []
    for data in pieces:
        time_ns, name, attributes = 0, "", dict[str, Any]()
        for field in _fields(data, 0, len(data)):
            if field.number == 1:
                time_ns = field.value
            elif field.number == 2:
                name = str(data[field.start : field.end], "utf-8")
            elif field.number == 3:
                key, value = _key_value(data[field.start : field.end])
                attributes[key] = value
        found.append(Event(name, time_ns, attributes))
    return found


def _links(pieces: list[bytes]) -> list[Link]:
    found = []
    for data in pieces:
        ids, attributes = {1: "", 2: ""}, dict[str, Any]()
        for field in _fields(data, 0, len(data)):
            if field.number in ids:
                ids[field.number] = data[field.start : field.end].hex()
            elif field.number == 4:
                key, value = _key_value(data[field.start : field.end])
                attributes[key] = value
        found.append(Link(ids[1], ids[2], attributes))
    return found


def _key_value(data: bytes, depth: int = 0) -> tuple[str, Any]:
    """An attribute; the usual one has a key and a value of less than 128 bytes each."""
    size = len(data)
    if size > 4 and data[0] == 0x0A and data[1] < 0x80:
        middle = 2 + data[1]
        if middle + 2 < size and data[middle] == 0x12 and data[middle + 1] == size - middle - 2:
            key = str(data[2:middle], "utf-8")
            at = middle + 2
            if data[at] == 0x0A and at + 1 < size and data[at + 1] == size - at - 2:
                return key, str(data[at + 2 :], "utf-8")
            return key, _value(data, at, size, depth)
    key, value = "", None
    for field in _fields(data, 0, size):
        if field.number == 1:
            key = str(data[field.start : field.end], "utf-8")
        elif field.number == 2:
            value = _value(data, field.start, field.end, depth)
    return key, value


def _value(data: bytes, at: int, end: int, depth: int) -> Any:
    """A value, as the reader of JSON gives it: bytes as base64, no numbers that JSON lacks."""
    if depth > _DEEPEST:
        raise _Malformed
    value: Any = None
    for field in _fields(data, at, end):
        match field.number:
            case 1:
                value = str(data[field.start : field.end], "utf-8")
            case 2:
                value = bool(field.value)
            case 3:
                value = field.value - _LARGEST if field.value >> 63 else field.value
            case 4:
                value = _finite(_DOUBLE.unpack_from(data, field.start)[0])
            case 5:
                value = [
                    _value(data, each.start, each.end, depth + 1)
                    for each in _fields(data, field.start, field.end)
                    if each.number == 1
                ]
            case 6:
                value = dict(
                    _key_value(data[each.start : each.end], depth + 1)
                    for each in _fields(data, field.start, field.end)
                    if each.number == 1
                )
            case 7:
                value = base64.b64encode(data[field.start : field.end]).decode()
    return value


def _finite(number: float) -> float | str:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _fields(data: bytes, at: int, end: int) -> Iterator[_Field]:
    """The fields of a message that lies between two places; raises _Malformed, IndexError."""
    while at < end:
        tag, start = _varint(data, at)
        value, stop = 0, start
        match tag & 7:
            case 0:
                value, stop = _varint(data, start)
            case 1:
                (value,) = _FIXED.unpack_from(data, start)
                stop = start + 8
            case 2:
                size, start = _varint(data, start)
                stop = start + size
            case 5:
                stop = start + 4
            case _:
                raise _Malformed
        if stop > end or not tag >> 3:
            raise _Malformed
        yield _Field(tag >> 3, value, start, stop)
        at = stop


def _skip(data: bytes, at: int, end: int) -> int:
    return next(_fields(data, at, end)).end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and the place after it; raises _Malformed, IndexError."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= _LARGEST:
                raise _Malformed
            return value, at + 1
        shift += 7
        if shift > 63:
            raise _Malformed


FORMATS = (
    Format(
        "OTLP protobuf",
        "a message of traces, several, or the collector's file exporter with `format: proto`",
        "bytes: the spans of a resource as field 1",
        _is_message,
        _read,
    ),
)

"""OTLP JSON as spans: the shapes that are written, and the ids and enums that are met in them.

Source of the format: opentelemetry-proto, JSON encoding. Integers may come as strings, enums as
numbers or names, ids as hexadecimal of either case or (from plain protobuf encoders) base64, field
names in either case, and fields that hold their default may be missing.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec

from trading_graph.otel.errors import TraceError
from trading_graph.otel.trace.table import Attributes, Event, Link

_FIELDS = (
    "resource_spans scope_spans trace_id span_id parent_span_id start_time_unix_nano "
    "end_time_unix_nano time_unix_nano string_value int_value double_value bool_value "
    "array_value kvlist_value bytes_value"
)
_SNAKE = re.compile(rb'"(' + "|".join(_FIELDS.split()).encode() + rb')"(?=\s*:)')
_OLD_SCOPES = b'"instrumentationLibrarySpans"'

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES = ("UNSET", "OK", "ERROR")
_MOST_SHARED = 5000
"""So many strings are shared among spans: what comes later is seldom said again."""
_NO_PARENT = {"", "0" * 16, "AAAAAAAAAAA="}

UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What decoding raises on text that is not what it should be."""

Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Enum = Annotated[int, msgspec.Meta(ge=0, le=127)] | str
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class _Values(msgspec.Struct, gc=False):
    values: "list[_Value]" = []


class _KeyValues(msgspec.Struct, gc=False):
    values: "list[_KeyValue]" = []


class _Value(msgspec.Struct, rename="camel", gc=False):
    string_value: str | None = None
    int_value: int | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None
    array_value: _Values | None = None
    kvlist_value: _KeyValues | None = None
    bytes_value: str | None = None


class _KeyValue(msgspec.Struct, gc=False):
    key: str
    value: _Value | None = None


class _Event(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    time_unix_nano: Nanoseconds = 0
    attributes: list[_KeyValue] = []


class _Link(msgspec.Struct, rename="camel", gc=False):
    trace_id: str = ""
    span_id: str = ""
    attributes: list[_KeyValue] = []


class _Status(msgspec.Struct, gc=False):
    code: Enum = 0


_NONE = msgspec.Raw(b"[]")


class OtlpSpan(msgspec.Struct, gc=False):
    """One span of an OTLP document: a `SpanRecord`, its events and links still encoded."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    encoded_kind: Enum
    encoded_status: _Status | None
    decoded_attributes: Attributes
    encoded_events: msgspec.Raw
    encoded_links: msgspec.Raw

    @property
    def kind(self) -> int:
        """The kind as OTLP numbers it."""
        found = self.encoded_kind
        return found if isinstance(found, int) else _enum(found, "SPAN_KIND_", _KINDS)

    @property
    def status(self) -> int:
        """The status code as OTLP numbers it."""
        if self.encoded_status is None:
            return 0
        found = self.encoded_status.code
        return found if isinstance(found, int) else _enum(found, "STATUS_CODE_", _STATUSES)

    def attributes(self) -> Attributes:
        """The attributes."""
        return self.decoded_attributes

    def events(self) -> list[Event]:
        """The events, decoded."""
        if self.encoded_events is _NONE:
            return []
        return [
            Event(event.name, event.time_unix_nano, _attributes(event.attributes))
            for event in _decode(_EVENTS, self.encoded_events, "events", self) or ()
        ]

    def links(self) -> list[Link]:
        """The links, decoded."""
        if self.encoded_links is _NONE:
            return []
        return [
            Link(
                hexadecimal(link.trace_id),
                hexadecimal(link.span_id),
                _attributes(link.attributes),
            )
            for link in _decode(_LINKS, self.encoded_links, "links", self) or ()
        ]


class WrittenSpan(msgspec.Struct, gc=False, rename="camel"):
    """A span as the text has it: short-lived, since it takes four times the memory."""

    trace_id: Id
    span_id: Id
    name: str = ""
    parent_span_id: str | None = None
    kind: Enum = 0
    start_time_unix_nano: Nanoseconds = 0
    end_time_unix_nano: Nanoseconds = 0
    attributes: list[_KeyValue] | None = None
    events: msgspec.Raw = _NONE
    links: msgspec.Raw = _NONE
    status: _Status | None = None

    def record(self, trace_id: str, names: dict[str, str]) -> OtlpSpan:
        """The span as it is kept; all share one string for the trace and, by `names`, for a name.

        So they do for an attribute's key and for a value that many have: that is half the memory.
        """
        parent = self.parent_span_id
        return OtlpSpan(
            trace_id,
            hexadecimal(self.span_id),
            None if parent is None or parent in _NO_PARENT else hexadecimal(parent),
            names.setdefault(self.name, self.name),
            self.start_time_unix_nano,
            self.end_time_unix_nano,
            self.kind,
            self.status,
            _attributes(self.attributes or (), names),
            # Copied, or one event of one span would hold the whole text.
            self.events if self.events is _NONE else self.events.copy(),
            self.links if self.links is _NONE else self.links.copy(),
        )


class _ScopeSpans(msgspec.Struct):
    spans: list[WrittenSpan] | None = None


class _ResourceSpans(msgspec.Struct, rename="camel"):
    scope_spans: list[_ScopeSpans] | None = None


class OtlpDocument(msgspec.Struct, rename="camel"):
    """One OTLP document: a message of traces, or Jaeger's `{"result": ...}` around one."""

    resource_spans: list[_ResourceSpans] | None = None
    result: "OtlpDocument | None" = None

    def spans(self) -> Iterator[WrittenSpan]:
        """All its spans, in the order of the text."""
        if self.result is not None:
            yield from self.result.spans()
        for resource in self.resource_spans or ():
            for scope in resource.scope_spans or ():
                yield from scope.spans or ()


_EVENTS = msgspec.json.Decoder(list[_Event] | None, strict=False)
_LINKS = msgspec.json.Decoder(list[_Link] | None, strict=False)


def in_camel_case(content: bytes) -> bytes:
    """The text with the names of OTLP's fields as current JSON encoders write them; itself if so.

    Only names of fields are touched: inside a string a quotation mark is escaped, so that no value
    can look like a name.
    """
    if _OLD_SCOPES in content:
        content = content.replace(_OLD_SCOPES, b'"scopeSpans"')
    if b'_spans"' not in content:
        return content

    def camel(found: re.Match[bytes]) -> bytes:
        first, *rest = found[1].split(b"_")
        return b'"' + first + b"".join(word.capitalize() for word in rest) + b'"'

    return _SNAKE.sub(camel, content)


def _decode(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw, what: str, span: OtlpSpan) -> Any:
    try:
        return decoder.decode(raw)
    except UNREADABLE as error:
        raise TraceError(
            f"The {what} of span {span.span_id} are not OTLP JSON: {error}."
        ) from error


def hexadecimal(text: str) -> str:
    """An id in lower-case hexadecimal; base64 is known by its length and padding."""
    if text[-1:] == "=" and len(text) in (12, 24):
        try:
            return base64.b64decode(text, validate=True).hex()
        except ValueError:
            return text
    return text.lower()


def _enum(value: str, prefix: str, names: tuple[str, ...]) -> int:
    name = value.removeprefix(prefix)
    return names.index(name) if name in names else 0


def _attributes(encoded: Sequence[_KeyValue], shared: dict[str, str] | None = None) -> Attributes:
    # Most values are strings, then numbers: for them no function is called.
    found: dict[str, Any] = {}
    known = {} if shared is None else shared
    room = len(known) < _MOST_SHARED
    for item in encoded:
        key = item.key
        key = known.setdefault(key, key) if room else known.get(key, key)
        value = item.value
        if value is None:
            found[key] = None
        elif (text := value.string_value) is not None:
            found[key] = known.setdefault(text, text) if room else known.get(text, text)
        elif (whole := value.int_value) is not None:
            found[key] = whole
        elif (number := value.double_value) is not None:
            found[key] = number
        else:
            found[key] = _value(value)
    return found


def _value(encoded: _Value | None) -> Any:
    if encoded is None:
        return None
    if encoded.string_value is not None:
        return encoded.string_value
    if encoded.int_value is not None:
        return encoded.int_value
    if encoded.double_value is not None:
        return encoded.double_value
    if encoded.bool_value is not None:
        return encoded.bool_value
    if encoded.array_value is not None:
        return [_value(item) for item in encoded.array_value.values]
    if encoded.kvlist_value is not None:
        return _attributes(encoded.kvlist_value.values)
    return encoded.bytes_value

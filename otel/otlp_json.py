"""OTLP JSON of any origin: its only reader, for traces that are judged and for spans sent again.

Source of the format: opentelemetry-proto, JSON encoding. Integers may be strings, enums may be
numbers or names, ids may be hexadecimal in either case or (from plain protobuf encoders) base64,
field names may be camelCase or snake_case, and fields with their default value may be missing. The
writer is `files.span_lines`; `files.sdk_spans` rebuilds the SDK's spans from what is read here.
"""

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar

import msgspec

from trading_graph.otel.errors import TraceError
from trading_graph.otel.trace.records import NO_RESOURCE, Event, Link, nothing
from trading_graph.otel.trace.table import Attributes
from trading_graph.otel.vocabularies.sampling import TRACE_STATE

_FIELDS = (
    "resource_spans resource_logs resource_metrics scope_spans trace_id span_id parent_span_id "
    "start_time_unix_nano end_time_unix_nano time_unix_nano string_value int_value double_value "
    "bool_value array_value kvlist_value bytes_value"
)
_SNAKE = re.compile(rb'"(' + "|".join(_FIELDS.split()).encode() + rb')"(?=\s*:)')
_OLD_SCOPES = b'"instrumentationLibrarySpans"'

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES = ("UNSET", "OK", "ERROR")
_SHARED_STRINGS = 5000
"""Maximum number of strings that spans share; strings that come later seldom occur again."""
_NO_PARENT = {"", "0" * 16, "AAAAAAAAAAA="}

DECODE_ERRORS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What decoding raises on malformed text."""

Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Enum = Annotated[int, msgspec.Meta(ge=0, le=127)] | str
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class _RawValues(msgspec.Struct, gc=False):
    values: "list[_RawValue]" = []


class _RawKeyValues(msgspec.Struct, gc=False):
    values: "list[RawKeyValue]" = []


class _RawValue(msgspec.Struct, rename="camel", gc=False):
    string_value: str | None = None
    int_value: int | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None
    array_value: _RawValues | None = None
    kvlist_value: _RawKeyValues | None = None
    bytes_value: str | None = None


class RawKeyValue(msgspec.Struct, gc=False):
    """An attribute as it stands in the text."""

    key: str
    value: _RawValue | None = None


class RawEvent(msgspec.Struct, rename="camel", gc=False):
    """An event as it stands in the text."""

    name: str = ""
    time_unix_nano: Nanoseconds = 0
    attributes: list[RawKeyValue] = []


class RawLink(msgspec.Struct, rename="camel", gc=False):
    """A link as it stands in the text."""

    trace_id: str = ""
    span_id: str = ""
    attributes: list[RawKeyValue] = []
    flags: int | None = None
    trace_state: str | None = None


class RawStatus(msgspec.Struct, gc=False):
    """A status as it stands in the text."""

    code: Enum = 0
    message: str | None = None


_NONE = msgspec.Raw(b"[]")
_NO_RESOURCE = msgspec.Raw(b"{}")


class OtlpSpan(msgspec.Struct, gc=False):
    """One span of an OTLP document: a `SpanRecord` that decodes its events and links by a call."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    kind: int
    status: int
    decoded_attributes: Attributes
    events: Callable[[], Sequence[Event]]
    links: Callable[[], Sequence[Link]]
    resource: Attributes

    follows: ClassVar[bool] = False

    def attributes(self) -> Attributes:
        """Return the attributes."""
        return self.decoded_attributes


class RawSpan(msgspec.Struct, gc=False, rename="camel"):
    """A span as it stands in the text; short-lived, since it takes four times the memory."""

    trace_id: Id
    span_id: Id
    name: str = ""
    parent_span_id: str | None = None
    kind: Enum = 0
    start_time_unix_nano: Nanoseconds = 0
    end_time_unix_nano: Nanoseconds = 0
    attributes: list[RawKeyValue] | None = None
    events: msgspec.Raw = _NONE
    links: msgspec.Raw = _NONE
    status: RawStatus | None = None
    flags: int | None = None
    trace_state: str | None = None

    def record(
        self, trace_id: str, names: dict[str, str], resource: Attributes = NO_RESOURCE
    ) -> OtlpSpan:
        """Return the span for the trace table.

        Equal names, attribute keys and frequent values share one string through `names`, and all
        spans share the trace id: this halves the memory.
        """
        parent, kind, events, links = self.parent_span_id, self.kind, self.events, self.links
        status = 0 if self.status is None else self.status.code
        attributes = _attributes(self.attributes or (), names)
        if self.trace_state and "ot=" in self.trace_state:
            attributes = {**attributes, TRACE_STATE: self.trace_state}
        return OtlpSpan(
            trace_id,
            hexadecimal(self.span_id),
            None if parent is None or parent in _NO_PARENT else hexadecimal(parent),
            names.setdefault(self.name, self.name),
            self.start_time_unix_nano,
            self.end_time_unix_nano,
            kind if isinstance(kind, int) else _enum(kind, "SPAN_KIND_", KINDS),
            status if isinstance(status, int) else _enum(status, "STATUS_CODE_", _STATUSES),
            attributes,
            # Copies, because one event would keep the whole text in memory.
            nothing if events is _NONE else partial(_events, events.copy(), self.span_id),
            nothing if links is _NONE else partial(_links, links.copy(), self.span_id),
            resource,
        )


class RawOrigin(msgspec.Struct):
    """A resource, or the scope of an instrumentation, as it stands in the text."""

    name: str = ""
    version: str | None = None
    attributes: list[RawKeyValue] | None = None


class _RawScopeSpans(msgspec.Struct, rename="camel"):
    spans: list[RawSpan] | None = None
    scope: msgspec.Raw = _NO_RESOURCE
    schema_url: str | None = None


class _RawResourceSpans(msgspec.Struct, rename="camel"):
    scope_spans: list[_RawScopeSpans] | None = None
    resource: msgspec.Raw = _NO_RESOURCE
    schema_url: str | None = None


class OtlpDocument(msgspec.Struct, rename="camel"):
    """One OTLP document: a message of traces, or what stands around or inside one elsewhere.

    Jaeger answers with `{"result": ...}`, Tempo with `batches` or `{"trace": ...}`; the spans of
    one resource alone have no message around them.
    """

    resource_spans: list[_RawResourceSpans] | None = None
    result: "OtlpDocument | None" = None
    trace: "OtlpDocument | None" = None
    batches: list[_RawResourceSpans] | None = None
    scope_spans: list[_RawScopeSpans] | None = None
    resource: msgspec.Raw = _NO_RESOURCE

    def parts(self) -> Iterator[_RawResourceSpans]:
        """The spans of each resource, in the order of the text."""
        for inner in (self.result, self.trace):
            if inner is not None:
                yield from inner.parts()
        yield from self.resource_spans or ()
        yield from self.batches or ()
        if self.scope_spans is not None:
            yield _RawResourceSpans(self.scope_spans, self.resource)

    def spans(self, resources: "Resources") -> Iterator[tuple[Sequence[RawSpan], Attributes]]:
        """Iterate over its spans in the order of the text, those of a scope with their resource."""
        for part in self.parts():
            resource = resources.decode(part.resource)
            for scope in part.scope_spans or ():
                yield scope.spans or (), resource

    @property
    def has_spans(self) -> bool:
        """Whether it holds any span."""
        return any(scope.spans for part in self.parts() for scope in part.scope_spans or ())


class Resources:
    """The resources of spans: equal ones are decoded once and share one object."""

    def __init__(self) -> None:
        self._decoded: dict[bytes, Attributes] = {}

    def decode(self, encoded: msgspec.Raw) -> Attributes:
        """The attributes of a resource; none where it is malformed, since spans do without."""
        text = bytes(encoded)
        resource = self._decoded.get(text)
        if resource is None:
            try:
                resource = _attributes(decode_origin(encoded).attributes or ())
            except DECODE_ERRORS:
                resource = NO_RESOURCE
            self._decoded[text] = resource
        return resource


_EVENTS = msgspec.json.Decoder(list[RawEvent] | None, strict=False)
_LINKS = msgspec.json.Decoder(list[RawLink] | None, strict=False)
_ORIGIN = msgspec.json.Decoder(RawOrigin, strict=False)


def in_camel_case(content: bytes, *, always: bool = False) -> bytes:
    """Rewrite OTLP's field names in camelCase; returns the same object if nothing changes.

    Without `always`, only a message of spans is looked through. Only field names change: a
    quotation mark inside a string is escaped, so no value can look like a name.
    """
    if _OLD_SCOPES in content:
        content = content.replace(_OLD_SCOPES, b'"scopeSpans"')
    if not always and b'_spans"' not in content and b'"resource_' not in content:
        return content

    def camel(match: re.Match[bytes]) -> bytes:
        first, *rest = match[1].split(b"_")
        return b'"' + first + b"".join(word.capitalize() for word in rest) + b'"'

    return _SNAKE.sub(camel, content)


def decode_origin(encoded: msgspec.Raw) -> RawOrigin:
    """Decode a resource or a scope; raises one of DECODE_ERRORS."""
    origin: RawOrigin = _ORIGIN.decode(encoded)
    return origin


def decode_events(encoded: msgspec.Raw, span_id: str) -> list[RawEvent]:
    """Decode the events of a span; raises TraceError."""
    return _decode(_EVENTS, encoded, "events", span_id) or []


def decode_links(encoded: msgspec.Raw, span_id: str) -> list[RawLink]:
    """Decode the links of a span; raises TraceError."""
    return _decode(_LINKS, encoded, "links", span_id) or []


def _events(encoded: msgspec.Raw, span_id: str) -> list[Event]:
    return [
        Event(event.name, event.time_unix_nano, _attributes(event.attributes))
        for event in decode_events(encoded, span_id)
    ]


def _links(encoded: msgspec.Raw, span_id: str) -> list[Link]:
    return [
        Link(hexadecimal(link.trace_id), hexadecimal(link.span_id), _attributes(link.attributes))
        for link in decode_links(encoded, span_id)
    ]


def _decode(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw, what: str, span_id: str) -> Any:
    try:
        return decoder.decode(raw)
    except DECODE_ERRORS as error:
        raise TraceError(
            f"The {what} of span {hexadecimal(span_id)} are not OTLP JSON: {error}."
        ) from error


def hexadecimal(text: str) -> str:
    """Return an id in lower-case hexadecimal; base64 is recognised by its length and padding."""
    if text[-1:] == "=" and len(text) in (12, 24):
        try:
            return base64.b64decode(text, validate=True).hex()
        except ValueError:
            return text
    return text.lower()


def _enum(value: str, prefix: str, names: tuple[str, ...]) -> int:
    name = value.removeprefix(prefix)
    return names.index(name) if name in names else 0


def _attributes(items: Sequence[RawKeyValue], strings: dict[str, str] | None = None) -> Attributes:
    # Most values are strings, then numbers: they cost no function call.
    attributes: dict[str, Any] = {}
    strings = {} if strings is None else strings
    share = strings.setdefault if len(strings) < _SHARED_STRINGS else strings.get
    for item in items:
        key, value = share(item.key, item.key), item.value
        if value is None:
            attributes[key] = None
        elif (text := value.string_value) is not None:
            attributes[key] = share(text, text)
        elif (whole := value.int_value) is not None:
            attributes[key] = whole
        elif (number := value.double_value) is not None:
            attributes[key] = number
        else:
            attributes[key] = _value(value)
    return attributes


def _value(value: _RawValue | None) -> Any:
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return value.int_value
    if value.double_value is not None:
        return value.double_value
    if value.bool_value is not None:
        return value.bool_value
    if value.array_value is not None:
        return [_value(item) for item in value.array_value.values]
    if value.kvlist_value is not None:
        return _attributes(value.kvlist_value.values)
    return value.bytes_value


def exact_attributes(items: Sequence[RawKeyValue] | None) -> dict[str, Any]:
    """Decode attributes with bytes, and with the numbers that JSON has no spelling for.

    The trace that is judged has both as text, so that each of its values can be written as JSON.
    """
    return {item.key: _exact(item.value) for item in items or ()}


def _exact(value: _RawValue | None) -> Any:
    if value is None:
        return None
    if isinstance(value.double_value, str):
        return float(value.double_value)
    if value.bytes_value is not None:
        return base64.b64decode(value.bytes_value)
    if value.array_value is not None:
        return [_exact(item) for item in value.array_value.values]
    if value.kvlist_value is not None:
        return exact_attributes(value.kvlist_value.values)
    return _value(value)

"""The message of OTLP that carries spans: its parts, its JSON, and the text that is kept of it.

The same structures are decoded from a request and encoded into the log file of a trace. Attributes
stay as they came until `attributes` makes their texts. A field that the protocol does not have is
left out. Source: opentelemetry-proto, JSON encoding.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from trading_graph.otel.errors import TraceError
from trading_graph.otel.otlp_json import (
    DECODE_ERRORS,
    Enum,
    Nanoseconds,
    hexadecimal,
    in_camel_case,
)
from trading_graph.otel.sources.json_documents import documents
from trading_graph.service.server.receiving.errors import MalformedMessageError

Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class _Part(msgspec.Struct, gc=False, omit_defaults=True, rename="camel"):
    """A part of a message."""


class Value(_Part):
    """A value of an attribute: exactly one field is set, or none."""

    string_value: str | None = None
    int_value: Whole | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None
    array_value: "Values | None" = None
    kvlist_value: "KeyValues | None" = None
    bytes_value: str | None = None


class Values(_Part):
    """An array of values."""

    values: list[Value] | None = None


class KeyValue(_Part):
    """An attribute."""

    key: str
    value: Value | None = None


class KeyValues(_Part):
    """A map of values."""

    values: list[KeyValue] | None = None


class Event(_Part):
    """An event of a span."""

    time_unix_nano: Nanoseconds = 0
    name: str = ""
    attributes: list[msgspec.Raw] | None = None
    dropped_attributes_count: Count = 0


class Link(_Part):
    """A link of a span."""

    trace_id: str = ""
    span_id: str = ""
    trace_state: str = ""
    attributes: list[msgspec.Raw] | None = None
    dropped_attributes_count: Count = 0
    flags: Count = 0


class Status(_Part):
    """The status of a span."""

    message: str = ""
    code: Enum = 0


NO_ID: Final = "?"
"""What the decoders write for an id that is none."""


class Span(_Part):
    """A span; its ids are lower-case hexadecimal digits or `NO_ID`, and a root has no parent's."""

    trace_id: str = ""
    span_id: str = ""
    trace_state: str = ""
    parent_span_id: str = ""
    flags: Count = 0
    name: str = ""
    kind: Enum = 0
    start_time_unix_nano: Nanoseconds = 0
    end_time_unix_nano: Nanoseconds = 0
    attributes: list[msgspec.Raw] | None = None
    dropped_attributes_count: Count = 0
    events: list[Event] | None = None
    dropped_events_count: Count = 0
    links: list[Link] | None = None
    dropped_links_count: Count = 0
    status: Status | None = None


class Origin(_Part):
    """A resource, or the scope of an instrumentation."""

    name: str = ""
    version: str = ""
    attributes: list[msgspec.Raw] | None = None
    dropped_attributes_count: Count = 0


class ScopeSpans(_Part):
    """Spans of one scope."""

    scope: Origin | None = None
    spans: list[Span] | None = None
    schema_url: str = ""


class ResourceSpans(_Part):
    """Spans of one resource."""

    resource: Origin | None = None
    scope_spans: list[ScopeSpans] | None = None
    schema_url: str = ""


class Message(_Part):
    """A message of spans."""

    resource_spans: list[ResourceSpans] | None = None


class _Answer(_Part):
    """What Jaeger answers: a message in an envelope."""

    result: Message | None = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding of messages: how one is decoded, and how an attribute in it is."""

    decode: Callable[[bytes], Message]
    decode_attribute: Callable[[bytes], KeyValue]


_DECODER = msgspec.json.Decoder(Message, strict=False)
_ATTRIBUTE_DECODER = msgspec.json.Decoder(KeyValue, strict=False)
_ANSWER_DECODER = msgspec.json.Decoder(_Answer, strict=False)
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")
_NO_PARENT = frozenset({"", "0" * 16})


def _decode_json(content: bytes) -> Message:
    """Decode a message of OTLP JSON; raises MalformedMessageError."""
    try:
        message = _DECODER.decode(content)
        if not message.resource_spans:
            camel = in_camel_case(content)
            message = message if camel is content else _DECODER.decode(camel)
    except DECODE_ERRORS as error:
        raise _malformed(error, "") from None
    _check_ids(message)
    return message


def _decode_attribute(content: bytes) -> KeyValue:
    """Decode an attribute of OTLP JSON; raises MalformedMessageError."""
    try:
        return _ATTRIBUTE_DECODER.decode(content)
    except DECODE_ERRORS as error:
        raise _malformed(error, "attributes[...].") from None


def _malformed(error: Exception, within: str) -> MalformedMessageError:
    place = str(error).partition(" - at ")[2].strip("`").removeprefix("$").removeprefix(".")
    at = f": {within}{place[:100]} is not what it should be" if place else ""
    return MalformedMessageError(
        f"The body is no message of spans in OTLP JSON{at}; send what an OTLP exporter sends."
    )


def _decode_jaeger(content: bytes) -> Message:
    """Decode what Jaeger's stable API answers; raises MalformedMessageError."""
    parts = list[ResourceSpans]()
    try:
        for answer in documents(content, "The answer of Jaeger", "OTLP JSON", _decode_answer):
            if isinstance(answer, _Answer) and answer.result is not None:
                parts += answer.result.resource_spans or ()
    except TraceError as error:
        raise MalformedMessageError(str(error)) from None
    message = Message(parts)
    _check_ids(message)
    return message


def _decode_answer(content: bytes) -> list[_Answer]:
    return [_ANSWER_DECODER.decode(content)]


def _check_ids(message: Message) -> None:
    for resource in message.resource_spans or ():
        for scope in resource.scope_spans or ():
            for span in scope.spans or ():
                span.trace_id = _checked(span.trace_id, _TRACE_ID)
                span.span_id = _checked(span.span_id, _SPAN_ID)
                parent = span.parent_span_id
                span.parent_span_id = "" if parent in _NO_PARENT else _checked(parent, _SPAN_ID)


def _checked(text: str, pattern: re.Pattern[str]) -> str:
    digits = hexadecimal(text)
    return digits if pattern.fullmatch(digits) else NO_ID


JSON: Final = Encoding(_decode_json, _decode_attribute)
JAEGER: Final = Encoding(_decode_jaeger, _decode_attribute)
"""What Jaeger's stable API answers."""

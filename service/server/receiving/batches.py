"""A message split by trace: checked, without secrets, one line of OTLP JSON for each trace.

A span that cannot be kept is rejected by itself, and the answer says why.
"""

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from trading_graph.otel.otlp_json import hexadecimal
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.vocabularies.witness import declared_spans
from trading_graph.service.server.receiving.errors import (
    MalformedMessageError,
    MessageTooLargeError,
)
from trading_graph.service.server.receiving.message import (
    KeyValue,
    Message,
    Origin,
    ResourceSpans,
    ScopeSpans,
    Span,
    Value,
)

_DEEPEST = 32
"""How deep values may stand in one another."""
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")
_NO_ID = frozenset({"", "0" * 16})
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
ENCODINGS = frozenset({"identity", *_WINDOWS})
"""What a body may be packed in."""
_MOST_MEMBERS = 16


class Rejection(StrEnum):
    """Why a span is not kept; the value is what the sender is told."""

    TRACE_ID = "their trace id is not 16 bytes, or all zeros"
    SPAN_ID = "their span id, or their parent's, is not 8 bytes, or all zeros"
    TIME = "they have no start time that a trace can have"
    DEPTH = f"their attributes are nested more than {_DEEPEST} deep"
    SIZE = "their trace has reached its largest size (TRADING_GRAPH_SERVE_UPLOAD_MIB)"


@dataclass(frozen=True, slots=True)
class SpanPlace:
    """Where a span stands in its trace: its id, its parent's (0: none), and what it declares."""

    span_id: int
    parent_id: int
    declared: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """The spans of one trace in a message, and the line that keeps them."""

    trace_id: str
    spans: Sequence[SpanPlace]
    line: bytes


class Splitter:
    """Splits messages by trace; only one thread may use it."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def split(self, message: Message) -> tuple[list[Batch], Counter[Rejection]]:
        """The batches of a message, and how many spans are rejected for what.

        Raises MalformedMessageError.
        """
        parts: dict[str, _TraceParts] = {}
        rejections = Counter[Rejection]()
        try:
            for resource in message.resource_spans or ():
                self._redact_origin(resource.resource)
                for scope in resource.scope_spans or ():
                    self._redact_origin(scope.scope)
                    for span in scope.spans or ():
                        self._add(span, resource, scope, parts, rejections)
            return [each.batch(trace_id) for trace_id, each in parts.items()], rejections
        except _TooDeepError:
            raise MalformedMessageError(f"The message is refused: {Rejection.DEPTH}.") from None
        except UnicodeEncodeError:
            raise MalformedMessageError("The message holds text that is not Unicode.") from None

    def _add(
        self,
        span: Span,
        resource: ResourceSpans,
        scope: ScopeSpans,
        parts: "dict[str, _TraceParts]",
        rejections: Counter[Rejection],
    ) -> None:
        span.trace_id, span.span_id = hexadecimal(span.trace_id), hexadecimal(span.span_id)
        parent = hexadecimal(span.parent_span_id)
        span.parent_span_id = parent = "" if parent in _NO_ID else parent
        if (reason := _rejection(span)) is not None:
            rejections[reason] += 1
            return
        try:
            declared = self._redact(span)
        except _TooDeepError:
            rejections[Rejection.DEPTH] += 1
            return
        part = parts.get(span.trace_id)
        if part is None:
            part = parts[span.trace_id] = _TraceParts()
        part.add(span, resource, scope)
        place = SpanPlace(int(span.span_id, 16), int(parent or "0", 16), declared)
        part.places.append(place)

    def _redact(self, span: Span) -> int | None:
        """Take the secrets out of a span; returns the count of spans that it declares."""
        text = self._redactor.text
        span.name = text(span.name)
        declared = self._redact_attributes(span.attributes)
        for event in span.events or ():
            event.name = text(event.name)
            self._redact_attributes(event.attributes)
        for link in span.links or ():
            self._redact_attributes(link.attributes)
        if span.status is not None and span.status.message:
            span.status.message = text(span.status.message)
        return declared

    def _redact_origin(self, origin: Origin | None) -> None:
        if origin is not None:
            self._redact_attributes(origin.attributes)

    def _redact_attributes(self, attributes: Sequence[KeyValue] | None) -> int | None:
        declared = None
        redact = self._redactor.attribute
        for item in attributes or ():
            value = item.value
            if value is None:
                continue
            if value.string_value is not None:
                value.string_value = redact(item.key, value.string_value)
            elif value.int_value is not None:
                if item.key in declared_spans.keys:
                    declared = value.int_value
            elif value.array_value is not None or value.kvlist_value is not None:
                self._redact_value(item.key, value, _DEEPEST)
        return declared

    def _redact_value(self, key: str, value: Value, room: int) -> None:
        if not room:
            raise _TooDeepError
        if value.string_value is not None:
            value.string_value = self._redactor.attribute(key, value.string_value)
        if value.array_value is not None:
            for each in value.array_value.values or ():
                self._redact_value(key, each, room - 1)
        if value.kvlist_value is not None:
            for item in value.kvlist_value.values or ():
                if item.value is not None:
                    self._redact_value(item.key, item.value, room - 1)


class _TooDeepError(Exception):
    """Values stand too deep in one another."""


class _TraceParts:
    """The parts of a message that belong to one trace."""

    def __init__(self) -> None:
        self.places: list[SpanPlace] = []
        self._resources: dict[int, ResourceSpans] = {}
        self._scopes: dict[int, ScopeSpans] = {}

    def add(self, span: Span, resource: ResourceSpans, scope: ScopeSpans) -> None:
        """Add a span below copies of its resource and scope."""
        # By identity: the message outlives these parts.
        part = self._scopes.get(id(scope))
        if part is None:
            part = self._scopes[id(scope)] = ScopeSpans(scope.scope, [], scope.schema_url)
            above = self._resources.get(id(resource))
            if above is None:
                above = ResourceSpans(resource.resource, [], resource.schema_url)
                self._resources[id(resource)] = above
            assert above.scope_spans is not None
            above.scope_spans.append(part)
        assert part.spans is not None
        part.spans.append(span)

    def batch(self, trace_id: str) -> Batch:
        """The batch of the trace."""
        line = msgspec.json.encode(Message(list(self._resources.values())))
        return Batch(trace_id, self.places, line + b"\n")


def _rejection(span: Span) -> Rejection | None:
    if not _TRACE_ID.fullmatch(span.trace_id):
        return Rejection.TRACE_ID
    parent = span.parent_span_id
    if not _SPAN_ID.fullmatch(span.span_id) or (parent and not _SPAN_ID.fullmatch(parent)):
        return Rejection.SPAN_ID
    return None if span.start_time_unix_nano else Rejection.TIME


def in_words(rejections: Mapping[Rejection, int]) -> str:
    """Why spans were rejected, in a sentence; empty where none was."""
    parts = [f"{count} because {reason}" for reason, count in rejections.items() if count]
    return f"Spans were rejected: {', '.join(parts)}." if parts else ""


def unpacked(content: bytes, encoding: str, most: int) -> bytes:
    """A body without its Content-Encoding.

    Raises MalformedMessageError, or MessageTooLargeError where it has more than `most` bytes.
    """
    if encoding == "identity":
        return content
    pieces, room = list[bytes](), most + 1
    for _ in range(_MOST_MEMBERS):
        inflater = zlib.decompressobj(_WINDOWS[encoding])
        try:
            piece = inflater.decompress(content, room)
        except zlib.error:
            raise MalformedMessageError(
                f"The body is not {encoding}, as its Content-Encoding says."
            ) from None
        pieces.append(piece)
        room -= len(piece)
        if not room:
            raise MessageTooLargeError
        if not inflater.eof:
            raise MalformedMessageError(f"The body is cut off: its {encoding} ends in the middle.")
        content = inflater.unused_data
        if not content:
            return b"".join(pieces)
    raise MalformedMessageError(f"The body consists of more than {_MOST_MEMBERS} parts of gzip.")

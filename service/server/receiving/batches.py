"""A message split by trace: checked, without secrets, one line of OTLP JSON for each trace.

A span that cannot be kept is rejected by itself, and the answer says why.
"""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from trading_graph.otel.redaction import Redactor
from trading_graph.otel.vocabularies.witness import declared_spans
from trading_graph.service.server.receiving.errors import (
    MalformedMessageError,
    MessageTooLargeError,
)
from trading_graph.service.server.receiving.message import (
    NO_ID,
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
_SERVICE = "service.name"
_REMOTE = 0x300
"""The flags that say of a parent that it is remote."""
LATEST_NS = 2**63 - 1
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


class SpanPlace(msgspec.Struct, frozen=True, gc=False):
    """Where a span stands in its trace: its id, its parent's ("": none), and what it declares.

    `is_entry`: its parent is a span of another process.
    """

    span_id: str
    parent_id: str
    declared: int | None
    is_entry: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """The spans of one trace in a message, and the line that keeps them.

    `root` is the name of its root, if that is among them; `service` is its service, else that of
    the first span. `started` is in ns since the epoch.
    """

    trace_id: str
    spans: Sequence[SpanPlace]
    line: bytes
    root: str | None = None
    service: str = ""
    started: int = LATEST_NS


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
                    self._add_all(resource, scope, parts, rejections)
            return [each.batch() for each in parts.values()], rejections
        except _TooDeepError:
            raise MalformedMessageError(f"The message is refused: {Rejection.DEPTH}.") from None
        except UnicodeEncodeError:
            raise MalformedMessageError("The message holds text that is not Unicode.") from None

    def _add_all(
        self,
        resource: ResourceSpans,
        scope: ScopeSpans,
        parts: "dict[str, _TraceParts]",
        rejections: Counter[Rejection],
    ) -> None:
        part = None
        for span in scope.spans or ():
            if (reason := _rejection(span)) is not None:
                rejections[reason] += 1
                continue
            try:
                declared = self._redact(span)
            except _TooDeepError:
                rejections[Rejection.DEPTH] += 1
                continue
            if part is None or part.trace_id != span.trace_id:
                part = parts.get(span.trace_id)
                if part is None:
                    part = parts[span.trace_id] = _TraceParts(span.trace_id)
                part.begin(resource, scope)
            parent = span.parent_span_id
            if not parent:
                part.root, part.service = span.name, _service(resource)
            part.started = min(part.started, span.start_time_unix_nano)
            part.spans.append(span)
            part.places.append(
                SpanPlace(span.span_id, parent, declared, span.flags & _REMOTE == _REMOTE)
            )

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

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self.root: str | None = None
        self.service = ""
        self.started = LATEST_NS
        self.places: list[SpanPlace] = []
        self.spans: list[Span] = []
        """Those of the scope that was begun last."""
        self._resources: dict[int, ResourceSpans] = {}
        self._scopes: dict[int, list[Span]] = {}

    def begin(self, resource: ResourceSpans, scope: ScopeSpans) -> None:
        """Go on below copies of a resource and a scope."""
        self.service = self.service or _service(resource)
        # By identity: the message outlives these parts.
        spans = self._scopes.get(id(scope))
        if spans is None:
            spans = self._scopes[id(scope)] = []
            above = self._resources.get(id(resource))
            if above is None:
                above = ResourceSpans(resource.resource, [], resource.schema_url)
                self._resources[id(resource)] = above
            assert above.scope_spans is not None
            above.scope_spans.append(ScopeSpans(scope.scope, spans, scope.schema_url))
        self.spans = spans

    def batch(self) -> Batch:
        """The batch of the trace."""
        line = msgspec.json.encode(Message(list(self._resources.values())))
        return Batch(
            self.trace_id, self.places, line + b"\n", self.root, self.service, self.started
        )


def _service(resource: ResourceSpans) -> str:
    attributes = (resource.resource and resource.resource.attributes) or ()
    values = (item.value for item in attributes if item.key == _SERVICE and item.value is not None)
    return next((value.string_value or "" for value in values), "")


def _rejection(span: Span) -> Rejection | None:
    if span.trace_id == NO_ID:
        return Rejection.TRACE_ID
    if NO_ID in (span.span_id, span.parent_span_id):
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

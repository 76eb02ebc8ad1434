"""A message split by trace: checked, without secrets, one line of OTLP JSON for each trace.

A span that cannot be kept is rejected by itself, and the answer says why.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from trading_graph.otel.redaction import Redactor
from trading_graph.service.server.receiving.attributes import (
    DEEPEST,
    AttributeTexts,
    TooDeepError,
)
from trading_graph.service.server.receiving.errors import (
    MalformedMessageError,
    MessageTooLargeError,
)
from trading_graph.service.server.receiving.message import (
    JSON,
    NO_ID,
    Encoding,
    Event,
    KeyValue,
    Link,
    Message,
    Origin,
    ResourceSpans,
    ScopeSpans,
    Span,
)

_SERVICE = b'{"key":"service.name",'
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
    DEPTH = f"their attributes are nested more than {DEEPEST} deep"
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
        self._texts: dict[Callable[[bytes], KeyValue], AttributeTexts] = {}

    def split(self, content: bytes, encoding: Encoding) -> tuple[list[Batch], Counter[Rejection]]:
        """The batches of a message, and how many spans are rejected for what.

        Raises MalformedMessageError.
        """
        message, decode = encoding.decode(content), encoding.decode_attribute
        texts = self._texts.get(decode)
        if texts is None:
            texts = self._texts[decode] = AttributeTexts(self._redactor, decode)
        parts: dict[str, _TraceParts] = {}
        rejections = Counter[Rejection]()
        try:
            for resource in message.resource_spans or ():
                _clean(resource.resource, texts)
                for scope in resource.scope_spans or ():
                    _clean(scope.scope, texts)
                    self._add_all(resource, scope, texts, parts, rejections)
            return [each.batch() for each in parts.values()], rejections
        except TooDeepError:
            raise MalformedMessageError(f"The message is refused: {Rejection.DEPTH}.") from None
        except UnicodeEncodeError:
            raise MalformedMessageError("The message holds text that is not Unicode.") from None

    def _add_all(
        self,
        resource: ResourceSpans,
        scope: ScopeSpans,
        texts: AttributeTexts,
        parts: "dict[str, _TraceParts]",
        rejections: Counter[Rejection],
    ) -> None:
        part = None
        for span in scope.spans or ():
            if (reason := _rejection(span)) is not None:
                rejections[reason] += 1
                continue
            try:
                declared = self._clean_span(span, texts)
            except TooDeepError:
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
            if span.start_time_unix_nano < part.started:
                part.started = span.start_time_unix_nano
            part.spans.append(span)
            part.places.append(
                SpanPlace(span.span_id, parent, declared, span.flags & _REMOTE == _REMOTE)
            )

    def _clean_span(self, span: Span, texts: AttributeTexts) -> int | None:
        """Take the secrets out of a span; returns the count of spans that it declares."""
        text, declared = self._redactor.text, None
        span.name = text(span.name)
        if span.attributes:
            span.attributes, declared = texts.of(span.attributes)
        for event in span.events or ():
            event.name = text(event.name)
            _clean(event, texts)
        for link in span.links or ():
            _clean(link, texts)
        if span.status is not None and span.status.message:
            span.status.message = text(span.status.message)
        return declared


def _clean(part: Origin | Event | Link | None, texts: AttributeTexts) -> None:
    if part is not None and part.attributes:
        part.attributes, _ = texts.of(part.attributes)


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
    """The service that a resource names, whose attributes are texts; empty where it names none."""
    for each in (resource.resource and resource.resource.attributes) or ():
        text = bytes(each)
        if text.startswith(_SERVICE):
            value = JSON.decode_attribute(text).value
            return (value and value.string_value) or ""
    return ""


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

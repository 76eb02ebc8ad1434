"""Jaeger's own JSON: what its page downloads, its older API returns, and Elasticsearch stores.

Times are in microseconds. Start and duration are truncated separately, so a child can seem to end
one microsecond after its parent. Source: Jaeger's model of the query page, `{"data": [{"traceID",
"spans", "processes"}]}`, and its documents in Elasticsearch, which hold a process each.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import msgspec

from trading_graph.otel.otlp_json import Id
from trading_graph.otel.sources.fields import KIND_TAGS
from trading_graph.otel.sources.formats.format import Format, Reader
from trading_graph.otel.sources.head import Head, first_object, within
from trading_graph.otel.sources.json_documents import documents
from trading_graph.otel.sources.traces import Traces
from trading_graph.otel.trace.records import NO_RESOURCE, Event, Link
from trading_graph.otel.trace.table import Attributes

Microseconds = Annotated[int, msgspec.Meta(ge=0, lt=2**52)]

_STATUSES = {"OK": 1, "ERROR": 2}


class _JaegerTag(msgspec.Struct, gc=False):
    key: str
    value: Any = None


class _JaegerLog(msgspec.Struct, gc=False):
    timestamp: Microseconds = 0
    fields: list[_JaegerTag] = []


class _JaegerReference(msgspec.Struct, gc=False):
    reference: str = msgspec.field(default="CHILD_OF", name="refType")
    trace_id: str = msgspec.field(default="", name="traceID")
    span_id: str = msgspec.field(default="", name="spanID")


def _tags(tags: list[_JaegerTag] | None, tag: Mapping[str, Any] | None) -> dict[str, Any]:
    """Tags as attributes; `tag` has those that Elasticsearch holds as fields, with `@` for `.`."""
    attributes = {each.key: each.value for each in tags or ()}
    if tag:
        attributes |= {key.replace("@", "."): value for key, value in tag.items()}
    return attributes


class JaegerSpan(msgspec.Struct, gc=False):
    """One span of Jaeger's JSON: a `SpanRecord`."""

    trace_id: Id = msgspec.field(name="traceID")
    span_id: Id = msgspec.field(name="spanID")
    name: str = msgspec.field(default="", name="operationName")
    parent: str = msgspec.field(default="", name="parentSpanID")
    references: list[_JaegerReference] | None = None
    start_us: Microseconds = msgspec.field(default=0, name="startTime")
    duration_us: Microseconds = msgspec.field(default=0, name="duration")
    tags: list[_JaegerTag] | None = None
    tag: dict[str, Any] | None = None
    logs: list[_JaegerLog] | None = None
    warnings: list[str] | None = None
    process_id: Any = msgspec.field(default=None, name="processID")
    process: Any = None

    def record(
        self, trace_id: str, names: dict[str, str], resource: Attributes = NO_RESOURCE
    ) -> "JaegerSpan":
        """Return the span itself, with ids in lower case; equal names share one string."""
        self.trace_id, self.span_id = trace_id, self.span_id.lower()
        self.name = names.setdefault(self.name, self.name)
        self.process = resource
        return self

    @property
    def resource(self) -> Attributes:
        """The tags of the process, and its service."""
        resource: Attributes = self.process
        return resource

    @property
    def parent_id(self) -> str:
        """The id of the parent; empty for a root.

        A parent that is known only by FOLLOWS_FROM is one too, though it did not wait.
        """
        return self._referred("CHILD_OF") or self.parent.lower() or self._referred("FOLLOWS_FROM")

    @property
    def follows(self) -> bool:
        """Whether the parent is known only by FOLLOWS_FROM."""
        return not self._referred("CHILD_OF") and not self.parent and bool(self.parent_id)

    def _referred(self, kind: str) -> str:
        for each in self.references or ():
            if each.reference == kind and each.trace_id.lower() == self.trace_id:
                return each.span_id.lower()
        return ""

    @property
    def start_ns(self) -> int:
        """The start in nanoseconds."""
        return self.start_us * 1000

    @property
    def end_ns(self) -> int:
        """The end in nanoseconds."""
        return (self.start_us + self.duration_us) * 1000

    @property
    def kind(self) -> int:
        """The kind as OTLP numbers it."""
        return KIND_TAGS.get(str(self._tag("span.kind")), 0)

    @property
    def status(self) -> int:
        """The status code as OTLP numbers it."""
        if self._tag("error") in (True, "true"):
            return _STATUSES["ERROR"]
        return _STATUSES.get(str(self._tag("otel.status_code")), 0)

    def attributes(self) -> Attributes:
        """Return the tags, and Jaeger's warnings under the name that its raw form gives them."""
        attributes = _tags(self.tags, self.tag)
        if self.warnings:
            attributes["@jaeger@warnings"] = self.warnings
        return attributes

    def events(self) -> list[Event]:
        """Return the logs as events; the field `event` is the name."""
        events = []
        for log in self.logs or ():
            fields = {tag.key: tag.value for tag in log.fields}
            events.append(Event(str(fields.pop("event", "")), log.timestamp * 1000, fields))
        return events

    def links(self) -> list[Link]:
        """Return the references to spans other than the parent."""
        return [
            Link(each.trace_id.lower(), each.span_id.lower(), {})
            for each in self.references or ()
            if each.span_id.lower() != self.parent_id
        ]

    def _tag(self, key: str) -> Any:
        for tag in self.tags or ():
            if tag.key == key:
                return tag.value
        return (self.tag or {}).get(key.replace(".", "@"))


class _JaegerProcess(msgspec.Struct):
    service: str = msgspec.field(default="", name="serviceName")
    tags: list[_JaegerTag] | None = None
    tag: dict[str, Any] | None = None


class _JaegerTrace(msgspec.Struct):
    """One trace of Jaeger's JSON, with its processes by id."""

    spans: list[JaegerSpan] | None = None
    processes: Any = None


class _Document(_JaegerTrace):
    """An answer of Jaeger, or one trace of it."""

    data: list[_JaegerTrace] | _JaegerTrace | None = None

    def traces(self) -> Iterator[_JaegerTrace]:
        yield self
        if isinstance(self.data, _JaegerTrace):
            yield self.data
        else:
            yield from self.data or ()


class _Hit(msgspec.Struct):
    source: JaegerSpan = msgspec.field(name="_source")


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Search(msgspec.Struct):
    hits: _Hits


def _spans_of(trace: _JaegerTrace) -> Iterator[tuple[JaegerSpan, Attributes]]:
    """The spans of a trace, with their resources."""
    processes = trace.processes if isinstance(trace.processes, dict) else {}
    resources = {id: _resource(process) for id, process in processes.items()}
    for span in trace.spans or ():
        known = resources.get(str(span.process_id))
        yield span, known or _resource(span.process)


def _resource(process: Any) -> Attributes:
    """A process as OTLP names it; nothing where it is malformed, since spans do without."""
    if process is None:
        return NO_RESOURCE
    try:
        known = msgspec.convert(process, _JaegerProcess, strict=False)
    except msgspec.ValidationError:
        return NO_RESOURCE
    tags = _tags(known.tags, known.tag)
    return {"service.name": known.service, **tags} if known.service else tags


_NAME = "Jaeger's JSON"
_TRACES = msgspec.json.Decoder(_Document | list[_Document], strict=False)
_SPANS = msgspec.json.Decoder(JaegerSpan | list[JaegerSpan], strict=False)
_SEARCH = msgspec.json.Decoder(_Search, strict=False)
_HITS = msgspec.json.Decoder(_Hit | list[_Hit], strict=False)


def _decode_traces(text: bytes) -> list[_JaegerTrace]:
    value = _TRACES.decode(text)
    found = value if isinstance(value, list) else [value]
    return [trace for document in found for trace in document.traces()]


def _decode_spans(text: bytes) -> list[_JaegerTrace]:
    value = _SPANS.decode(text)
    return [_JaegerTrace(value if isinstance(value, list) else [value])]


def _decode_search(text: bytes) -> list[_JaegerTrace]:
    return [_JaegerTrace([hit.source for hit in _SEARCH.decode(text).hits.hits])]


def _decode_hits(text: bytes) -> list[_JaegerTrace]:
    value = _HITS.decode(text)
    return [_JaegerTrace([hit.source for hit in (value if isinstance(value, list) else [value])])]


def _reader(decode: Callable[[bytes], list[_JaegerTrace]]) -> Reader:
    def read(content: bytes, origin: str, traces: Traces) -> None:
        names = traces.names
        for trace in documents(content, origin, _NAME, decode):
            if isinstance(trace, str):
                traces.flaw(trace)
                continue
            for span, resource in _spans_of(trace):
                builder = traces.builder(span.trace_id)
                builder.add(span.record(builder.trace_id, names, resource))

    return read


def _is_span(value: Any) -> bool:
    return isinstance(value, dict) and "traceID" in value and "spanID" in value


def _is_answer(head: Head) -> bool:
    first = head.first
    if set(first) == {"data"} and not first["data"]:
        return True  # an answer of Jaeger that has no trace
    trace = first_object(first["data"]) if "data" in first else first
    spans = trace.get("spans")
    return isinstance(spans, list) and (
        _is_span(spans[0]) if spans else "traceID" in trace or "processes" in trace
    )


def _is_search(head: Head) -> bool:
    return _is_span(within(head.value, "hits", "hits", "_source"))


def _is_hit(head: Head) -> bool:
    return _is_span(head.first.get("_source"))


def _is_list(head: Head) -> bool:
    return _is_span(head.first)


FORMATS = (
    Format(
        _NAME,
        "the download of its page, the answer of its API, one trace, an array of traces",
        "`data[].spans` or `spans` with `traceID` and `spanID`",
        _is_answer,
        _reader(_decode_traces),
    ),
    Format(
        "Jaeger's spans",
        "an array of spans, lines",
        "`traceID` and `spanID`",
        _is_list,
        _reader(_decode_spans),
    ),
    Format(
        "Jaeger's spans in Elasticsearch",
        "the answer of a search",
        "`hits.hits[]._source` with `traceID` and `spanID`",
        _is_search,
        _reader(_decode_search),
    ),
    Format(
        "Jaeger's documents of Elasticsearch",
        "hits as an array, or as lines (elasticdump)",
        "`_source` with `traceID` and `spanID`",
        _is_hit,
        _reader(_decode_hits),
    ),
)

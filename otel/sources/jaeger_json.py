"""The spans of Jaeger's own JSON, which its page downloads and its older API returns.

Times are in microseconds. Start and duration are truncated separately, so a child can seem to end
one microsecond after its parent. Source: Jaeger's model of the query page, `{"data": [{"traceID",
"spans", "processes"}]}`.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec

from trading_graph.otel.otlp_json import Id
from trading_graph.otel.trace.records import NO_RESOURCE, Event, Link
from trading_graph.otel.trace.table import Attributes

Microseconds = Annotated[int, msgspec.Meta(ge=0, lt=2**52)]

_KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUSES = {"OK": 1, "ERROR": 2}


class _JaegerTag(msgspec.Struct):
    key: str
    value: Any = None


class _JaegerLog(msgspec.Struct):
    timestamp: Microseconds = 0
    fields: list[_JaegerTag] = []


class _JaegerReference(msgspec.Struct):
    reference: str = msgspec.field(default="CHILD_OF", name="refType")
    trace_id: str = msgspec.field(default="", name="traceID")
    span_id: str = msgspec.field(default="", name="spanID")


class JaegerSpan(msgspec.Struct):
    """One span of Jaeger's JSON: a `SpanRecord`."""

    trace_id: Id = msgspec.field(name="traceID")
    span_id: Id = msgspec.field(name="spanID")
    name: str = msgspec.field(default="", name="operationName")
    parent: str = msgspec.field(default="", name="parentSpanID")
    references: list[_JaegerReference] | None = None
    start_us: Microseconds = msgspec.field(default=0, name="startTime")
    duration_us: Microseconds = msgspec.field(default=0, name="duration")
    tags: list[_JaegerTag] | None = None
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
        return _KINDS.get(str(self._tag("span.kind")), 0)

    @property
    def status(self) -> int:
        """The status code as OTLP numbers it."""
        if self._tag("error") in (True, "true"):
            return _STATUSES["ERROR"]
        return _STATUSES.get(str(self._tag("otel.status_code")), 0)

    def attributes(self) -> Attributes:
        """Return the tags, and Jaeger's warnings under the name that its raw form gives them."""
        attributes = {tag.key: tag.value for tag in self.tags or ()}
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
        return next((tag.value for tag in self.tags or () if tag.key == key), None)


class _JaegerProcess(msgspec.Struct):
    service: str = msgspec.field(default="", name="serviceName")
    tags: list[_JaegerTag] | None = None


class JaegerTrace(msgspec.Struct):
    """One trace of Jaeger's JSON, with its processes by id."""

    spans: list[JaegerSpan] | None = None
    processes: Any = None


def spans_of(traces: list[JaegerTrace]) -> Iterator[tuple[Sequence[JaegerSpan], Attributes]]:
    """Iterate over the spans of several traces, with their resources."""
    for trace in traces:
        resources = {}
        if isinstance(trace.processes, dict):
            resources = {id: _resource(process) for id, process in trace.processes.items()}
        for span in trace.spans or ():
            known = resources.get(str(span.process_id))
            yield (span,), known or _resource(span.process)


def _resource(process: Any) -> Attributes:
    """A process as OTLP names it; nothing where it is malformed, since spans do without."""
    if process is None:
        return NO_RESOURCE
    try:
        known = msgspec.convert(process, _JaegerProcess, strict=False)
    except msgspec.ValidationError:
        return NO_RESOURCE
    tags = {tag.key: tag.value for tag in known.tags or ()}
    return {"service.name": known.service, **tags} if known.service else tags

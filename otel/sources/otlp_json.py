"""Reads OTLP JSON: one document, JSON lines, or Jaeger's `{"result": ...}` envelope.

Source of the format: opentelemetry-proto, JSON encoding. Integers may come as strings, ids are
lower-case hexadecimal, fields that hold their default may be missing.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from otel.errors import TraceError
from otel.trace import Span, Trace, TraceBuilder
from otel.trace.model import Attributes, Event, Link


class _Status(msgspec.Struct):
    code: int = 0


class _Span(msgspec.Struct, rename="camel"):
    trace_id: str
    span_id: str
    name: str = ""
    parent_span_id: str = ""
    kind: int = 0
    start_time_unix_nano: int | str = 0
    end_time_unix_nano: int | str = 0
    attributes: msgspec.Raw = msgspec.Raw(b"[]")
    events: msgspec.Raw = msgspec.Raw(b"[]")
    links: msgspec.Raw = msgspec.Raw(b"[]")
    status: _Status | None = None


class _ScopeSpans(msgspec.Struct, rename="camel"):
    spans: list[_Span] = []


class _ResourceSpans(msgspec.Struct, rename="camel"):
    scope_spans: list[_ScopeSpans] = []


class _TracesData(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] = []
    result: "_TracesData | None" = None


_DECODER = msgspec.json.Decoder(_TracesData)


def read(path: Path) -> list[Trace]:
    """The traces of a file; raises TraceError when it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TraceError(f"The trace file {path} cannot be read: {error.strerror}.") from error
    return parse(content, str(path))


def parse(content: bytes, origin: str) -> list[Trace]:
    """The traces of OTLP JSON text, in the order in which they first occur.

    `origin` names the text in errors. Raises TraceError for anything that is not OTLP JSON.
    """
    builders: dict[str, TraceBuilder] = {}
    for document in _documents(content, origin):
        data = document.result or document
        for resource in data.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    builder = builders.setdefault(span.trace_id, TraceBuilder(span.trace_id))
                    builder.add(_converted(span))
    return [builder.build() for builder in builders.values()]


def _documents(content: bytes, origin: str) -> Iterable[_TracesData]:
    try:
        return [_DECODER.decode(content)]
    except msgspec.DecodeError as whole:
        lines = [line for line in content.splitlines() if line.strip()]
        if len(lines) < 2:
            raise TraceError(f"{origin} is not OTLP JSON: {whole}.") from whole
    documents = []
    for number, line in enumerate(lines, start=1):
        try:
            documents.append(_DECODER.decode(line))
        except msgspec.DecodeError as error:
            raise TraceError(f"{origin}, line {number}, is not OTLP JSON: {error}.") from error
    return documents


def _converted(span: _Span) -> Span:
    return Span(
        span_id=span.span_id,
        parent_id=span.parent_span_id,
        name=span.name,
        kind=span.kind,
        start_ns=int(span.start_time_unix_nano),
        end_ns=int(span.end_time_unix_nano),
        status=span.status.code if span.status else 0,
        attributes=lambda: _attributes(msgspec.json.decode(span.attributes)),
        events=lambda: _events(msgspec.json.decode(span.events)),
        links=lambda: _links(msgspec.json.decode(span.links)),
    )


def _attributes(encoded: list[dict[str, Any]]) -> Attributes:
    return {item["key"]: _value(item.get("value", {})) for item in encoded}


def _events(encoded: list[dict[str, Any]]) -> list[Event]:
    return [
        Event(
            event.get("name", ""),
            int(event.get("timeUnixNano", 0)),
            _attributes(event.get("attributes", [])),
        )
        for event in encoded
    ]


def _links(encoded: list[dict[str, Any]]) -> list[Link]:
    return [
        Link(link["traceId"], link["spanId"], _attributes(link.get("attributes", [])))
        for link in encoded
    ]


def _value(encoded: dict[str, Any]) -> Any:
    for kind, value in encoded.items():
        match kind:
            case "intValue":
                return int(value)
            case "arrayValue":
                return [_value(item) for item in value.get("values", [])]
            case "kvlistValue":
                return {
                    item["key"]: _value(item.get("value", {})) for item in value.get("values", [])
                }
            case _:
                return value
    return None

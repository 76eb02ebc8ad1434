"""The SDK's spans, rebuilt from lines of OTLP JSON.

`from_lines` gives back exactly what `to_line` wrote, so that any exporter can send it again.
"""

from collections.abc import Iterator

import msgspec
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from trading_graph.otel.errors import TraceError
from trading_graph.otel.files.span_lines import IS_REMOTE
from trading_graph.otel.otlp_json import (
    DECODE_ERRORS,
    OtlpDocument,
    RawLink,
    RawSpan,
    decode_events,
    decode_links,
    decode_origin,
    exact_attributes,
    hexadecimal,
)

_DECODER = msgspec.json.Decoder(OtlpDocument, strict=False)


def from_lines(content: bytes, origin: str) -> list[ReadableSpan]:
    """Rebuild the spans of lines of OTLP JSON; raises TraceError.

    An incomplete last line is ignored: a killed process leaves such a file. `origin` names the
    content in errors.
    """
    spans: list[ReadableSpan] = []
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            spans += _decode_spans(_DECODER.decode(line))
        except (*DECODE_ERRORS, ValueError) as error:
            if number == len(lines):
                break
            raise TraceError(f"{origin}, line {number}, is not a line of spans: {error}.") from None
    return spans


def _decode_spans(document: OtlpDocument) -> Iterator[ReadableSpan]:
    if document.resource_spans is None:
        raise ValueError("it has no `resourceSpans`")
    for resource_part in document.resource_spans:
        attributes = exact_attributes(decode_origin(resource_part.resource).attributes)
        resource = Resource(attributes, resource_part.schema_url)
        for scope_part in resource_part.scope_spans or ():
            part, url = decode_origin(scope_part.scope), scope_part.schema_url
            attributes = exact_attributes(part.attributes)
            scope = InstrumentationScope(part.name, part.version, url, attributes)
            for span in scope_part.spans or ():
                yield _decode_span(span, resource, scope)


def _decode_span(span: RawSpan, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    record = span.record(hexadecimal(span.trace_id), {})
    parent = record.parent_id
    return ReadableSpan(
        name=span.name,
        context=_decode_context(span, record.span_id),
        parent=_decode_context(span, parent) if parent else None,
        resource=resource,
        attributes=exact_attributes(span.attributes),
        events=[
            Event(each.name, exact_attributes(each.attributes), each.time_unix_nano)
            for each in decode_events(span.events, span.span_id)
        ],
        links=[
            Link(
                _decode_context(each, hexadecimal(each.span_id)), exact_attributes(each.attributes)
            )
            for each in decode_links(span.links, span.span_id)
        ],
        kind=SpanKind(max(record.kind - 1, 0)),
        status=Status(StatusCode(record.status), span.status.message if span.status else None),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        instrumentation_scope=scope,
    )


def _decode_context(owner: RawSpan | RawLink, span_id: str) -> SpanContext:
    return SpanContext(
        int(hexadecimal(owner.trace_id), 16),
        int(hexadecimal(span_id), 16),
        is_remote=bool((owner.flags or 0) & IS_REMOTE),
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([owner.trace_state or ""]),
    )

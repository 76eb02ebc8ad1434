"""OTLP JSON: messages of any exporter, the collector's files, Tempo's and Grafana's traces.

The types are those of `otel.otlp_json`, which is the only reader of this format.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from trading_graph.otel.errors import TraceError
from trading_graph.otel.otlp_json import OtlpDocument, RawSpan, in_camel_case
from trading_graph.otel.sources.formats.format import Format
from trading_graph.otel.sources.head import Head, within
from trading_graph.otel.sources.json_documents import documents
from trading_graph.otel.sources.traces import Traces

_NAME = "OTLP JSON"
_USUAL = re.compile(rb'\s*\[?\s*\{\s*"resource(Spans|_spans|Logs|Metrics)"\s*:')
_SPANS = frozenset({"resourceSpans", "resource_spans", "batches"})
_SCOPES = frozenset({"scopeSpans", "scope_spans", "instrumentationLibrarySpans"})
_OTHERS = {
    "logs": ("resourceLogs", "resource_logs"),
    "metrics": ("resourceMetrics", "resource_metrics"),
    "profiles": ("resourceProfiles", "resource_profiles"),
}


_ABSENT = msgspec.Raw()


class _Document(OtlpDocument, rename="camel"):
    """A message of any signal; of those that are not traces it is known that they are there."""

    resource_logs: msgspec.Raw = _ABSENT
    resource_metrics: msgspec.Raw = _ABSENT
    resource_profiles: msgspec.Raw = _ABSENT


_DECODER = msgspec.json.Decoder(_Document | list[_Document], strict=False)
_SPAN_DECODER = msgspec.json.Decoder(RawSpan | list[RawSpan], strict=False)


def _is_message(head: Head) -> bool:
    if _USUAL.match(head.data):
        return True
    message = head.first
    for envelope in ("result", "trace"):
        if isinstance(message.get(envelope), dict):
            message = message[envelope]
    signs = _SPANS.union(_SCOPES, *_OTHERS.values())
    return any(isinstance(message[key], list) for key in signs.intersection(message))


def _decode(text: bytes) -> list[_Document]:
    value = _DECODER.decode(text)
    found = value if isinstance(value, list) else [value]
    if not all(document.has_spans for document in found):
        # Only then: the search for other spellings takes half as long as decoding.
        camel = in_camel_case(text)
        return found if camel is text else _decode(camel)
    return found


def _read(content: bytes, origin: str, traces: Traces) -> None:
    others = dict[str, None]()
    has_spans = False
    for document in documents(content, origin, _NAME, _decode):
        if isinstance(document, str):
            traces.flaw(document)
            continue
        others.update(dict.fromkeys(_signals(document)))
        for spans, resource in document.spans(traces.resources):
            has_spans |= bool(spans)
            _add(spans, traces, resource)
    if others and not has_spans:
        raise TraceError(
            f"{origin} holds {' and '.join(others)}, and no trace; name a file to which the "
            "traces are exported, or a collector's pipeline of traces."
        )


def _signals(document: _Document) -> Iterable[str]:
    """What is in a message beside traces."""
    for name, (key, _) in _OTHERS.items():
        field = "resource_" + key.removeprefix("resource").lower()
        if getattr(document, field) is not _ABSENT:
            yield name


def _add(spans: Iterable[RawSpan], traces: Traces, resource: Any) -> None:
    names, raw_id = traces.names, ""
    for span in spans:
        if span.trace_id != raw_id:  # those of one trace mostly follow each other
            raw_id = span.trace_id
            builder = traces.builder(raw_id)
        builder.add(span.record(builder.trace_id, names, resource))


def _is_spans(head: Head) -> bool:
    times = {"startTimeUnixNano", "start_time_unix_nano"}
    first = head.first
    is_list = isinstance(first.get("attributes", []), list)
    return not times.isdisjoint(first) and is_list and not within(first, "context")


def _decode_spans(text: bytes) -> list[RawSpan]:
    value = _SPAN_DECODER.decode(in_camel_case(text, always=True))
    return value if isinstance(value, list) else [value]


def _read_spans(content: bytes, origin: str, traces: Traces) -> None:
    for span in documents(content, origin, "a list of OTLP spans", _decode_spans):
        if isinstance(span, str):
            traces.flaw(span)
        else:
            _add((span,), traces, {})


FORMATS = (
    Format(
        _NAME,
        "a message, lines, an array; the collector's file exporter, also with logs and metrics "
        "between; Jaeger's API v3; Tempo's API and Grafana's download",
        "`resourceSpans`; `batches`; `trace.resourceSpans`; `result.resourceSpans`",
        _is_message,
        _read,
    ),
    Format(
        "OTLP spans",
        "spans without a message around them: an array, lines",
        "`startTimeUnixNano`",
        _is_spans,
        _read_spans,
    ),
)

"""Sends spans to LangSmith over OTLP, with LangSmith's key and without Jaeger's settings.

LangSmith turns spans into runs: it cuts times to microseconds, drops links and events, and keeps
only attributes that it knows. So every span also carries a copy of itself as metadata, from which
`sources.langsmith` restores it.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from trading_graph.otel.export.otlp import TIMEOUT_S, Exporter
from trading_graph.otel.files.span_lines import to_text
from trading_graph.otel.same_host_session import SameHostSession
from trading_graph.otel.trace import semconv

_OTLP_VARIABLES = "OTEL_EXPORTER_OTLP_"
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class LangSmithTarget:
    """LangSmith's address, and the key and the project to use there."""

    url: str
    api_key: str = field(repr=False)
    project: str


LANGSMITH = "LangSmith"


def langsmith_exporter(target: LangSmithTarget, timeout_s: float = TIMEOUT_S) -> Exporter:
    """Make an exporter that sends to LangSmith, and only with LangSmith's headers."""
    endpoint = f"{target.url.rstrip('/')}/otel/v1/traces"
    headers = {"x-api-key": target.api_key, "Langsmith-Project": target.project}
    with _without_otlp_variables():
        exporter = OTLPSpanExporter(
            endpoint=endpoint, headers=headers, timeout=timeout_s, session=SameHostSession()
        )
    return Exporter(LANGSMITH, endpoint, _SelfCopyExporter(exporter))


class _SelfCopyExporter(SpanExporter):
    """Exports spans with a copy of themselves; the spans come here without secrets."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_with_self_copy(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _with_self_copy(span: ReadableSpan) -> ReadableSpan:
    context = span.get_span_context()
    assert context is not None  # a span that started always has one
    copy = {
        semconv.LANGSMITH_SPAN: to_text(span, without=semconv.CONTENT),
        semconv.LANGSMITH_TRACE: f"{context.trace_id:032x}",
    }
    metadata = {semconv.LANGSMITH_METADATA + key: value for key, value in copy.items()}
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=span.parent,
        resource=span.resource,
        attributes={**(span.attributes or {}), **metadata},
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


@contextmanager
def _without_otlp_variables() -> Iterator[None]:
    """Hide Jaeger's headers, certificates and compression while the block runs.

    The SDK merges these variables into every exporter that it makes, and there is no other way to
    keep them out.
    """
    with _LOCK:
        names = [name for name in os.environ if name.startswith(_OTLP_VARIABLES)]
        hidden = {name: os.environ.pop(name) for name in names}
        try:
            yield
        finally:
            os.environ.update(hidden)

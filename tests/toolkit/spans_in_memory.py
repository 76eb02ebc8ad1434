"""Spans that stay in memory, for a test to look at."""

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind


def provider_for(exporter: InMemorySpanExporter) -> TracerProvider:
    """A provider whose spans the exporter keeps."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def http_spans(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    """The spans of HTTP requests, in the order of their starts."""
    matches = [span for span in exporter.get_finished_spans() if span.kind is SpanKind.CLIENT]
    return sorted(matches, key=lambda span: span.start_time or 0)


def spans_of(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    """The spans of a name."""
    return [span for span in exporter.get_finished_spans() if span.name == name]

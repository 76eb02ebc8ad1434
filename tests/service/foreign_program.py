"""A program that is not ours, whose traces a test writes, or sends to a real Jaeger."""

import time
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trading_graph.otel.trace import semconv

NONE: Mapping[str, str] = {}


class ForeignProgram:
    """Makes traces of a root and some children; sends nothing until it is told to."""

    def __init__(self, service: str | None = None) -> None:
        self.service = service or f"service-{time.time_ns()}"
        self._memory = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource({"service.name": self.service}))
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self._tracer = provider.get_tracer("test")

    def trace(
        self,
        children: int = 2,
        *,
        declared: int | None = None,
        name: str = "root",
        attributes: Mapping[str, str] = NONE,
    ) -> list[ReadableSpan]:
        """The spans of a trace, the root last; with `declared` it says how many it has."""
        kept: dict[str, str | int] = {**attributes}
        if declared is not None:
            kept |= {
                semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
                semconv.SPANS_STARTED: declared,
            }
        with self._tracer.start_as_current_span(name, attributes=kept):
            for number in range(children):
                with self._tracer.start_as_current_span(f"step {number}"):
                    pass
        spans = list(self._memory.get_finished_spans())
        self._memory.clear()
        return spans


def id_of(spans: Sequence[ReadableSpan]) -> str:
    """The trace's id."""
    context = spans[0].get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}"


def written(spans: Sequence[ReadableSpan]) -> bytes:
    """The spans as OTLP JSON."""
    return encode_spans(spans).to_json().encode()


def send(spans: Sequence[ReadableSpan], otlp_http_url: str) -> None:
    """Send spans to a Jaeger."""
    exporter = OTLPSpanExporter(f"{otlp_http_url}/v1/traces")
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()

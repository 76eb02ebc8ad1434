"""Reads the SDK's spans from memory, through the same JSON as everything else."""

from collections.abc import Iterable

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.errors import JudgeError
from trading_graph.otel.files.span_lines import to_line
from trading_graph.otel.sources.trace_files import parse
from trading_graph.otel.trace import SpanTable


def from_spans(spans: Iterable[ReadableSpan]) -> list[SpanTable]:
    """The traces of ended spans; raises JudgeError if one is no span of the SDK."""
    spans = list(spans)
    for each in spans:
        if not isinstance(each, ReadableSpan):
            raise JudgeError(
                f"Among the spans is a {type(each).__name__}, which is no span of the "
                "OpenTelemetry SDK."
            )
    return parse(to_line(spans), "memory")

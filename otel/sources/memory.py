"""Reads the SDK's spans from memory, through the same JSON as everything else."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.files import to_line
from trading_graph.otel.sources.document import parse
from trading_graph.otel.trace import SpanTable


def from_spans(spans: Sequence[ReadableSpan]) -> list[SpanTable]:
    """Return the traces of ended spans."""
    return parse(to_line(spans), "memory")

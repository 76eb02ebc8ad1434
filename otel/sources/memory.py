"""Reads spans that are still in memory, through the same encoding as everything else."""

from collections.abc import Sequence

import msgspec
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.sources.document import parse
from trading_graph.otel.trace import SpanTable


def from_spans(spans: Sequence[ReadableSpan]) -> list[SpanTable]:
    """The traces of ended spans."""
    return parse(msgspec.json.encode(encode_spans(spans).to_dict()), "memory")

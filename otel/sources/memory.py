"""Reads spans that are still in memory, through the same encoding as everything else."""

from collections.abc import Iterable

import msgspec
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.errors import JudgeError
from trading_graph.otel.sources.document import parse
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
    return parse(msgspec.json.encode(encode_spans(spans).to_dict()), "memory")

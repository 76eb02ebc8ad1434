"""Sending spans: the tracer provider, Jaeger, LangSmith, the spool, and a run's own trace file.

With them metrics and log records, where they are asked for.
"""

from trading_graph.otel.export.backend import Delivery
from trading_graph.otel.export.jaeger import JAEGER, jaeger_exporter, jaeger_is_wanted
from trading_graph.otel.export.langsmith import LANGSMITH, LangSmithTarget, langsmith_exporter
from trading_graph.otel.export.provider import Telemetry, set_up, spool_of
from trading_graph.otel.export.replay import KnownSpans, Replay, Replayed
from trading_graph.otel.export.span_metrics import SpanMetrics
from trading_graph.otel.export.spool import Spool
from trading_graph.otel.export.trace_file import TraceFile

__all__ = [
    "JAEGER",
    "LANGSMITH",
    "Delivery",
    "KnownSpans",
    "LangSmithTarget",
    "Replay",
    "Replayed",
    "SpanMetrics",
    "Spool",
    "Telemetry",
    "TraceFile",
    "jaeger_exporter",
    "jaeger_is_wanted",
    "langsmith_exporter",
    "set_up",
    "spool_of",
]

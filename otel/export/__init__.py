"""Sending spans: the tracer provider, Jaeger, LangSmith, the spool, and a run's own trace file.

With them metrics and log records, where they are asked for.
"""

from trading_graph.otel.export.backend import Delivery
from trading_graph.otel.export.jaeger import JAEGER, jaeger_exporter, jaeger_is_wanted
from trading_graph.otel.export.journal import Journal, is_locked, read_unfinished
from trading_graph.otel.export.langsmith import LANGSMITH, LangSmithTarget, langsmith_exporter
from trading_graph.otel.export.provider import Telemetry, set_up, spool_of
from trading_graph.otel.export.replay import KnownSpans, Replay, Replayed
from trading_graph.otel.export.span_metrics import SpanMetrics
from trading_graph.otel.export.spool import Spool
from trading_graph.otel.export.stored_spans import from_lines
from trading_graph.otel.export.trace_file import TraceFile

__all__ = [
    "JAEGER",
    "LANGSMITH",
    "Delivery",
    "Journal",
    "KnownSpans",
    "LangSmithTarget",
    "Replay",
    "Replayed",
    "SpanMetrics",
    "Spool",
    "Telemetry",
    "TraceFile",
    "from_lines",
    "is_locked",
    "jaeger_exporter",
    "jaeger_is_wanted",
    "langsmith_exporter",
    "read_unfinished",
    "set_up",
    "spool_of",
]

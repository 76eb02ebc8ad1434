"""Sending telemetry: the tracer provider, Jaeger, LangSmith, the spool, and a run's trace file.

Metrics and log records are sent too, if they are enabled.
"""

from trading_graph.otel.export.backend import Delivery
from trading_graph.otel.export.langsmith import LANGSMITH, LangSmithTarget, langsmith_exporter
from trading_graph.otel.export.metrics import SpanMetrics
from trading_graph.otel.export.otlp import (
    JAEGER,
    jaeger_exporter,
    jaeger_is_enabled,
    jaeger_is_named,
)
from trading_graph.otel.export.provider import Telemetry, set_up
from trading_graph.otel.export.spool import Replay, ReplayResult, SpanIdLookup, Spool, spool_of
from trading_graph.otel.export.trace_file import OnWrite, TraceFile

__all__ = [
    "JAEGER",
    "LANGSMITH",
    "Delivery",
    "LangSmithTarget",
    "OnWrite",
    "Replay",
    "ReplayResult",
    "SpanIdLookup",
    "SpanMetrics",
    "Spool",
    "Telemetry",
    "TraceFile",
    "jaeger_exporter",
    "jaeger_is_enabled",
    "jaeger_is_named",
    "langsmith_exporter",
    "set_up",
    "spool_of",
]

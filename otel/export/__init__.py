"""Sending spans: the tracer provider, Jaeger, LangSmith, the spool, and a run's own trace file.

With them metrics and log records, where they are asked for.
"""

from otel.export.backend import Delivery
from otel.export.jaeger import JAEGER, jaeger_exporter, jaeger_is_wanted
from otel.export.journal import Journal, is_locked, read_unfinished
from otel.export.langsmith import LANGSMITH, LangSmithTarget, langsmith_exporter
from otel.export.provider import Telemetry, set_up, spool_of
from otel.export.replay import KnownSpans, Replay, Replayed
from otel.export.span_metrics import SpanMetrics
from otel.export.spool import Spool
from otel.export.stored_spans import from_lines
from otel.export.trace_file import TraceFile

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

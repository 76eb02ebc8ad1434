"""Sending spans: the tracer provider, Jaeger, LangSmith, the spool, and a run's own trace file."""

from otel.export.backend import Delivery
from otel.export.jaeger import JAEGER, jaeger_exporter, jaeger_is_wanted
from otel.export.langsmith import LANGSMITH, LangSmithTarget, langsmith_exporter
from otel.export.provider import Telemetry, set_up, spool_of
from otel.export.replay import KnownSpans, Replay, Replayed
from otel.export.spool import Spool
from otel.export.stored_spans import from_lines
from otel.export.trace_file import TraceFile

__all__ = [
    "JAEGER",
    "LANGSMITH",
    "Delivery",
    "KnownSpans",
    "LangSmithTarget",
    "Replay",
    "Replayed",
    "Spool",
    "Telemetry",
    "TraceFile",
    "from_lines",
    "jaeger_exporter",
    "jaeger_is_wanted",
    "langsmith_exporter",
    "set_up",
    "spool_of",
]

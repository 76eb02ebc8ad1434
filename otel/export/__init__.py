"""Sending spans: the tracer provider, Jaeger, LangSmith, and a run's own trace file."""

from otel.export.backend import Delivery
from otel.export.langsmith import LangSmithTarget
from otel.export.provider import Telemetry, set_up
from otel.export.trace_file import TraceFile

__all__ = ["Delivery", "LangSmithTarget", "Telemetry", "TraceFile", "set_up"]

"""Sending spans: the tracer provider, Jaeger, and a run's own trace file."""

from otel.export.jaeger import Delivery, JaegerExporter
from otel.export.provider import Telemetry, set_up
from otel.export.trace_file import TraceFile

__all__ = ["Delivery", "JaegerExporter", "Telemetry", "TraceFile", "set_up"]

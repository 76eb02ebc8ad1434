"""Where traces are read back from: memory, OTLP JSON files, Jaeger."""

from otel.sources.jaeger import JaegerQuery
from otel.sources.memory import from_spans
from otel.sources.otlp_json import parse, read

__all__ = ["JaegerQuery", "from_spans", "parse", "read"]

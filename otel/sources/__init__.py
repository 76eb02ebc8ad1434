"""Where traces are read back from: OTLP JSON files, Jaeger, and (`sources.memory`) memory.

Memory is not imported here: it needs the SDK, and a command that reads a file does not.
"""

from otel.sources.jaeger import JaegerQuery
from otel.sources.otlp_json import parse, read

__all__ = ["JaegerQuery", "parse", "read"]

"""Reading traces: from files, from Jaeger, from LangSmith, and from memory.

`jaeger`, `langsmith` and `memory` are imported by name, and only where they are needed: they load
an HTTP client, LangSmith's client or the SDK, which a command that reads a file does not need.
"""

from trading_graph.otel.sources.trace_files import parse, read

__all__ = ["parse", "read"]

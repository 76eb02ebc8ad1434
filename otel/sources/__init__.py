"""Where traces are read back from: files here, and a module each for Jaeger, LangSmith and memory.

Those are imported by name: they need an HTTP client or the SDK, and a command that reads a file
does not.
"""

from trading_graph.otel.sources.document import parse, read

__all__ = ["parse", "read"]

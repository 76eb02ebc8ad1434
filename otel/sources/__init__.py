"""Where traces are read back from: files, Jaeger, LangSmith, and (`sources.memory`) memory.

Memory is not imported here: it needs the SDK, and a command that reads a file does not.
"""

from otel.sources.document import parse, read
from otel.sources.jaeger import JaegerQuery
from otel.sources.langsmith import LangSmithQuery

__all__ = ["JaegerQuery", "LangSmithQuery", "parse", "read"]

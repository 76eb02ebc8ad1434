"""The files of a run: spans as OTLP JSON lines, and the journal of the spans that have started.

Nothing here sends anything: judging a run and writing a trace need no exporter.
"""

from trading_graph.otel.files.journal import Journal, is_locked, mend, read_unfinished_run
from trading_graph.otel.files.sdk_spans import from_lines, to_line, to_text

__all__ = [
    "Journal",
    "from_lines",
    "is_locked",
    "mend",
    "read_unfinished_run",
    "to_line",
    "to_text",
]

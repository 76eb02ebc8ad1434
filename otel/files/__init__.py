"""A run's files: spans as OTLP JSON lines, and the journal of what has started.

Nothing here sends anything: whoever judges a run or writes a trace needs no exporter.
"""

from trading_graph.otel.files.journal import Journal, is_locked, mend, read_unfinished
from trading_graph.otel.files.stored_spans import from_lines, to_line, to_text

__all__ = [
    "Journal",
    "from_lines",
    "is_locked",
    "mend",
    "read_unfinished",
    "to_line",
    "to_text",
]

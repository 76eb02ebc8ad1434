"""The files of a run: spans as OTLP JSON lines, and the journal of the spans that have started.

Nothing here sends anything: judging a run and writing a trace need no exporter. `journal` is
imported by name: it loads the model of a trace, which a program that only writes spans does
without.
"""

from trading_graph.otel.files.sdk_spans import LineEncoder, from_lines, to_line, to_text

__all__ = ["LineEncoder", "from_lines", "to_line", "to_text"]

"""The files of a run: spans as OTLP JSON lines, and the journal of the spans that have started.

Nothing here sends anything: judging a run and writing a trace need no exporter. `journal` and
`sdk_spans`, which read, are imported by name: they load the model of a trace, which a program that
only writes spans does without.
"""

from trading_graph.otel.files.span_lines import LineEncoder, to_line, to_text

__all__ = ["LineEncoder", "to_line", "to_text"]

"""A run's own trace file: OTLP JSON lines, written as spans end.

Every run has one, whatever the backends do, so no span depends on a server being up. A batch is
written at most 200 ms after its first span has ended: a killed process loses at most that. With a
journal of what has started it is 20 ms, for whoever takes up the run.
"""

from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.export.redacted_spans import RedactedSpans
from trading_graph.otel.export.span_queue import SpanQueue
from trading_graph.otel.files.journal import Journal, mend
from trading_graph.otel.files.stored_spans import to_line
from trading_graph.otel.redaction import Redactor

_DELAY_S = 0.2
_JOURNAL_DELAY_S = 0.02


class TraceFile:
    """Writes every ended span of one run to a file; a `SpanListener`. Raises OSError.

    What an earlier process has written stays, less a last line that it could not finish.
    """

    def __init__(self, path: Path, redactor: Redactor, journal: Journal | None = None) -> None:
        self.path = path
        self._redacted = RedactedSpans(redactor)
        self._journal = journal
        self._file = FileIO(path, "a+b")
        mend(self._file)
        self._queue = SpanQueue(
            "file",
            self._write,
            delay_s=_JOURNAL_DELAY_S if journal else _DELAY_S,
            beat=journal.beat if journal else None,
        )

    def on_start(self, span: ReadableSpan) -> None:
        """Queue the start for the writing thread, where there is a journal for it.

        In the same queue as the ends: so a start is written before its end, and a parent's start
        before its child's.
        """
        if self._journal is None:
            return
        self._queue.on_end(
            ReadableSpan(
                name=span.name,
                context=span.get_span_context(),
                parent=span.parent,
                resource=span.resource,
                attributes=dict(span.attributes or {}),
                links=span.links,
                kind=span.kind,
                start_time=span.start_time,
                instrumentation_scope=span.instrumentation_scope,
            )
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span for the writing thread."""
        self._queue.on_end(span)

    def close(self) -> None:
        """Write what is queued and close the file; blocks, so call it off the event loop."""
        self._queue.close()
        self._file.close()

    def _write(self, spans: Sequence[ReadableSpan]) -> None:
        redacted = self._redacted.of(spans)
        ended = redacted
        if self._journal is not None:
            ended = [span for span in redacted if span.end_time is not None]
            if started := [span for span in redacted if span.end_time is None]:
                self._journal.write(started)
        if ended:
            self._file.write(to_line(ended))

"""A run's own trace file: OTLP JSON lines, written as spans end.

Every run has one, whatever the backends do, so no span depends on a server being up. A batch is
written at most 200 ms after its first span has ended: a killed process loses at most that.
"""

from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from otel.export.redacted_spans import RedactedSpans
from otel.export.span_queue import SpanQueue
from otel.export.stored_spans import to_line
from otel.redaction import Redactor

_DELAY_S = 0.2


class TraceFile:
    """Writes every ended span of one run to a file; a `SpanListener`. Raises OSError."""

    def __init__(self, path: Path, redactor: Redactor) -> None:
        self.path = path
        self._redacted = RedactedSpans(redactor)
        self._file = path.open("ab", buffering=0)
        self._queue = SpanQueue("file", self._write, delay_s=_DELAY_S)

    def on_start(self, span: ReadableSpan) -> None:
        """Nothing: only ended spans are written."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span for the writing thread."""
        self._queue.on_end(span)

    def close(self) -> None:
        """Write what is queued and close the file; blocks, so call it off the event loop."""
        self._queue.close()
        self._file.close()

    def _write(self, spans: Sequence[ReadableSpan]) -> None:
        self._file.write(to_line(self._redacted.of(spans)))

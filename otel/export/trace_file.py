"""Writes a run's own trace file: OTLP JSON lines, written as spans end.

Every run has a trace file, whatever the backends do: no span depends on a server being up. A batch
is written at most 200 ms after its first span ended, so a killed process loses no more than that.
With a journal it is 20 ms, for the process that continues the run. What a full disk does not take
waits in memory, and is tried again with every further batch and at the end.
"""

import logging
from collections import deque
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.export.span_queue import SpanQueue
from trading_graph.otel.export.span_redaction import SpanRedactor
from trading_graph.otel.files import to_line
from trading_graph.otel.files.journal import Journal, append, mend
from trading_graph.otel.redaction import Redactor

_LOG = logging.getLogger(__name__)

_DELAY_S = 0.2
_JOURNAL_DELAY_S = 0.02


class TraceFile:
    """Writes every ended span of one run to a file; a `SpanListener`. Raises OSError.

    The spans that an earlier process wrote stay; an incomplete last line of that process is cut
    off.
    """

    def __init__(self, path: Path, redactor: Redactor, journal: Journal | None = None) -> None:
        self.path = path
        self._redactor = SpanRedactor(redactor)
        self._journal = journal
        self._file = FileIO(path, "a+b")
        mend(self._file)
        self._waiting: deque[tuple[Journal | None, bytes]] = deque()
        self._is_refused = False
        self._queue = SpanQueue(
            "file",
            self._write,
            delay_s=_JOURNAL_DELAY_S if journal else _DELAY_S,
            beat=journal.beat if journal else None,
        )

    def on_start(self, span: ReadableSpan) -> None:
        """Queue the start for the writing thread, if there is a journal.

        Starts share the queue with ends: a span's start is written before its end, and a parent's
        start before its child's.
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

    def close(self) -> bool:
        """Write the queue and close the file; false where something of the run is not on disk.

        Blocks, so call it off the event loop.
        """
        self._queue.close()
        self._write_waiting()
        self._file.close()
        if self._waiting:
            _LOG.error("The trace %s lacks its last spans: they could not be written.", self.path)
        return not self._waiting

    def _write(self, spans: Sequence[ReadableSpan]) -> None:
        spans = self._redactor.redact(spans)
        ends = spans
        if self._journal is not None:
            ends = [span for span in spans if span.end_time is not None]
            if starts := [span for span in spans if span.end_time is None]:
                self._waiting.append((self._journal, to_line(starts)))
        if ends:
            self._waiting.append((None, to_line(ends)))
        self._write_waiting()

    def _write_waiting(self) -> None:
        """Write what waits, in its order, as far as the disk takes it."""
        try:
            while self._waiting:
                journal, lines = self._waiting[0]
                if journal is not None:
                    journal.append(lines)
                else:
                    append(self._file, lines)
                self._waiting.popleft()
                self._is_refused = False
        except OSError as error:
            if not self._is_refused:
                self._is_refused = True
                _LOG.warning(
                    "Spans of %s wait in memory, since the disk does not take them: %s",
                    self.path,
                    error.strerror or error,
                )

"""Writes a run's own trace file: OTLP JSON lines, written as spans end.

Every run has a trace file, whatever the backends do: no span depends on a server being up. A batch
is written at most 200 ms after its first span ended, so a killed process loses no more than that.
Where the file is the log of the run it is 20 ms, for the process that continues the run, and starts
are written too. What a full disk does not take waits in memory, and is tried again with every
further batch and at the end.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from io import FileIO
from itertools import groupby
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.export.span_queue import SpanQueue
from trading_graph.otel.export.span_redaction import SpanRedactor
from trading_graph.otel.files.run_log import RunLog, append, mend, started_line
from trading_graph.otel.files.span_lines import to_line
from trading_graph.otel.files.unfinished_run import as_started
from trading_graph.otel.redaction import Redactor

_LOG = logging.getLogger(__name__)

_DELAY_S = 0.2
_RUN_LOG_DELAY_S = 0.02

OnWrite = Callable[[Sequence[ReadableSpan]], None]
"""Called with spans that are in the file now, in its order, on the thread that wrote them."""


class TraceFile:
    """Writes every ended span of one run to a file; a `SpanListener`. Raises OSError.

    The spans that an earlier process wrote stay; an incomplete last line of that process is cut
    off. The file of a log remains the log's, and is closed with it.
    """

    def __init__(
        self, file: Path | RunLog, redactor: Redactor, on_write: OnWrite | None = None
    ) -> None:
        self._redactor = SpanRedactor(redactor)
        self._on_write = on_write
        self._waiting: deque[tuple[bytes, Sequence[ReadableSpan]]] = deque()
        self._is_refused = False
        self._log: RunLog | None = None
        self._file: FileIO | None = None
        if isinstance(file, RunLog):
            self.path, self._log = file.path, file
            file.mend()
        else:
            self.path, self._file = file, FileIO(file, "a+b")
            mend(self._file)
        self._queue = SpanQueue(
            "file",
            self._write,
            delay_s=_RUN_LOG_DELAY_S if self._log else _DELAY_S,
            beat=self._log.beat if self._log else None,
        )

    def on_start(self, span: ReadableSpan) -> None:
        """Queue the start for the writing thread, if the file is a log.

        Starts share the queue with ends: a span's start is written before its end, and a parent's
        start before its child's.
        """
        if self._log is not None:
            self._queue.on_end(as_started(span))

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span for the writing thread."""
        self._queue.on_end(span)

    def close(self) -> bool:
        """Write the queue and close the file; false where something of the run is not on disk.

        Blocks, so call it off the event loop.
        """
        self._queue.close()
        self._write_waiting()
        if self._file is not None:
            self._file.close()
        if self._waiting:
            _LOG.error("The trace %s lacks its last spans: they could not be written.", self.path)
        return not self._waiting

    def _write(self, spans: Sequence[ReadableSpan]) -> None:
        for has_ended, group in groupby(
            self._redactor.redact(spans), lambda span: span.end_time is not None
        ):
            alike = list(group)
            line = to_line(alike)
            self._waiting.append((line if has_ended else started_line(line), alike))
        self._write_waiting()

    def _write_waiting(self) -> None:
        """Write what waits, in its order, as far as the disk takes it."""
        try:
            while self._waiting:
                line, spans = self._waiting[0]
                self._append(line)
                self._waiting.popleft()
                self._is_refused = False
                if self._on_write is not None:
                    self._on_write(spans)
        except OSError as error:
            if not self._is_refused:
                self._is_refused = True
                _LOG.warning(
                    "Spans of %s wait in memory, since the disk does not take them: %s",
                    self.path,
                    error.strerror or error,
                )

    def _append(self, line: bytes) -> None:
        if self._log is not None:
            self._log.append(line)
        elif self._file is not None:
            append(self._file, line)

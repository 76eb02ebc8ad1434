"""The log file, written by a thread of its own so that no log line ever blocks the event loop.

One line an event, `{date} {time} {level} [{trace id}:{span id}] {message}`, in a file that is
rotated. The ids are one word, because a monitoring command counts words (see `run/monitoring.py`).
"""

import logging
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path

from opentelemetry import trace
from opentelemetry.trace import SpanContext

from trading_graph.otel.redaction import Redactor

_MAX_BYTES = 5 * 2**20
_BACKUPS = 3
_FORMAT = "%(asctime)s %(levelname)s [%(ids)s] %(message)s"

LOG = logging.getLogger("trading_graph")


class _SpanIds(logging.Filter):
    """Adds the ids of the current span to every record, on the thread that logs it."""

    def filter(self, record: logging.LogRecord) -> bool:
        span: SpanContext | None = getattr(record, "span", None)  # of the line's `extra`
        if span is None:
            span = trace.get_current_span().get_span_context()
        record.ids = f"{span.trace_id:032x}:{span.span_id:016x}" if span.is_valid else "-"
        return True


class _RedactingFormatter(logging.Formatter):
    """Formats a record with its stack trace, without secrets."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(_FORMAT, datefmt="%Y-%m-%d %H:%M:%S")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))


@contextmanager
def logging_to(path: Path, redactor: Redactor) -> Iterator[None]:
    """Log to a file for the duration of the block; raises OSError when it cannot be opened."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=_BACKUPS, encoding="utf-8")
    file.setFormatter(_RedactingFormatter(redactor))
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = QueueHandler(records)
    handler.addFilter(_SpanIds())
    listener = QueueListener(records, file)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    LOG.setLevel(logging.INFO)
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        listener.stop()
        file.close()

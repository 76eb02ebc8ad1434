"""The log file, written by a thread of its own so that no log line ever blocks the event loop.

One line an event, `{date} {time} {level} [{trace id}:{span id}] {message}`, in a file that is
rotated. The ids are one word, because a monitoring command counts words (see `run/monitoring.py`).
The service writes its lines to stderr too, where a container's log is, on request as JSON.
"""

import logging
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path

import msgspec
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


class LogForm(StrEnum):
    """The form of the lines on stderr."""

    TEXT = "text"
    JSON = "json"


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the log as JSON; `time` is ISO 8601 in UTC.

    An audit line says who did what to which run or portfolio; see `server/audit.py`.
    """

    time: str
    level: str
    logger: str
    message: str
    trace_id: str | None = None
    span_id: str | None = None
    action: str | None = None
    subject: str | None = None
    client: str | None = None
    actor: str | None = None


class _LogFile(RotatingFileHandler):
    """The file; where it cannot be written, as on a full disk, its lines are lost, and no more."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _TextFormatter(logging.Formatter):
    """Formats a record with its stack trace, without secrets."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(_FORMAT, datefmt="%Y-%m-%d %H:%M:%S")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))


class _JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, without secrets."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(message)s")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        trace_id, _, span_id = getattr(record, "ids", "-").partition(":")
        line = LogLine(
            time=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            level=record.levelname,
            logger=record.name,
            message=self._redactor.text(super().format(record)),
            trace_id=trace_id if span_id else None,
            span_id=span_id or None,
            **getattr(record, "audit", {}),
        )
        return msgspec.json.encode(line).decode()


@contextmanager
def logging_to(
    path: Path, redactor: Redactor, *, on_stderr: LogForm | None = None
) -> Iterator[None]:
    """Log to a file, and on request to stderr, for the duration of the block.

    Raises OSError when the file cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _LogFile(path, maxBytes=_MAX_BYTES, backupCount=_BACKUPS, encoding="utf-8")
    file.setFormatter(_TextFormatter(redactor))
    writers: list[logging.Handler] = [file]
    if on_stderr is not None:
        stderr = logging.StreamHandler(sys.stderr)
        formatter = _JsonFormatter if on_stderr is LogForm.JSON else _TextFormatter
        stderr.setFormatter(formatter(redactor))
        writers.append(stderr)
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = QueueHandler(records)
    handler.addFilter(_SpanIds())
    listener = QueueListener(records, *writers)
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

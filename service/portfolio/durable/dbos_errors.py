"""Errors that DBOS logs: each is one line on stderr, and has its details in the log file alone.

That work was cancelled which is under way is no error here. Whoever cancels a portfolio takes what
waits out of the line, and some of that may begin in the same moment.
"""

import logging

from dbos import error as dbos_error

from trading_graph.otel.redaction import Redactor


class _Unexpected(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not isinstance(_error_of(record), dbos_error.DBOSAwaitedWorkflowCancelledError)


class _OneLine(logging.Formatter):
    """Formats a record without its stack trace and without secrets."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        words = [_first_line(record.getMessage())]
        if (error := _error_of(record)) is not None:
            words.append(f"{type(error).__name__}: {_first_line(str(error))}")
        return self._redactor.text(f"DBOS: {': '.join(words)} (details are in the log file)")


def log_errors_in_lines(redactor: Redactor) -> None:
    """Take the place of what DBOS does with its errors; to be called before it is configured."""
    logger = logging.getLogger("dbos")
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(redactor))
    # DBOS adds its own handler where there is none, and keeps its records from the log file then.
    logger.handlers = [handler]
    logger.filters = [_Unexpected()]
    logger.propagate = True


def _error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0].rstrip(":. ")

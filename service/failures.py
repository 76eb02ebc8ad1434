"""How a command fails: which errors are expected, and what is printed of them."""

import asyncio

from trading_graph.graph.errors import AnalysisError
from trading_graph.otel.errors import ExporterSettingsError, GateError, TraceError
from trading_graph.otel.redaction import process_redactor
from trading_graph.service.errors import (
    NotRecordedError,
    NotResumableError,
    SettingsError,
    StoreUnavailableError,
)
from trading_graph.service.exit_codes import ErrorKind, ExitCode, fail
from trading_graph.service.settings import read_settings
from trading_graph.toolkit.errors import BadRequestError, DataError

_RUN_ERRORS = (AnalysisError, DataError, NotRecordedError, NotResumableError, StoreUnavailableError)


def report_failure(error: BaseException) -> ExitCode:
    """Print an expected error as one sentence and return its exit code; raise any other one."""
    match error:
        case KeyboardInterrupt():
            sentence, kind = "Interrupted.", ErrorKind.INTERRUPTED
        case asyncio.CancelledError():
            sentence, kind = "Terminated.", ErrorKind.TERMINATED
        case BadRequestError():
            sentence, kind = str(error), ErrorKind.USAGE
        case SettingsError() | ExporterSettingsError():
            sentence, kind = str(error), ErrorKind.SETTINGS
        case GateError():
            sentence, kind = str(error), ErrorKind.GATE
        case TraceError():
            sentence, kind = str(error), ErrorKind.TRACE
        case _ if isinstance(error, _RUN_ERRORS):
            sentence, kind = str(error), ErrorKind.RUN
        case OSError() if not isinstance(error, BrokenPipeError):  # That one is click's.
            where = error.filename or "A file"
            sentence, kind = (
                f"{where} cannot be written: {error.strerror or error}.",
                ErrorKind.FILE,
            )
        case _:
            raise error
    return fail(_redact(sentence), kind)


def _redact(sentence: str) -> str:
    """The sentence without secrets: a foreign library's may quote an address or a header."""
    try:
        redactor = read_settings().redactor
    except SettingsError:
        redactor = process_redactor()
    return redactor.text(sentence)

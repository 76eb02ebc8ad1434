"""How a command that makes runs fails: its exit code, and a sentence on what went wrong."""

import asyncio
from collections.abc import Callable

from rich.console import Console

from trading_graph.graph.errors import AnalysisError
from trading_graph.otel.errors import ExporterSettingsError
from trading_graph.otel.redaction import Redactor, process_redactor
from trading_graph.service.errors import (
    NotRecordedError,
    NotResumableError,
    SettingsError,
    StoreUnavailableError,
)
from trading_graph.service.exit_codes import ErrorKind, ExitCode, fail
from trading_graph.service.settings import Settings, read_settings
from trading_graph.toolkit.errors import BadRequestError, DataError


def with_exit_code(talk: Console, work: Callable[[Settings, Redactor], ExitCode]) -> ExitCode:
    """Read the settings, do the work, and return its exit code or that of its failure."""
    redactor = process_redactor()
    try:
        settings = read_settings()
        redactor = process_redactor(settings.secrets)
        return work(settings, redactor)
    except KeyboardInterrupt:
        sentence, code, kind = "Interrupted.", ExitCode.INTERRUPTED, ErrorKind.INTERRUPTED
    except asyncio.CancelledError:
        sentence, code, kind = "Terminated.", ExitCode.TERMINATED, ErrorKind.TERMINATED
    except BadRequestError as error:
        sentence, code, kind = str(error), ExitCode.USAGE, ErrorKind.USAGE
    except (SettingsError, ExporterSettingsError) as error:
        sentence, code, kind = str(error), ExitCode.USAGE, ErrorKind.SETTINGS
    except (
        AnalysisError,
        DataError,
        NotRecordedError,
        NotResumableError,
        StoreUnavailableError,
    ) as error:
        sentence, code, kind = str(error), ExitCode.NOT_DONE, ErrorKind.RUN
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        sentence = f"Cannot write{where}: {error.strerror or error}."
        code, kind = ExitCode.USAGE, ErrorKind.FILE
    # A message of a foreign library may quote an address or a header.
    return fail(talk, redactor.text(sentence), code, kind)

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
from trading_graph.service.exit_codes import ExitCode, fail
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
        return _fail(talk, redactor, "Interrupted.", ExitCode.INTERRUPTED)
    except asyncio.CancelledError:
        return _fail(talk, redactor, "Terminated.", ExitCode.TERMINATED)
    except (BadRequestError, SettingsError, ExporterSettingsError) as error:
        return _fail(talk, redactor, str(error), ExitCode.USAGE)
    except (
        AnalysisError,
        DataError,
        NotRecordedError,
        NotResumableError,
        StoreUnavailableError,
    ) as error:
        return _fail(talk, redactor, str(error), ExitCode.NOT_DONE)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _fail(
            talk, redactor, f"Cannot write{where}: {error.strerror or error}.", ExitCode.USAGE
        )


def _fail(talk: Console, redactor: Redactor, sentence: str, code: ExitCode) -> ExitCode:
    # A message of a foreign library may quote an address or a header.
    return fail(talk, redactor.text(sentence), code)

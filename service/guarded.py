"""How a command that runs analyses ends: its exit code, and a sentence for what went wrong."""

import asyncio
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from trading_graph.graph.errors import AnalysisError
from trading_graph.otel.errors import ExporterSettingsError
from trading_graph.otel.redaction import Redactor, process_redactor
from trading_graph.service.errors import BadSettings, NotRecorded, NotResumable, StoreUnavailable
from trading_graph.service.settings import Settings, read_settings
from trading_graph.toolkit.errors import BadRequestError, DataError

DONE, GATE_FAILED, USAGE, FAILED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143


def guarded(talk: Console, work: Callable[[Settings, Redactor], int]) -> int:
    """Do the work with this process's settings and return its exit code, or that of its failure."""
    redactor = process_redactor()
    try:
        settings = read_settings()
        redactor = process_redactor(settings.secrets)
        return work(settings, redactor)
    except KeyboardInterrupt:
        return _failed(talk, redactor, "Interrupted.", INTERRUPTED)
    except asyncio.CancelledError:
        return _failed(talk, redactor, "Terminated.", TERMINATED)
    except (BadRequestError, BadSettings, ExporterSettingsError) as error:
        return _failed(talk, redactor, str(error), USAGE)
    except (AnalysisError, DataError, NotRecorded, NotResumable, StoreUnavailable) as error:
        return _failed(talk, redactor, str(error), FAILED)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _failed(talk, redactor, f"Cannot write{where}: {error.strerror or error}.", USAGE)


def _failed(talk: Console, redactor: Redactor, sentence: str, code: int) -> int:
    # A message of a foreign library may quote an address or a header.
    told = escape(redactor.text(sentence))
    talk.print(f"[red]Error:[/red] {told}", highlight=False, soft_wrap=True)
    return code

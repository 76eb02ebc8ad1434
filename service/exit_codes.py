"""The exit codes of every command, and what it prints when it fails.

That is a sentence on stderr and, where the command line asks for JSON, an error document on stdout.
"""

import json
import sys
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Literal

import click
import msgspec
from rich.console import Console
from rich.markup import escape

from trading_graph.graph.errors import AnalysisError
from trading_graph.otel.errors import (
    DependenciesError,
    ExporterSettingsError,
    GateError,
    TraceError,
)
from trading_graph.otel.visible import visible
from trading_graph.service.errors import (
    NotProbedError,
    NotRecordedError,
    NotResumableError,
    PortfolioError,
    SettingsError,
    StoreUnavailableError,
)
from trading_graph.service.lazy_import import load
from trading_graph.toolkit.errors import BadRequestError, DataError

if TYPE_CHECKING:
    from trading_graph.otel.redaction import Redactor


class ExitCode(IntEnum):
    """How a command ended; docs name the numbers."""

    OK = 0
    """The command did its work, and every check of it passed."""
    CHECK_FAILED = 1
    """A gate failed, a run got slower or missed its target, or a setup needs a repair."""
    USAGE = 2
    """The command line or a setting cannot be used."""
    NOT_DONE = 3
    """The work could not be done, so there is nothing to judge."""
    INTERRUPTED = 130
    """SIGINT ended the command."""
    TERMINATED = 143
    """SIGTERM ended the command."""


class ErrorKind(StrEnum):
    """What went wrong."""

    USAGE = "usage"
    """The command line cannot be used."""
    MISSING_EXTRA = "missing_extra"
    """The command needs an extra that is not installed."""
    SETTINGS = "settings"
    """A setting cannot be used."""
    GATE = "gate"
    """The gate cannot be used."""
    DEPENDENCIES = "dependencies"
    """The file of dependencies cannot be used."""
    TRACE = "trace"
    """A trace cannot be found or read."""
    INCOMPLETE_TRACE = "incomplete_trace"
    """A trace lacks spans, so it cannot be diagnosed."""
    RUN = "run"
    """A run failed, cannot be resumed, or was not recorded."""
    FILE = "file"
    """A file or folder cannot be written."""
    INTERRUPTED = "interrupted"
    """SIGINT ended the command."""
    TERMINATED = "terminated"
    """SIGTERM ended the command."""

    @property
    def exit_code(self) -> ExitCode:
        """How a command ends that fails like this."""
        return _EXIT_CODES.get(self, ExitCode.USAGE)


_EXIT_CODES = {
    ErrorKind.TRACE: ExitCode.NOT_DONE,
    ErrorKind.INCOMPLETE_TRACE: ExitCode.NOT_DONE,
    ErrorKind.RUN: ExitCode.NOT_DONE,
    ErrorKind.INTERRUPTED: ExitCode.INTERRUPTED,
    ErrorKind.TERMINATED: ExitCode.TERMINATED,
}


class FailureJson(msgspec.Struct, frozen=True, kw_only=True):
    """Why a command failed: a sentence, and the exit code."""

    kind: ErrorKind
    message: str
    exit_code: int


class ErrorJson(msgspec.Struct, frozen=True, kw_only=True):
    """What a command prints in place of its document where it fails."""

    schema_version: Literal[1]
    error: FailureJson


def fail(sentence: str, kind: ErrorKind, exit_code: int | None = None) -> ExitCode:
    """Print why a command failed, as text and where asked for as JSON; return its exit code.

    `exit_code` is what the document says instead, where a recorded program's own comes first.
    """
    Console(stderr=True).print(
        f"[red]Error:[/red] {escape(sentence)}", highlight=False, soft_wrap=True
    )
    if _is_json_requested():
        print_error(sentence, kind, exit_code)
    return kind.exit_code


def _is_json_requested() -> bool:
    context = click.get_current_context(silent=True)
    words = {} if context is None else context.params
    return bool(words.get("as_json")) or words.get("format") == "json"


def print_error(sentence: str, kind: ErrorKind, exit_code: int | None = None) -> None:
    """Print the error document on one line, which a stream of documents can hold as well."""
    code = int(kind.exit_code) if exit_code is None else exit_code
    failure = FailureJson(kind=kind, message=sentence, exit_code=code)
    document = msgspec.to_builtins(ErrorJson(schema_version=1, error=failure))
    sys.stdout.write(json.dumps(document) + "\n")


def print_click_error(error: click.ClickException) -> None:
    """Print the error document of what click says on stderr."""
    is_usage = isinstance(error, click.UsageError)
    print_error(error.format_message(), ErrorKind.USAGE if is_usage else ErrorKind.MISSING_EXTRA)


def report_failure(error: BaseException) -> ExitCode:
    """Print an expected error as one sentence and return its exit code; raise any other one."""
    failure = expected_failure(error)
    if failure is None:
        if isinstance(error, click.ClickException) and _is_json_requested():
            print_click_error(error)
        raise error
    return fail(*failure)


def expected_failure(error: BaseException) -> tuple[str, ErrorKind] | None:
    """The sentence of an expected error, without secrets, and its kind; None for any other one."""
    # Not above: to judge a file takes no event loop, and the import takes as long as to judge.
    import asyncio

    sentence = str(error)
    match error:
        case KeyboardInterrupt():
            sentence, kind = "Interrupted.", ErrorKind.INTERRUPTED
        case asyncio.CancelledError():
            sentence, kind = "Terminated.", ErrorKind.TERMINATED
        case BadRequestError():
            kind = ErrorKind.USAGE
        case SettingsError() | ExporterSettingsError():
            kind = ErrorKind.SETTINGS
        case GateError():
            kind = ErrorKind.GATE
        case TraceError():
            kind = ErrorKind.TRACE
        case AnalysisError() | DataError() | NotRecordedError() | NotResumableError():
            kind = ErrorKind.RUN
        case NotProbedError():
            kind = ErrorKind.RUN
        case DependenciesError():
            kind = ErrorKind.DEPENDENCIES
        case StoreUnavailableError() | PortfolioError():
            kind = ErrorKind.RUN
        case OSError() if not isinstance(error, BrokenPipeError):  # That one is click's.
            sentence = f"{error.filename or 'A file'} cannot be written: {error.strerror or error}."
            kind = ErrorKind.FILE
        case _:
            return None
    return _redact(sentence), kind


def _redact(sentence: str) -> str:
    """The sentence without secrets: a foreign library's may quote an address or a header."""
    # Not above: to judge a file takes no settings, and less time than to import them.
    try:
        redactor: Redactor = load("service.settings:read_settings")().redactor
    except SettingsError:
        redactor = load("otel.redaction:process_redactor")()
    return visible(redactor.text(sentence))

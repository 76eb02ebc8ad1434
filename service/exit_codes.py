"""The exit codes of every command, and the sentence on stderr that explains a failure."""

from enum import IntEnum

from rich.console import Console
from rich.markup import escape


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


def fail(console: Console, sentence: str, code: ExitCode) -> ExitCode:
    """Print why a command failed, and return its exit code."""
    console.print(f"[red]Error:[/red] {escape(sentence)}", highlight=False, soft_wrap=True)
    return code

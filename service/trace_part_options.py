"""The options that say which part of a source is judged, for the commands that judge traces."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def part_options(command: _Decorated) -> _Decorated:
    """What of a source is one run, where that is not one whole trace."""
    for option in (
        click.option(
            "--each",
            is_flag=True,
            help="Every trace of the source by itself: a line a trace, and a summary.",
        ),
        click.option(
            "--join",
            is_flag=True,
            help="Several traces as one run: those of one session or thread, or of one process and "
            "time. Nothing is proven across them.",
        ),
        click.option(
            "--forest",
            is_flag=True,
            help="A trace with several roots, or with missing parents, as one run. Nothing is "
            "proven across its trees.",
        ),
        click.option(
            "--root",
            metavar="SPAN",
            help="Only what is at or below this span, by its id or its name.",
        ),
    ):
        command = option(command)
    return command

"""The words of `trading-graph portfolio`, of its commands, and of `trading-graph worker`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from trading_graph.service.cli.lazy_command import LazyCommand
from trading_graph.service.cli.options import (
    data_option,
    database_option,
    json_option,
    offline_option,
    out_option,
)

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_COMMANDS = "service.commands.portfolio"
_COUNT = click.IntRange(min=1)


class SessionCount(click.ParamType[int]):
    """A number of sessions, such as 5 or 5d."""

    name = "sessions"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read the number."""
        text = str(value).removesuffix("d")
        if not text.isdecimal() or int(text) < 1:
            self.fail(f"{value!r} is no number of sessions; give one such as 5d.", param, ctx)
        return int(text)


@click.group()
def portfolio() -> None:
    """Analyse a list of symbols, or a grid of symbols and dates: here, or by workers.

    A portfolio is named by its id, by the beginning of one, or by `last`. What is done is never
    done again: the same `run`, or `resume`, goes on where a process was stopped or killed.
    """


def _pace_options(command: _Decorated) -> _Decorated:
    """How many runs go on at once, and how often the models are asked."""
    for option in (
        click.option(
            "--model-tpm",
            type=_COUNT,
            metavar="T",
            help="Tokens a minute of each model. Default: TRADING_GRAPH_TOKENS_PER_MINUTE.",
        ),
        click.option(
            "--model-rpm",
            type=_COUNT,
            metavar="R",
            help="Requests a minute to each model. Default: TRADING_GRAPH_REQUESTS_PER_MINUTE.",
        ),
        click.option(
            "--at-once",
            type=click.IntRange(1, 256),
            metavar="N",
            help="Runs at once. Default: TRADING_GRAPH_PORTFOLIO_AT_ONCE, else 8.",
        ),
    ):
        command = option(command)
    return command


def _list_options(command: _Decorated) -> _Decorated:
    """What is analysed."""
    for option in (
        click.option(
            "--every",
            type=SessionCount(),
            metavar="5d",
            help="With --dates: the first session, and then each so many sessions later.",
        ),
        click.option(
            "--dates",
            metavar="A..B",
            help="Every session of New York from A to B, both included, in the place of --date.",
        ),
        click.argument("symbols", nargs=-1, metavar="LIST|SYMBOLS..."),
    ):
        command = option(command)
    return command


def _anew_options(command: _Decorated) -> _Decorated:
    """What to do with a portfolio that is there, and with the forecast's question."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask, whatever the forecast says."),
        click.option(
            "--again", is_flag=True, help="Begin anew, although there is such a portfolio already."
        ),
    ):
        command = option(command)
    return command


@portfolio.command(
    cls=LazyCommand,
    calls=f"{_COMMANDS}:run_command",
    options="service.run.request:request_options",
    extra="run",
)
@_list_options
@_pace_options
@offline_option
@data_option
@out_option("Where the folders of the runs are made.")
@_anew_options
@json_option
def run() -> None:
    """Analyse every symbol on every date, and leave a portfolio in portfolios/.

    LIST is a file: one symbol a line, or a CSV file whose first column has them; # begins a
    comment. A forecast of time, calls, tokens and cost comes first, and a question where that is
    much.

    Exit codes: 0 all done, 1 some failed or were parked, 2 usage, 3 could not be done, 130
    interrupted, 143 terminated.

    \b
    Examples:
      trading-graph portfolio run watchlist.txt --date 2025-11-14
      trading-graph portfolio run AAPL NVDA --dates 2025-10-01..2025-11-14 --every 5d
    """


_which = click.argument("portfolio_id", default="last", metavar="[ID|last]")


@portfolio.command(
    cls=LazyCommand,
    calls="service.commands.portfolio_queue:submit_command",
    options="service.run.request:request_options",
    extra="portfolio",
)
@_list_options
@database_option
@offline_option
@data_option
@out_option("Where the folders of the runs are made; all workers need it.")
@_anew_options
@json_option
def submit() -> None:
    """Leave a portfolio to workers, and return at once.

    `trading-graph worker`, on this machine or on others, does the runs. The same list submitted
    twice is one portfolio. The words are those of `portfolio run`; how many runs go on at once is a
    matter of the workers.

    Exit codes: 0 submitted, 2 usage, 3 could not be submitted.

    \b
    Examples:
      trading-graph portfolio submit watchlist.txt --date 2025-11-14
      trading-graph portfolio submit AAPL NVDA --database postgresql://me@db/trading
    """


@portfolio.command(cls=LazyCommand, calls=f"{_COMMANDS}:status_command", extra="run")
@_which
@database_option
@json_option
def status() -> None:
    """Say how far a portfolio is, and what each of its ticker-days came to.

    Exit codes: 0 said, 2 usage, 3 there is no such portfolio.

    \b
    Examples:
      trading-graph portfolio status
      trading-graph portfolio status 3f9c --json
    """


@portfolio.command(cls=LazyCommand, calls=f"{_COMMANDS}:resume_command", extra="run")
@_which
@_pace_options
@click.option("--parked", is_flag=True, help="Also try those again that failed or were parked.")
@json_option
def resume() -> None:
    """Go on with a portfolio that was interrupted, killed or cancelled.

    Finished runs are not done again, and started ones go on after their last finished agent.

    Exit codes: as of `portfolio run`.

    \b
    Examples:
      trading-graph portfolio resume
      trading-graph portfolio resume 3f9c --parked
    """


@portfolio.command(cls=LazyCommand, calls=f"{_COMMANDS}:cancel_command", extra="run")
@_which
@database_option
@json_option
def cancel() -> None:
    """Stop the work on a portfolio, also that of another process, and leave the rest undone.

    What was done stays, and `portfolio resume` goes on all the same.

    Exit codes: 0 cancelled, 2 usage, 3 there is nothing to cancel.

    \b
    Examples:
      trading-graph portfolio cancel last
    """


@portfolio.command(cls=LazyCommand, calls=f"{_COMMANDS}:report_command", extra="run")
@_which
@json_option
def report() -> None:
    """Write the report of a portfolio anew, from the decisions that are there by now.

    Exit codes: 0 written, 2 usage, 3 there is no such portfolio.

    \b
    Examples:
      trading-graph portfolio report last
    """


@click.command(cls=LazyCommand, calls="service.commands.worker:worker_command", extra="portfolio")
@database_option
@click.option(
    "--at-once",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Runs at once in this worker. Default: TRADING_GRAPH_PORTFOLIO_AT_ONCE, else 8.",
)
@click.option(
    "--at-once-in-all",
    type=click.IntRange(min=1),
    metavar="M",
    help="Begin none while so many go on in all workers together. Default: no limit.",
)
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=20,
    show_default=True,
    metavar="SECONDS",
    help="How long runs under way may go on after SIGTERM; then others go on with them.",
)
@click.option(
    "--migrate", is_flag=True, help="Change the schema of an older version, whose workers are gone."
)
@click.option("--rejoin", is_flag=True, hidden=True)
def worker() -> None:
    """Work on the portfolios that were submitted to a database, until SIGTERM.

    Any number of workers share a PostgreSQL database, on any number of machines that have the same
    folders of portfolios and runs. What a dead worker had goes on with another, after the last
    agent that ended.

    Exit codes: 0 told to stop, 2 usage, 3 could not go on.

    \b
    Examples:
      trading-graph worker
      trading-graph worker --database postgresql://me@db/trading --at-once 16
    """

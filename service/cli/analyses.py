"""The words of the commands about one symbol: `run`, `data`, `decisions` and `ladder`."""

import click

from trading_graph.service.cli.lazy_command import LazyCommand
from trading_graph.service.cli.options import (
    data_option,
    json_option,
    offline_option,
    out_option,
)
from trading_graph.toolkit.dataset import LAST_DAY

_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command(
    cls=LazyCommand,
    calls="service.commands.run:run_command",
    options="service.run.request:request_options",
    extra="run",
)
@click.argument("symbol", required=False)
@offline_option
@data_option
@click.option("--no-cache", is_flag=True, help="Fetch everything every time, on purpose.")
@click.option("--no-pool", is_flag=True, help="Open a connection for every request, on purpose.")
@out_option("Where the run's folder is made.")
@json_option
@click.option(
    "--resume",
    metavar="RUN",
    help="Resume a run whose process was killed, or that failed: its id, or `last`. Goes with "
    "--out and --json only.",
)
def run() -> None:
    """Analyse SYMBOL, and leave a decision, a report and a trace in runs/.

    Exit codes: 0 decided, 2 usage or a symbol that no source knows, 3 the run failed, 130
    interrupted, 143 terminated.

    \b
    Examples:
      trading-graph run NVDA --date 2025-11-14
      trading-graph run AAPL --offline --analysts market,news
      trading-graph run --resume last
    """


@click.command(cls=LazyCommand, calls="service.commands.data:data_command", extra="run")
@click.argument("symbol")
@click.option(
    "--date",
    metavar="YYYY-MM-DD",
    help=f"As of this day. Default: {LAST_DAY} with embedded data, else today.",
)
@data_option
@click.option("--offline", is_flag=True, help="Embedded data, whatever is set.")
@click.option(
    "--format",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="A table for people, one JSON object with everything, or the price bars as CSV.",
)
def data() -> None:
    """Show all that is known of SYMBOL as of a date.

    Nothing is dated after that day; a weekend or holiday shows the last session before it. The
    data is on stdout; what was fetched, and how long each fetch took, on stderr.

    Exit codes: 0 shown, 2 usage or a symbol that no source knows, 3 no data of the symbol.

    \b
    Examples:
      trading-graph data NVDA --date 2025-11-14
      trading-graph data AAPL --offline --format csv > bars.csv
    """


@click.command(cls=LazyCommand, calls="service.commands.decisions:decisions_command", extra="run")
@click.argument("symbol")
@click.option(
    "--date",
    metavar="YYYY-MM-DD",
    help=f"As of this day. Default: {LAST_DAY} with embedded data, else today.",
)
@data_option
@click.option("--offline", is_flag=True, help="Embedded data, whatever is set.")
@out_option("Where the runs are.")
@json_option
def decisions() -> None:
    """List the decisions on SYMBOL up to a date, and what the price did since each of them.

    Nothing is later than that date: neither a decision nor a price.

    Exit codes: 0 shown, 2 usage, 3 there is no decision.

    \b
    Examples:
      trading-graph decisions NVDA
      trading-graph decisions NVDA --date 2025-11-14 --json
    """


@click.command(cls=LazyCommand, calls="service.commands.ladder:ladder_command", extra="run")
@click.argument("symbol", default="AAPL")
@click.option("--date", metavar="YYYY-MM-DD", help=f"As of this day. Default: {LAST_DAY}.")
@click.option(
    "--call-s",
    type=_POSITIVE,
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="What an LLM call takes.",
)
@click.option(
    "--fetch-s",
    type=_POSITIVE,
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="What a fetch takes.",
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0.001, max=1),
    default=0.02,
    show_default=True,
    help="Which part of that is really waited; figures are scaled back.",
)
@json_option
def ladder() -> None:
    """Run one analysis all sequential, then with Send, async tools, cache and pool, warm cache.

    Each run is predicted from the first one's trace, and measured. Always offline: the latencies
    are simulated.

    Exit codes: 0 all as predicted, 1 a prediction misses by more than 5 %, or a run's own trace
    contradicts what it claims, 2 usage, 3 could not be done.

    \b
    Examples:
      trading-graph ladder
      trading-graph ladder NVDA --call-s 8 --scale 0.05
    """

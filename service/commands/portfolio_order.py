"""What the words of a portfolio ask for, and what is said and asked before it begins.

Nothing here imports what works on portfolios: to leave one to workers takes a moment.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.service.commands.run import read_request
from trading_graph.service.langsmith import langsmith_mode
from trading_graph.service.portfolio.folder import PortfolioFolder, choose_order
from trading_graph.service.portfolio.forecast import Forecast
from trading_graph.service.portfolio.order import Limits, PortfolioOrder
from trading_graph.service.portfolio.symbol_list import read_symbols
from trading_graph.service.portfolio.ticker_day import portfolio_dates
from trading_graph.service.run.request import default_date
from trading_graph.service.settings import Settings, backend_choice
from trading_graph.toolkit.as_of import utc_now

REFUSAL = (
    "The forecast is above what is begun without a question, and there is no terminal to ask at; "
    "give --yes, or raise TRADING_GRAPH_PORTFOLIO_ASK_USD or TRADING_GRAPH_PORTFOLIO_ASK_CALLS."
)


def refuse_contradictions(words: Mapping[str, Any]) -> None:
    """Raise click's UsageError where words exclude each other."""
    if words["date"] is not None and words["dates"] is not None:
        raise click.UsageError("--date is a day and --dates is a range of days; give one of them.")
    if words["every"] is not None and words["dates"] is None:
        raise click.UsageError("--every picks sessions of a range; give --dates A..B with it.")


def read_order(
    symbols: tuple[str, ...], words: Mapping[str, Any], settings: Settings
) -> PortfolioOrder:
    """The order that the words ask for: one that is there already, or a new one.

    Raises BadListError, BadDateError or BadHoldingsError.
    """
    choice = backend_choice(settings, offline=words["offline"], data=words["data"])
    listed = read_symbols(symbols)
    dates = portfolio_dates(
        words["date"], words["dates"], words["every"] or 1, default_date(choice.data)
    )
    first = str(dates[0])
    request = read_request(listed.symbols[0], {**words, "date": first}, settings, first)
    request = request.resolve(first)
    langsmith = langsmith_mode(settings, offline=words["offline"])
    limits = limits_of(words, Limits(settings.portfolio_at_once))

    def make(number: int) -> PortfolioOrder:
        return PortfolioOrder.of(
            listed,
            dates,
            request,
            choice,
            langsmith,
            limits,
            out=Path(words["out"] or settings.out),
            number=number,
        )

    return choose_order(make, settings.portfolios, again=words["again"])


def limits_of(words: Mapping[str, Any], default: Limits) -> Limits:
    """The limits that the words name, and otherwise the default ones."""
    return Limits(
        words["at_once"] or default.at_once,
        words["model_rpm"] or default.requests_per_minute,
        words["model_tpm"] or default.tokens_per_minute,
    )


def announce(
    talk: Console, folder: PortfolioFolder, order: PortfolioOrder, choice: BackendChoice
) -> None:
    """Say what will be worked on, what will serve, and what of the list is left out."""
    symbols, dates = len(order.symbols), order.dates
    days = (
        str(dates[0]) if len(dates) == 1 else f"{len(dates)} dates from {dates[0]} to {dates[-1]}"
    )
    lines = [
        f"{order.name}: {symbols} symbol{'s' * (symbols != 1)}, {days} · {choice.announcement}",
        choice.old_data(utc_now().date()) or "",
        *(f"Left out: {each.reason}" for each in order.refused),
        f"Named more than once, and analysed once: {', '.join(order.duplicates)}."
        if order.duplicates
        else "",
        f"Portfolio {order.id} {'goes on' if folder.exists else 'begins'} in {folder.path}",
    ]
    for line in filter(None, lines):
        talk.print(line, highlight=False, markup=False, soft_wrap=True)


def agree(
    talk: Console, expected: Forecast, choice: BackendChoice, settings: Settings
) -> bool | None:
    """Ask where the forecast is above a limit; None where nobody is there to ask."""
    if choice.model is None or not expected.is_much(settings):
        return True
    if not (sys.stdin.isatty() and talk.is_terminal):
        return None
    try:
        return click.confirm("Begin?", err=True)
    except click.Abort:  # Ctrl-C is an answer, too.
        return False

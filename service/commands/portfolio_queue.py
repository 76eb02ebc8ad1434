"""`trading-graph portfolio submit`, and what the database says of what was submitted."""

import asyncio
import sys
from typing import Any

from rich.console import Console

from trading_graph.service.commands.portfolio_order import (
    REFUSAL,
    agree,
    announce,
    read_order,
    refuse_contradictions,
)
from trading_graph.service.errors import BadListError, PortfolioError
from trading_graph.service.exit_codes import ErrorKind, ExitCode, fail
from trading_graph.service.extras import VERSION
from trading_graph.service.lazy_import import load
from trading_graph.service.portfolio.durable.database import Database
from trading_graph.service.portfolio.durable.engine import Attendance, DurableEngine
from trading_graph.service.portfolio.durable.reaper import lost_sentence
from trading_graph.service.portfolio.durable.shared_folders import queued
from trading_graph.service.portfolio.engine import PortfolioState
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.portfolio.forecast import forecast
from trading_graph.service.portfolio.status_text import forecast_lines
from trading_graph.service.settings import Settings, read_settings


def submit_command(
    *, symbols: tuple[str, ...], database: str | None, as_json: bool, **words: Any
) -> ExitCode:
    """Leave a portfolio to workers; returns the exit code."""
    if not symbols:
        raise BadListError("Name symbols, or a file that lists them: portfolio submit AAPL NVDA.")
    refuse_contradictions(words)
    talk, settings = Console(stderr=True), read_settings()
    words |= dict.fromkeys(("at_once", "model_rpm", "model_tpm"))
    order = read_order(symbols, words, settings)
    # Workers have folders of their own that they stand in.
    order = order.model_copy(update={"out": order.out.absolute()})
    folder = PortfolioFolder(settings.portfolios, order.id)
    place = database_of(database, settings)
    place.reach()  # before anything is said to begin
    if not folder.queue_file.exists():
        choice = order.choice(settings)
        announce(talk, folder, order, choice)
        expected = forecast(order, len(order.ticker_days), choice, settings)
        for line in forecast_lines(expected):
            talk.print(line, highlight=False, soft_wrap=True)
        if not words["yes"] and not (answer := agree(talk, expected, choice, settings)):
            if answer is None:
                return fail(REFUSAL, ErrorKind.USAGE)
            raise PortfolioError("The portfolio was not submitted, as you said.")
    engine = DurableEngine(settings.portfolios, place, VERSION)
    status = asyncio.run(engine.submit(order))
    if as_json:
        load("service.commands.portfolio:show_portfolio")(status, settings, as_json=True)
    else:
        sys.stdout.write(f"{order.id}\n")
        is_over = status.state is not PortfolioState.RUNNING
        where = f"is {status.state}" if is_over else f"is in line in {place.name}"
        lines = [
            f"The portfolio {where}; look at it with: trading-graph portfolio status {order.id}",
            *([] if is_over else _lines(order.id, asyncio.run(engine.attendance(order.id)))),
        ]
        for line in lines:
            talk.print(line, highlight=False, soft_wrap=True)
    return ExitCode.OK


def engine_of(folder: PortfolioFolder, database: str | None, settings: Settings) -> DurableEngine:
    """The engine of a portfolio that was submitted; raises PortfolioError."""
    place = database_of(database, settings)
    name = queued(folder).database
    if name != place.name:
        raise PortfolioError(
            f"The portfolio {folder.path.name} is in line in {name}, and the database here is "
            f"{place.name}; name that one with --database or TRADING_GRAPH_DATABASE_URL."
        )
    return DurableEngine(folder.path.parent, place, VERSION)


def tell_attendance(folder: PortfolioFolder, database: str | None, settings: Settings) -> None:
    """Say on stderr who works, and whether anything has nobody; raises PortfolioError."""
    if all(each.is_final for each in folder.status().ticker_days):
        return
    talk = Console(stderr=True)
    portfolio_id = folder.path.name
    attendance = asyncio.run(engine_of(folder, database, settings).attendance(portfolio_id))
    for line in _lines(portfolio_id, attendance):
        talk.print(line, highlight=False, soft_wrap=True)


def database_of(word: str | None, settings: Settings) -> Database:
    """The database that a word or the settings name; raises PortfolioError."""
    secret = settings.database_url
    address = word or (None if secret is None else secret.get_secret_value())
    return Database.of(address, settings.portfolios)


def _lines(portfolio_id: str, attendance: Attendance) -> list[str]:
    number = len(attendance.workers)
    if not number:
        lines = ["ALARM: no worker is there; start one with: trading-graph worker"]
    else:
        names = ", ".join(
            f"{each.name} ({each.version})" for each in attendance.workers if each.name
        )
        lines = [
            f"{number} worker{'s' * (number != 1)}{names and f': {names}'}; ticker-days in line: "
            f"{attendance.in_line}."
        ]
        if attendance.ownerless:
            versions = ", ".join(sorted({each.version for each in attendance.ownerless}))
            lines.append(
                f"ALARM: nobody has {len(attendance.ownerless)} of the portfolios and ticker-days "
                f"(version {versions}); where that stays so, start a worker of that version."
            )
    if attendance.lost:
        lines.append(f"ALARM: {lost_sentence(portfolio_id, attendance.lost)}")
    return lines

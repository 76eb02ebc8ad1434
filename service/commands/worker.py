"""`trading-graph worker`: do the runs of portfolios that were submitted to a database."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn

from rich.console import Console

from trading_graph.graph.decisions import Decision
from trading_graph.service.commands.portfolio_queue import database_of
from trading_graph.service.errors import PortfolioError
from trading_graph.service.exit_codes import ErrorKind, ExitCode, fail
from trading_graph.service.extras import VERSION
from trading_graph.service.log import LOG, logging_to
from trading_graph.service.portfolio.durable.claims import Pace
from trading_graph.service.portfolio.durable.database import Database
from trading_graph.service.portfolio.durable.share import OpensEngine
from trading_graph.service.portfolio.durable.worker import serve
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.progress import TickerDayProgress
from trading_graph.service.portfolio.run_tally import RunTally
from trading_graph.service.portfolio.ticker_day import TickerDay
from trading_graph.service.run.engine import Engine, open_engine
from trading_graph.service.run.keeper import RunKeeper
from trading_graph.service.settings import Settings, read_settings
from trading_graph.toolkit.house import House

_LOOK_S = 0.5


def worker_command(
    *,
    database: str | None,
    at_once: int | None,
    at_once_in_all: int | None,
    drain: float,
    migrate: bool,
    rejoin: bool,
    version: str = VERSION,
) -> NoReturn:
    """Work until a signal, and end the process; raises PortfolioError or
    StoreUnavailableError before it begins.
    """
    settings = read_settings()
    place = database_of(database, settings)
    pace = Pace(at_once or settings.portfolio_at_once, at_once_in_all, drain)
    talk = Console(stderr=True)

    def tell(sentence: str, *, alarm: bool = False) -> None:
        LOG.log(logging.WARNING if alarm else logging.INFO, "%s", sentence)
        talk.print(sentence, highlight=False, markup=False, soft_wrap=True)

    with logging_to(settings.log_file, settings.redactor):
        _prepare(place, settings, migrate=migrate, rejoin=rejoin)
        listener = WorkerTalk(tell)
        asyncio.run(serve(settings, place, pace, _opens(settings), listener, version, tell, _end))


class WorkerTalk:
    """Says of each ticker-day when it begins and how it ends; a `PortfolioListener`."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def began(self, ticker_day: TickerDay, tally: RunTally) -> None:
        """Say that a try begins."""
        self._tell(f"{ticker_day.symbol} {ticker_day.date} begins")

    def changed(self, progress: TickerDayProgress, decision: Decision | None = None) -> None:
        """Say how a ticker-day ended."""
        if progress.is_final:
            day = progress.ticker_day
            action = f" {decision.decision.action}" if decision else ""
            why = f": {progress.reason}" if progress.reason else ""
            self._tell(f"{day.symbol} {day.date} {progress.state}{action}{why}")


def _prepare(database: Database, settings: Settings, *, migrate: bool, rejoin: bool) -> None:
    """Prepare the database; a worker that comes back waits until there is one again."""
    while True:
        try:
            database.prepare(settings.portfolios, migrate=migrate)
        except PortfolioError:
            if not rejoin:
                raise
            time.sleep(_LOOK_S)
        else:
            return


def _opens(settings: Settings) -> Callable[[RunKeeper, House | None], OpensEngine]:
    def opens(keeper: RunKeeper, house: House | None) -> OpensEngine:
        def open_(order: PortfolioOrder) -> AbstractAsyncContextManager[Engine]:
            choice, redactor = order.choice(settings), settings.redactor
            return open_engine(
                settings,
                choice,
                order.out,
                redactor,
                order.langsmith,
                durable=True,
                keeper=keeper,
                house=house,
            )

        return open_

    return opens


def _end(failure: Exception | None) -> NoReturn:
    code = ExitCode.OK
    if failure is not None:
        code = fail(f"The worker stops: {failure}", ErrorKind.RUN)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

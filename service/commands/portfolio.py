"""`trading-graph portfolio`: begin a portfolio, go on with it, look at it, cancel it, report on it.

What is asked for is checked, and the forecast is told, before the engine is imported, which takes
seconds.
"""

import asyncio
import sys
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from rich.console import Console

from trading_graph.otel.report.documents.document import encode
from trading_graph.service.commands.portfolio_order import (
    REFUSAL,
    agree,
    announce,
    limits_of,
    read_order,
    refuse_contradictions,
)
from trading_graph.service.errors import BadListError, PortfolioError
from trading_graph.service.exit_codes import ErrorKind, ExitCode, fail
from trading_graph.service.langsmith import offline_note
from trading_graph.service.lazy_import import load
from trading_graph.service.log import logging_to
from trading_graph.service.portfolio.engine import (
    PortfolioEngine,
    PortfolioState,
    PortfolioStatus,
)
from trading_graph.service.portfolio.folder import PortfolioFolder, find_portfolio
from trading_graph.service.portfolio.forecast import forecast
from trading_graph.service.portfolio.live_progress import LiveProgress
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.results.evaluation import Evaluation
from trading_graph.service.portfolio.results.renderings import show as show_evaluation
from trading_graph.service.portfolio.results.report import CSV, JSON, MARKDOWN, PAGE, report_on
from trading_graph.service.portfolio.results.report import as_json as as_ranking_json
from trading_graph.service.portfolio.status_document import portfolio_json
from trading_graph.service.portfolio.status_text import (
    forecast_lines,
    show_status,
    show_summary,
)
from trading_graph.service.portfolio.ticker_day import TickerDayState
from trading_graph.service.settings import Settings, read_settings
from trading_graph.service.termination import cancelled_by_sigterm

if TYPE_CHECKING:
    from trading_graph.service.portfolio.local import LocalEngine
    from trading_graph.service.run.engine import Engine

_REPORT_FILES = (MARKDOWN, PAGE, CSV, JSON)
_CANCELLED = frozenset({TickerDayState.CANCELLED})
_NOT_DONE = _CANCELLED | {TickerDayState.FAILED, TickerDayState.PARKED}
_PATIENCE_S = 5.0


def run_command(*, symbols: tuple[str, ...], **words: Any) -> ExitCode:
    """Begin a portfolio, or go on with the one that these words name; returns the exit code."""
    if not symbols:
        raise BadListError("Name symbols, or a file that lists them: portfolio run AAPL NVDA.")
    refuse_contradictions(words)
    talk, settings = Console(stderr=True), read_settings()
    order = read_order(symbols, words, settings)
    folder = PortfolioFolder(settings.portfolios, order.id)
    is_new = not folder.exists
    if not is_new:
        state = folder.status().state
        if state is PortfolioState.CANCELLED:
            raise PortfolioError(
                f"The portfolio {order.id} was cancelled; go on with: trading-graph portfolio "
                f"resume {order.id}, or begin anew with --again."
            )
        order = folder.order().model_copy(update={"limits": order.limits})
    return _work(talk, settings, order, words, is_agreed=words["yes"] or not is_new)


def resume_command(*, portfolio_id: str, parked: bool, **words: Any) -> ExitCode:
    """Go on with a portfolio; returns the exit code."""
    talk, settings = Console(stderr=True), read_settings()
    order = find_portfolio(portfolio_id, settings.portfolios).order()
    limits = limits_of(words, order.limits)
    order = order.model_copy(update={"limits": limits})
    again = _NOT_DONE if parked else _CANCELLED
    return _work(talk, settings, order, words, is_agreed=True, again=again)


def status_command(*, portfolio_id: str, database: str | None, as_json: bool) -> ExitCode:
    """Say how far a portfolio is."""
    settings = read_settings()
    folder = find_portfolio(portfolio_id, settings.portfolios)
    show_portfolio(folder.status(), settings, as_json=as_json)
    if folder.is_queued:
        load("service.commands.portfolio_queue:tell_attendance")(folder, database, settings)
    return ExitCode.OK


def cancel_command(*, portfolio_id: str, database: str | None, as_json: bool) -> ExitCode:
    """Stop the work on a portfolio for good."""
    talk, settings = Console(stderr=True), read_settings()
    folder = find_portfolio(portfolio_id, settings.portfolios)
    with talk.status("waiting for the runs under way to stop"):
        if folder.is_queued:
            engine = load("service.commands.portfolio_queue:engine_of")(folder, database, settings)
        else:
            engine = _engine(talk, settings)
        status = asyncio.run(_cancel(engine, folder.path.name, talk))
    show_portfolio(status, settings, as_json=as_json)
    return ExitCode.OK


async def _cancel(engine: PortfolioEngine, portfolio_id: str, talk: Console) -> PortfolioStatus:
    """Stop the work on a portfolio for good, and say now and then what that waits for."""
    task = asyncio.create_task(engine.cancel(portfolio_id))
    while not (await asyncio.wait([task], timeout=_PATIENCE_S))[0]:
        under_way = [
            f"{each.ticker_day.symbol} {each.ticker_day.date}"
            for each in (await engine.status(portfolio_id)).ticker_days
            if each.state is TickerDayState.RUNNING
        ]
        what = f"the runs under way: {', '.join(under_way)}" if under_way else "the portfolio"
        talk.print(
            f"Still waiting for whoever has it to leave {what}", highlight=False, soft_wrap=True
        )
    return task.result()


def report_command(*, portfolio_id: str, as_json: bool) -> ExitCode:
    """Write the report of a portfolio anew, and show it."""
    talk, settings = Console(stderr=True), read_settings()
    folder = find_portfolio(portfolio_id, settings.portfolios)
    evaluation = write_report(talk, folder, settings)
    if as_json:
        sys.stdout.write(as_ranking_json(evaluation))
    else:
        show_evaluation(evaluation, Console(file=sys.stdout))
    return ExitCode.OK


def _work(
    talk: Console,
    settings: Settings,
    order: PortfolioOrder,
    words: Mapping[str, Any],
    *,
    is_agreed: bool,
    again: Collection[TickerDayState] = (),
) -> ExitCode:
    """Work on a portfolio until it is over, show it, and return the exit code."""
    folder = PortfolioFolder(settings.portfolios, order.id)
    if folder.exists:
        folder.assert_free()
    choice = order.choice(settings)
    progress = tuple(
        each.returned() if each.state in again else each for each in folder.progress(order).values()
    )
    runs = sum(not each.is_final for each in progress)
    announce(talk, folder, order, choice)
    if note := offline_note(settings, offline=bool(words.get("offline"))):
        talk.print(note, highlight=False, soft_wrap=True)
    expected = None
    if runs:
        expected = forecast(order, runs, choice, settings)
        for line in forecast_lines(expected):
            talk.print(line, highlight=False, soft_wrap=True)
        if not is_agreed and not (answer := agree(talk, expected, choice, settings)):
            if answer is None:
                return fail(REFUSAL, ErrorKind.USAGE)
            raise PortfolioError("The portfolio was not begun, as you said.")
    with logging_to(settings.log_file, settings.redactor):
        live = LiveProgress(talk, progress, expected, settings)
        try:
            status = asyncio.run(_finish(_engine(talk, settings), order, live, again))
        except (KeyboardInterrupt, asyncio.CancelledError) as error:
            by_sigint = isinstance(error, KeyboardInterrupt)
            return fail(
                f"The work on the portfolio was interrupted; go on with: trading-graph portfolio "
                f"resume {order.id}",
                ErrorKind.INTERRUPTED if by_sigint else ErrorKind.TERMINATED,
            )
        evaluation = write_report(talk, folder, settings)
    if words["as_json"]:
        show_portfolio(status, settings, as_json=True)
    else:
        out = Console(file=sys.stdout)
        show_evaluation(evaluation, out)
        show_summary(status, settings, out)
    return exit_code(status)


def _engine(talk: Console, settings: Settings) -> PortfolioEngine:
    """The engine of portfolios; its import takes seconds."""
    # Not above: what is asked for is checked first, and the forecast is told.
    with talk.status("loading"):
        engine_class: type[LocalEngine] = load("service.portfolio.local:LocalEngine")
        open_engine = load("service.run.engine:open_engine")

    def opens(order: PortfolioOrder) -> "AbstractAsyncContextManager[Engine]":
        choice = order.choice(settings)
        engine: AbstractAsyncContextManager[Engine] = open_engine(
            settings, choice, order.out, settings.redactor, order.langsmith, durable=True
        )
        return engine

    return engine_class(settings.portfolios, opens)


async def _finish(
    engine: PortfolioEngine,
    order: PortfolioOrder,
    live: LiveProgress,
    again: Collection[TickerDayState],
) -> PortfolioStatus:
    with cancelled_by_sigterm():
        await engine.submit(order)
        with live.show():
            return await engine.work(order.id, live, again=again)


def write_report(talk: Console, folder: PortfolioFolder, settings: Settings) -> Evaluation:
    """Write the report of a portfolio; raises PortfolioError or OSError."""
    evaluation = asyncio.run(report_on(folder, settings))
    talk.print(
        f"Report: {folder.path}/ ({', '.join(_REPORT_FILES)})", highlight=False, soft_wrap=True
    )
    return evaluation


def show_portfolio(status: PortfolioStatus, settings: Settings, *, as_json: bool) -> None:
    """Print how far a portfolio is."""
    folder = PortfolioFolder(status.folder.parent, status.folder.name)
    results = folder.results(status.order, status.ticker_days)
    if as_json:
        sys.stdout.write(encode(portfolio_json(status, results, settings)) + "\n")
    else:
        show_status(status, results, settings, Console(file=sys.stdout))


def exit_code(status: PortfolioStatus) -> ExitCode:
    """0 where every symbol of the list has a decision for every date."""
    if status.state is not PortfolioState.OVER:
        return ExitCode.NOT_DONE
    is_done = all(each.state is TickerDayState.DONE for each in status.ticker_days)
    return ExitCode.OK if is_done and not status.order.refused else ExitCode.CHECK_FAILED

"""`trading-graph portfolio`: begin a portfolio, go on with it, look at it, cancel it, report on it.

What is asked for is checked, and the forecast is told, before the engine is imported, which takes
seconds.
"""

import asyncio
import sys
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.otel.report.documents.document import encode
from trading_graph.service.commands.run import read_request
from trading_graph.service.errors import BadListError, PortfolioError
from trading_graph.service.exit_codes import ErrorKind, ExitCode, fail
from trading_graph.service.langsmith import langsmith_mode, offline_note
from trading_graph.service.lazy_import import load
from trading_graph.service.log import logging_to
from trading_graph.service.portfolio.engine import (
    PortfolioEngine,
    PortfolioState,
    PortfolioStatus,
)
from trading_graph.service.portfolio.folder import PortfolioFolder, choose_order, find_portfolio
from trading_graph.service.portfolio.forecast import Forecast, forecast
from trading_graph.service.portfolio.live_progress import LiveProgress
from trading_graph.service.portfolio.order import Limits, PortfolioOrder
from trading_graph.service.portfolio.results.evaluation import Evaluation
from trading_graph.service.portfolio.results.renderings import show as show_evaluation
from trading_graph.service.portfolio.results.report import CSV, JSON, MARKDOWN, PAGE
from trading_graph.service.portfolio.results.report import as_json as as_ranking_json
from trading_graph.service.portfolio.status_document import portfolio_json
from trading_graph.service.portfolio.status_text import (
    forecast_lines,
    show_status,
    show_summary,
)
from trading_graph.service.portfolio.stored_report import report_on
from trading_graph.service.portfolio.symbol_list import read_symbols
from trading_graph.service.portfolio.ticker_day import TickerDayState, portfolio_dates
from trading_graph.service.run.request import default_date
from trading_graph.service.settings import Settings, backend_choice, read_settings
from trading_graph.service.termination import cancelled_by_sigterm
from trading_graph.toolkit.as_of import utc_now

if TYPE_CHECKING:
    from trading_graph.service.portfolio.local import LocalEngine
    from trading_graph.service.run.engine import Engine

_REPORT_FILES = (MARKDOWN, PAGE, CSV, JSON)
_CANCELLED = frozenset({TickerDayState.CANCELLED})
_NOT_DONE = _CANCELLED | {TickerDayState.FAILED, TickerDayState.PARKED}


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
    limits = _limits(words, order.limits)
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
        status = asyncio.run(engine.cancel(folder.path.name))
    show_portfolio(status, settings, as_json=as_json)
    return ExitCode.OK


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
    limits = _limits(words, Limits(settings.portfolio_at_once))

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


def _limits(words: Mapping[str, Any], default: Limits) -> Limits:
    """The limits that the words name, and otherwise the default ones."""
    return Limits(
        words["at_once"] or default.at_once,
        words["model_rpm"] or default.requests_per_minute,
        words["model_tpm"] or default.tokens_per_minute,
    )


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
    if folder.exists and folder.is_locked():
        raise PortfolioError(folder.busy_sentence)
    choice = order.choice(settings)
    progress = tuple(folder.progress(order).values())
    runs = sum(not each.is_final or each.state in again for each in progress)
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
        except (KeyboardInterrupt, asyncio.CancelledError):
            return fail(
                f"The work on the portfolio was interrupted; go on with: trading-graph portfolio "
                f"resume {order.id}",
                ErrorKind.INTERRUPTED,
            )
        evaluation = write_report(talk, folder, settings)
    if words["as_json"]:
        show_portfolio(status, settings, as_json=True)
    else:
        out = Console(file=sys.stdout)
        show_evaluation(evaluation, out)
        show_summary(status, settings, out)
    return exit_code(status)


REFUSAL = (
    "The forecast is above what is begun without a question, and there is no terminal to ask at; "
    "give --yes, or raise TRADING_GRAPH_PORTFOLIO_ASK_USD or TRADING_GRAPH_PORTFOLIO_ASK_CALLS."
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

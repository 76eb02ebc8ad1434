"""How far a portfolio is, and what it will take, for people."""

from collections.abc import Iterator, Sequence
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trading_graph.graph.chat.rate_limits import in_words
from trading_graph.service.portfolio.engine import PortfolioState, PortfolioStatus
from trading_graph.service.portfolio.forecast import Forecast, usage_cost
from trading_graph.service.portfolio.progress import TickerDayProgress, add_usage
from trading_graph.service.portfolio.ticker_day import TickerDayResult, TickerDayState
from trading_graph.service.settings import Settings

_COLOURS = {"BUY": "green", "SELL": "red", "HOLD": "yellow"}
_ALWAYS_COUNTED = (TickerDayState.DONE, TickerDayState.FAILED)


def forecast_lines(forecast: Forecast) -> Iterator[str]:
    """The forecast, a sentence a line."""
    tokens = "tokens unknown" if forecast.tokens is None else f"{forecast.tokens:,} tokens"
    cost = "cost unknown" if forecast.cost_usd is None else f"${forecast.cost_usd:,.2f}"
    took = "time unknown" if forecast.seconds is None else f"about {in_words(forecast.seconds)}"
    binding = f" ({forecast.binding})" if forecast.binding else ""
    runs = f"{forecast.runs} run{'s' * (forecast.runs != 1)}"
    yield f"Forecast: {runs}, {forecast.calls:,} calls, {tokens}, {cost}, {took}{binding}."
    if forecast.runs_read:
        earlier = f"{forecast.runs_read} earlier run{'s' * (forecast.runs_read != 1)}"
        yield f"What a call takes is known from {earlier}."
    elif forecast.tokens is None:
        yield "No earlier run asked these models, so what a call takes is not known."


def show_status(
    status: PortfolioStatus,
    results: Sequence[TickerDayResult],
    settings: Settings,
    console: Console,
) -> None:
    """Print the ticker-days of a portfolio, and its summary."""
    console.print(_table(status, results))
    console.print()
    show_summary(status, settings, console)


def show_summary(status: PortfolioStatus, settings: Settings, console: Console) -> None:
    """Print how many ticker-days are how far, what that cost, and what is to be done next."""
    counts = status.counts
    words = [
        f"{counts[state]} {state}"
        for state in TickerDayState
        if counts[state] or state in _ALWAYS_COUNTED
    ]
    usage = add_usage(used for each in status.ticker_days for used in each.usage)
    calls = sum(each.calls for each in usage)
    cost = usage_cost(usage, settings)
    spent = "cost unknown" if cost is None else f"${cost:.2f}"
    for line in (
        f"{' · '.join(words)} · {calls:,} calls, {spent}",
        *(f"Left out: {each.reason}" for each in status.order.refused),
        f"Portfolio {status.order.id} ({status.order.name}), {status.state}: {status.folder}",
        *_next_steps(status),
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(status: PortfolioStatus, results: Sequence[TickerDayResult]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("symbol", "date", "state", "decision", "tries", "seconds", "reason"):
        side: Literal["left", "right"] = "right" if title in ("tries", "seconds") else "left"
        table.add_column(title, justify=side, no_wrap=title != "reason")
    for progress, result in zip(status.ticker_days, results, strict=True):
        table.add_row(*_cells(progress, result))
    return table


def _cells(progress: TickerDayProgress, result: TickerDayResult) -> Iterator[str]:
    yield escape(progress.ticker_day.symbol)
    yield str(progress.ticker_day.date)
    yield result.state
    if result.decision is None:
        yield ""
    else:
        final = result.decision.decision
        yield f"[{_COLOURS[final.action]}]{final.action}[/] {final.confidence:.2f}"
    yield str(progress.tries)
    yield f"{progress.seconds:.1f}" if progress.seconds else ""
    yield escape(result.reason)


def _next_steps(status: PortfolioStatus) -> Iterator[str]:
    resume = f"trading-graph portfolio resume {status.order.id}"
    if status.state in (PortfolioState.INTERRUPTED, PortfolioState.CANCELLED):
        yield f"Go on with: {resume}"
    elif status.counts[TickerDayState.PARKED]:
        yield f"Try what was parked again with: {resume} --parked"

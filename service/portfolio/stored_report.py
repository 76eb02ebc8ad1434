"""The report of a portfolio, from what is stored of it, of its runs and of earlier evenings."""

import asyncio
from collections.abc import Iterator

from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.folder import PortfolioFolder, portfolio_folders
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.results.backtest import Rules
from trading_graph.service.portfolio.results.evaluation import Evaluation
from trading_graph.service.portfolio.results.later_prices import ToolkitPrices
from trading_graph.service.portfolio.results.report import write_report
from trading_graph.service.portfolio.ticker_day import TickerDayResult, TickerDayState
from trading_graph.service.settings import Settings, backend_choice
from trading_graph.toolkit.market_data import open_toolkit

_EARLIER = 20
"""How many other portfolios are looked at for what was decided before."""


async def report_on(folder: PortfolioFolder, settings: Settings) -> Evaluation:
    """Rank and back-test what the runs of a portfolio decided, and write its report.

    Prices are asked for anew, up to the last day that is known. Raises PortfolioError or OSError.
    """
    status = await asyncio.to_thread(folder.status)
    order = status.order
    results = await asyncio.to_thread(folder.results, order, status.ticker_days)
    earlier = await asyncio.to_thread(lambda: list(_earlier(folder, order)))
    choice = backend_choice(settings, offline=False, own_model=False, data=order.data)
    first = order.ticker_days[0]
    options = order.run_request(first).options(str(first.date))
    async with open_toolkit(
        choice.data,
        choice.access,
        embedded_latency_s=order.fetch_latency_s,
        cache_file=settings.cache_file,
    ) as toolkit:
        return await write_report(
            folder.path,
            results,
            name=order.name,
            runs=order.out,
            history=ToolkitPrices(toolkit),
            rules=Rules(settings.portfolio_cost_bps, settings.portfolio_cap_pct),
            earlier=earlier,
            holdings=options.holdings,
            left_out=order.refused,
        )


def _earlier(folder: PortfolioFolder, order: PortfolioOrder) -> Iterator[TickerDayResult]:
    """What the same models decided on the same symbols in other portfolios, for earlier days."""
    evening, symbols = order.dates[-1], set(order.symbols)
    for other in portfolio_folders(folder.path.parent)[-_EARLIER:]:
        try:
            status = other.status()
        except PortfolioError:  # It is nobody's in this report.
            continue
        of = status.order
        if of.id == order.id or (of.models, of.data) != (order.models, order.data):
            continue
        days = [
            each
            for each in status.ticker_days
            if each.state is TickerDayState.DONE
            and each.ticker_day.date < evening
            and each.ticker_day.symbol in symbols
        ]
        yield from (each for each in other.results(of, days) if each.decision is not None)

"""The report of a portfolio: made from what its runs decided, and written into its folder.

`ranking.json` and `ranking.csv` are for programs, `report.md` and `report.html` for people.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from trading_graph.graph.holdings import Holdings
from trading_graph.otel.report.documents.document import encode
from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.folder import PortfolioFolder, portfolio_folders
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.results.backtest import Rules, symbols_of
from trading_graph.service.portfolio.results.evaluation import Evaluation, evaluate
from trading_graph.service.portfolio.results.later_prices import (
    LaterPrices,
    ToolkitPrices,
    collect_prices,
)
from trading_graph.service.portfolio.results.ranking_csv import ranking_csv
from trading_graph.service.portfolio.results.ranking_document import ranking_json
from trading_graph.service.portfolio.results.renderings import as_markdown, as_page
from trading_graph.service.portfolio.symbol_list import RefusedSymbol
from trading_graph.service.portfolio.ticker_day import TickerDayResult, TickerDayState
from trading_graph.service.run.folder import REPORT, replace_text
from trading_graph.service.settings import Settings, backend_choice
from trading_graph.toolkit.market_data import open_toolkit

MARKDOWN, PAGE, CSV, JSON = "report.md", "report.html", "ranking.csv", "ranking.json"


async def write_report(
    folder: Path,
    results: Sequence[TickerDayResult],
    *,
    name: str,
    runs: Path,
    history: LaterPrices | None = None,
    rules: Rules | None = None,
    earlier: Sequence[TickerDayResult] = (),
    holdings: Holdings | None = None,
    left_out: Sequence[RefusedSymbol] = (),
) -> Evaluation:
    """Rank and back-test the results, of which there is at least one, and write the report.

    `runs` is the folder of all runs, whose reports the page links to. Without a `history` of prices
    there are neither drawings nor orders nor a back-test. `earlier` are results of other
    portfolios, for what changed since the evening before. With `holdings` the decisions of the
    evening lead to orders. `left_out` are the words of the list that are no symbols. Each file is
    written whole or not at all. Raises OSError.
    """
    symbols = symbols_of(results)
    if holdings is not None:
        symbols |= {each.symbol for each in holdings.positions}
    prices = None if history is None else await collect_prices(history, symbols)

    def make() -> Evaluation:
        evaluation = evaluate(name, results, prices, rules, earlier, holdings, left_out)
        write_files(evaluation, folder, runs)
        return evaluation

    return await asyncio.to_thread(make)


def write_files(evaluation: Evaluation, folder: Path, runs: Path) -> None:
    """Write the files of a report; raises OSError. Blocks."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / JSON, as_json(evaluation))
    replace_text(folder / CSV, ranking_csv(evaluation.ranking))
    replace_text(folder / MARKDOWN, as_markdown(evaluation))
    replace_text(folder / PAGE, as_page(evaluation, _links(evaluation, folder, runs)))


def as_json(evaluation: Evaluation) -> str:
    """The evaluation as one JSON document, which ends with a newline."""
    return encode(ranking_json(evaluation)) + "\n"


def _links(evaluation: Evaluation, folder: Path, runs: Path) -> dict[str, str]:
    """The way from the folder to the report of each run that has one, by run id."""
    links = {}
    for each in evaluation.ranking.places:
        path = runs / each.ticker_day.run_id / REPORT
        if path.is_file():
            links[each.ticker_day.run_id] = Path(os.path.relpath(path, folder)).as_posix()
    return links


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

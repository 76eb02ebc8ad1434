"""The page of a portfolio: how far it is, its ranking, and what each ticker-day came to."""

import asyncio
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web
from pydantic import Field

from trading_graph.service.portfolio.engine import PortfolioStatus
from trading_graph.service.portfolio.progress import TickerDayProgress
from trading_graph.service.portfolio.results.ranking_document import PlaceJson, RankingJson
from trading_graph.service.portfolio.results.report import JSON
from trading_graph.service.portfolio.results.wording import DEMONSTRATION
from trading_graph.service.portfolio.ticker_day import TickerDayResult, TickerDayState
from trading_graph.service.server.api_documents import Query
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.inputs import query_of
from trading_graph.service.server.pages.layout import page, see_other
from trading_graph.service.server.pages.portfolios_page import portfolio_view
from trading_graph.service.server.portfolios_api import cancel as cancel_if_open
from trading_graph.service.server.portfolios_api import portfolio_of

_RELOAD_S = 3
_DAYS = 100
_PLACES = 20
_KINDS = {
    TickerDayState.RUNNING: "live",
    TickerDayState.DONE: "good",
    TickerDayState.FAILED: "bad",
    TickerDayState.PARKED: "bad",
}
_RANKING = msgspec.json.Decoder(RankingJson)


class DaysQuery(Query):
    """Which ticker-days a page shows: those of a state, after so many."""

    state: TickerDayState | None = None
    after: Annotated[int, Field(ge=0, le=1_000_000)] = 0


@dataclass(frozen=True, slots=True)
class DayView:
    """A ticker-day in the table; `page` is that of its run, once it has begun."""

    symbol: str
    date: datetime.date
    page: str | None
    state: str
    kind: str
    action: str | None
    confidence: str
    degraded: bool
    tries: int
    seconds: str
    note: str


@dataclass(frozen=True, slots=True)
class RankingView:
    """The first places of a ranking; `more` are in the report."""

    evening: datetime.date
    demonstration: bool
    rows: Sequence[PlaceJson]
    more: int


async def show(request: web.Request) -> web.Response:
    """The page, in whatever state the portfolio is."""
    query, status = query_of(request, DaysQuery), await portfolio_of(request)
    portfolios = request.app[SERVICE].portfolios
    order = status.order
    ticker_days = [
        each for each in status.ticker_days if query.state is None or each.state is query.state
    ]
    here = ticker_days[query.after : query.after + _DAYS]

    def read() -> list[DayView]:
        results = portfolios.files.results(status, here)
        return [
            _day(*each, has_page=portfolios.files.has_begun(each[0].ticker_day.run_id))
            for each in zip(here, results, strict=True)
        ]

    days = await asyncio.to_thread(read)
    ranking = await asyncio.to_thread(_ranking, status.folder)
    going_on = status.is_live or portfolios.is_here(order.id)
    view = portfolio_view(await asyncio.to_thread(portfolios.summary, status))
    following = query.after + _DAYS
    further = f"/portfolios/{order.id}?after={following}"
    if query.state is not None:
        further += f"&state={query.state}"
    return page(
        request,
        "portfolio.html",
        view.name,
        reload_s=_RELOAD_S if going_on else None,
        it=view,
        at_once=order.limits.at_once,
        elsewhere=status.is_live and not portfolios.is_here(order.id),
        going_on=going_on,
        may_cancel=going_on or status.counts[TickerDayState.WAITING] > 0,
        api=f"/v1/portfolios/{order.id}",
        has_report=ranking is not None,
        ranking=ranking,
        demonstration=DEMONSTRATION,
        days=days,
        further=further if len(ticker_days) > following else None,
        refused=order.refused,
    )


async def cancel(request: web.Request) -> web.Response:
    """Cancel a portfolio, and show what became of it."""
    status: PortfolioStatus = await portfolio_of(request)
    await cancel_if_open(request, status)
    return see_other(f"/portfolios/{status.order.id}")


def _day(progress: TickerDayProgress, result: TickerDayResult, *, has_page: bool) -> DayView:
    day, decision = progress.ticker_day, result.decision
    final = None if decision is None else decision.decision
    calls = sum(each.calls for each in progress.usage)
    note = result.reason
    if result.state is TickerDayState.RUNNING:
        note = f"{progress.agents} agents have ended, {calls} calls" if calls else ""
    return DayView(
        symbol=day.symbol,
        date=day.date,
        page=f"/runs/{day.run_id}" if has_page else None,
        state=str(result.state),
        kind=_KINDS.get(result.state, "plain"),
        action=None if final is None else final.action.value,
        confidence="" if final is None else f"{final.confidence:.2f}",
        degraded=decision is not None and decision.degraded,
        tries=progress.tries,
        seconds=f"{progress.seconds:.1f}" if progress.seconds else "",
        note=note,
    )


def _ranking(folder: Path) -> RankingView | None:
    """The ranking in the folder of a portfolio; None where there is none that can be read."""
    try:
        document = _RANKING.decode((folder / JSON).read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    return RankingView(
        evening=document.evening,
        demonstration=document.demonstration,
        rows=document.ranked[:_PLACES],
        more=max(0, len(document.ranked) - _PLACES),
    )

"""The portfolios that a service shows, those that it works on and those of other processes."""

import asyncio
import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace

from trading_graph.otel.report.documents.document import SCHEMA_VERSION
from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.engine import PortfolioState, PortfolioStatus
from trading_graph.service.portfolio.forecast import seconds_left, usage_cost
from trading_graph.service.portfolio.progress import TickerDayProgress, add_usage
from trading_graph.service.portfolio.status_document import portfolio_json
from trading_graph.service.portfolio.ticker_day import TickerDayState
from trading_graph.service.server.base_path import address
from trading_graph.service.server.portfolio_documents import (
    PortfolioLinksJson,
    PortfolioListJson,
    PortfolioSummaryJson,
    ServedPortfolioJson,
)
from trading_graph.service.server.portfolio_files import PortfolioFiles, RunOfPortfolio
from trading_graph.service.server.portfolio_queue import PortfolioQueue
from trading_graph.service.server.portfolio_request import Orders
from trading_graph.service.settings import Settings
from trading_graph.service.store import RunState, StoredRun

_RUN_STATES: Mapping[TickerDayState, RunState] = {
    TickerDayState.WAITING: RunState.QUEUED,
    TickerDayState.RUNNING: RunState.RUNNING,
    TickerDayState.DONE: RunState.DONE,
    TickerDayState.FAILED: RunState.FAILED,
    TickerDayState.PARKED: RunState.FAILED,
    TickerDayState.CANCELLED: RunState.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Portfolios:
    """What the service knows of portfolios, and its line of them."""

    settings: Settings
    files: PortfolioFiles
    orders: Orders
    queue: PortfolioQueue

    async def status(self, portfolio_id: str) -> PortfolioStatus | None:
        """How far a portfolio is, None where there is none; raises PortfolioError or OSError."""
        return await asyncio.to_thread(self._status, portfolio_id)

    def _status(self, portfolio_id: str) -> PortfolioStatus | None:
        status = self.files.status(portfolio_id)
        if status is None or self.queue.current != portfolio_id:
            return status
        return replace(status, ticker_days=tuple(map(self._with_tally, status.ticker_days)))

    def _with_tally(self, progress: TickerDayProgress) -> TickerDayProgress:
        """A ticker-day with what its run has used so far: its end tells all of it."""
        tally = self.queue.tally(progress.ticker_day.run_id)
        if tally is None or progress.state is not TickerDayState.RUNNING:
            return progress
        return replace(
            progress,
            agents=progress.agents + tally.agents,
            usage=add_usage((*progress.usage, *tally.usage)),
        )

    async def document(self, portfolio_id: str) -> ServedPortfolioJson | None:
        """The document of a portfolio; raises PortfolioError or OSError."""

        def make() -> ServedPortfolioJson | None:
            status = self._status(portfolio_id)
            if status is None:
                return None
            results = self.files.results(status, status.ticker_days)
            return ServedPortfolioJson.of(
                portfolio_json(status, results, self.settings),
                state=self.state(status),
                here=self.is_here(portfolio_id),
                place_in_line=self.queue.place(portfolio_id),
                seconds_left=self.seconds_left(status),
                error=self.error(status),
                links=_links(portfolio_id),
            )

        return await asyncio.to_thread(make)

    async def page(self, before: str | None, limit: int) -> PortfolioListJson:
        """A page of portfolios, the newest first."""
        return await asyncio.to_thread(self._page, before, limit)

    def _page(self, before: str | None, limit: int) -> PortfolioListJson:
        ids = self.files.ids()
        if before is not None:
            ids = ids[ids.index(before) + 1 :] if before in ids else []
        summaries, unreadable = [], []
        for portfolio_id in ids[:limit]:
            try:
                status = self._status(portfolio_id)
            except (PortfolioError, OSError) as error:
                unreadable.append(str(error))
                continue
            if status is not None:
                summaries.append(self.summary(status))
        return PortfolioListJson(
            schema_version=SCHEMA_VERSION,
            portfolios=tuple(summaries),
            unreadable=tuple(unreadable),
            next=ids[limit - 1] if len(ids) > limit else None,
        )

    def summary(self, status: PortfolioStatus) -> PortfolioSummaryJson:
        """A portfolio as a list shows it. Blocks: it adds up what all its ticker-days used."""
        order = status.order
        usage = add_usage(used for each in status.ticker_days for used in each.usage)
        return PortfolioSummaryJson(
            portfolio_id=order.id,
            name=order.name,
            state=self.state(status),
            created=order.created,
            first_date=order.dates[0],
            last_date=order.dates[-1],
            model=model_words(status),
            data=order.data,
            counts={state: status.counts[state] for state in TickerDayState},
            calls=sum(each.calls for each in usage),
            tokens=sum(each.input_tokens + each.output_tokens for each in usage),
            cost_usd=usage_cost(usage, self.settings),
            place_in_line=self.queue.place(order.id),
            seconds_left=self.seconds_left(status),
            error=self.error(status),
            links=_links(order.id),
        )

    def state(self, status: PortfolioStatus) -> PortfolioState:
        """How far a portfolio is; one that the service works on is running until its report is."""
        if status.order.id == self.queue.current:
            return PortfolioState.RUNNING
        if self.queue.place(status.order.id) is not None:
            return PortfolioState.WAITING
        return status.state

    def is_here(self, portfolio_id: str) -> bool:
        """Whether this service works on a portfolio, or will."""
        return portfolio_id == self.queue.current or self.queue.place(portfolio_id) is not None

    def seconds_left(self, status: PortfolioStatus) -> float | None:
        """How long the rest takes, where somebody works on it and one of its runs has ended."""
        if not status.is_live:
            return None
        now = datetime.datetime.now(datetime.UTC)
        return seconds_left(status.ticker_days, status.order.limits.at_once, now)

    def error(self, status: PortfolioStatus) -> str | None:
        """Why the work of this service ended before the portfolio was over."""
        entry = self.queue.entry(status.order.id)
        return entry.error or None if entry and not status.is_live else None

    async def run(self, run_id: str) -> StoredRun | None:
        """A run of a portfolio as the service shows its own."""
        of = await asyncio.to_thread(self.files.of_run, run_id)
        return None if of is None else _stored(of)

    async def owner(self, run_id: str) -> PortfolioStatus | None:
        """The portfolio of a run, None where it has none."""
        of = await asyncio.to_thread(self.files.of_run, run_id)
        return None if of is None else of.status


def model_words(status: PortfolioStatus) -> str:
    """The models of a portfolio."""
    models = status.order.models
    return "offline rules" if models is None else f"{models.quick} and {models.deep}"


def _links(portfolio_id: str) -> PortfolioLinksJson:
    here = address(f"/v1/portfolios/{portfolio_id}")
    return PortfolioLinksJson(
        self=here, page=address(f"/portfolios/{portfolio_id}"), report=f"{here}/report"
    )


def _stored(of: RunOfPortfolio) -> StoredRun:
    day, progress = of.progress.ticker_day, of.progress
    decision = of.result.decision
    final = None if decision is None else decision.decision
    return StoredRun(
        id=day.run_id,
        request=of.status.order.run_request(day),
        symbol=day.symbol,
        date=str(day.date),
        state=_RUN_STATES[of.result.state],
        trace_id=day.run_id,
        traceparent=None,
        idempotency_key=None,
        created=of.status.order.created.timestamp(),
        started=None if progress.began is None else progress.began.timestamp(),
        ended=None if progress.ended is None else progress.ended.timestamp(),
        seconds=progress.seconds if decision is not None else None,
        resumed=max(0, progress.tries - 1),
        action=None if final is None else final.action.value,
        confidence=None if final is None else final.confidence,
        degraded=decision is not None and decision.degraded,
        error=of.result.reason or None,
    )

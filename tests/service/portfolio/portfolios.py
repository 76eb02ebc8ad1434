"""A small portfolio on a real engine and the offline model: a driver for what records it."""

import asyncio
import datetime
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from trading_graph.graph.backend_choice import (
    OFFLINE_DEEP_MODEL,
    OFFLINE_QUICK_MODEL,
    BackendChoice,
    ModelService,
)
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.otel.files.run_log import is_open
from trading_graph.otel.redaction import Redactor
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayResult, TickerDayState
from trading_graph.service.portfolio.trace import (
    PortfolioPlan,
    PortfolioSpan,
    TickerDaySpan,
    record_portfolio,
)
from trading_graph.service.run.engine import Engine, open_engine
from trading_graph.service.run.request import RunRequest
from trading_graph.service.settings import Settings
from trading_graph.toolkit.loopback import LoopbackServer

PORTFOLIO_ID = "0f" * 16
DAY = datetime.date(2025, 11, 14)


def ticker_days(*symbols: str) -> list[TickerDay]:
    """A ticker-day a symbol, with run ids that are no UUIDv7, as those of a portfolio are none."""
    return [
        TickerDay(DAY, symbol, f"{number:02x}" * 16) for number, symbol in enumerate(symbols, 0xA1)
    ]


def plan_of(days: Sequence[TickerDay], at_once: int) -> PortfolioPlan:
    """What the trace of a portfolio of these says at its start."""
    return PortfolioPlan(PORTFOLIO_ID, "evening", len(days), at_once)


@asynccontextmanager
async def engine(
    folder: Path, *, chat_s: float = 0.02, requests: int | None = None, tokens: int | None = None
) -> AsyncIterator[Engine]:
    """An engine with its runs below `folder`, and limits a minute on the offline model.

    With limits the model is one at an address of its own, so that none of its runs can be resumed.
    """
    if requests is None and tokens is None:
        async with _opened(
            folder, BackendChoice(chat_latency_s=chat_s, fetch_latency_s=0.01)
        ) as running:
            yield running
        return
    server = LoopbackServer(OfflineModel(latency_s=chat_s).make_app)
    await asyncio.to_thread(server.start)
    service = ModelService(
        base_url=f"{server.url}/v1",
        api_key=SecretStr("offline"),
        quick=OFFLINE_QUICK_MODEL,
        deep=OFFLINE_DEEP_MODEL,
        is_ours=True,
        requests_per_minute={} if requests is None else {"*": requests},
        tokens_per_minute={} if tokens is None else {"*": tokens},
    )
    try:
        async with _opened(folder, BackendChoice(model=service, fetch_latency_s=0.01)) as running:
            yield running
    finally:
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def _opened(folder: Path, choice: BackendChoice) -> AsyncIterator[Engine]:
    settings = await asyncio.to_thread(Settings, out=folder / "runs", spool=folder / "spool")
    redactor = Redactor([], environment={})
    async with open_engine(settings, choice, settings.out, redactor, LangSmithMode.OFF) as running:
        yield running


def record(
    folder: Path,
    body: Callable[[Engine, PortfolioSpan], Awaitable[None]],
    days: Sequence[TickerDay],
    at_once: int,
    **limits: Any,
) -> None:
    """Record a portfolio in `folder / "portfolio"` while a body works on it, to its end."""

    async def go() -> None:
        async with (
            engine(folder, **limits) as running,
            record_portfolio(folder / "portfolio", running, plan_of(days, at_once)) as portfolio,
        ):
            await body(running, portfolio)

    asyncio.run(go())


async def work(
    running: Engine,
    portfolio: PortfolioSpan,
    days: Sequence[TickerDay],
    at_once: int,
    *,
    tries: int = 1,
) -> None:
    """Run these ticker-days, so many at once; a run that an earlier process began is resumed."""
    slots = asyncio.Semaphore(at_once)

    async def one(day: TickerDay) -> None:
        async with slots:
            with portfolio.ticker_day(day, tries) as span:
                await run(running, day, span)
                span.ended(TickerDayResult(day, TickerDayState.DONE))

    async with asyncio.TaskGroup() as group:
        for day in days:
            group.create_task(one(day))


async def run(running: Engine, day: TickerDay, span: TickerDaySpan) -> None:
    """The run of a ticker-day, from its start or from where it stood."""
    run_id = uuid.UUID(day.run_id)
    if await asyncio.to_thread(is_open, running.out / day.run_id / "trace.jsonl"):
        await running.resume(run_id, listeners=[span], links=span.links)
        return
    request = RunRequest(symbol=day.symbol, date=str(day.date))
    await running.run(request, run_id=run_id, listeners=[span], links=span.links)

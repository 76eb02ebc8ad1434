"""The trace of a portfolio that workers share, which is recorded when the portfolio is over.

Until then no process knows all of it. What happened to each ticker-day is in its log, and what its
calls took is in the trace of its run; so the spans of the tries are made from these, with their
real times. The span of a try has an id that follows from the run's and the number of the try: a run
links to it before it exists, on whatever machine it begins.
"""

import asyncio
import datetime
import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, TraceFlags

from trading_graph.otel import spans
from trading_graph.otel.export import TraceFile
from trading_graph.otel.trace import semconv
from trading_graph.service.portfolio.attributes import KILLED, SLOT_WAIT_S, TICKER_DAY, WORKFLOW
from trading_graph.service.portfolio.call_tally import tally_of
from trading_graph.service.portfolio.folder import TRIES, PortfolioFolder
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.progress import (
    Happening,
    ProgressEvent,
    TickerDayProgress,
)
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayResult, TickerDayState
from trading_graph.service.portfolio.trace import (
    PortfolioPlan,
    ended_spans,
    plan_attributes,
    state_attributes,
    try_attributes,
)
from trading_graph.service.run.engine import Engine
from trading_graph.service.run.folder import TRACE, RunFolder


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a ticker-day: when it began and ended, and what it came to.

    `number` counts from 1, and is 0 for a ticker-day that ended before any try. Times are in
    nanoseconds since the epoch. `killed` says that its worker died.
    """

    number: int
    queued_ns: int
    start_ns: int
    end_ns: int
    result: TickerDayResult
    error_type: str
    killed: bool


def tries_of(
    ticker_day: TickerDay, events: Iterable[ProgressEvent], queued: datetime.datetime
) -> Iterator[Try]:
    """The tries of a ticker-day by what happened to it; `queued` is when it came into the line."""
    progress = TickerDayProgress(ticker_day)
    waits_ns = int(queued.timestamp() * 1e9)
    group: list[ProgressEvent] = []
    number = 0
    for event in (*events, None):
        if group and (event is None or event.happening is Happening.BEGAN):
            made = _try(number, ticker_day, group, progress, waits_ns)
            yield made
            waits_ns, group = made.end_ns, []
        if event is not None:
            number += event.happening is Happening.BEGAN
            progress = progress.after(event)
            group.append(event)


def _try(
    number: int,
    ticker_day: TickerDay,
    events: Sequence[ProgressEvent],
    progress: TickerDayProgress,
    queued_ns: int,
) -> Try:
    first = int(events[0].at * 1e9)
    # Not when its end was noted: of a killed worker another one notes it, and later.
    seconds = sum(event.seconds for event in events)
    error = next((event.error_type for event in events if event.error_type), "")
    killed = any(event.happening is Happening.KILLED for event in events)
    return Try(
        number,
        queued_ns,
        first,
        first + int(seconds * 1e9),
        TickerDayResult(ticker_day, progress.state),
        error,
        killed,
    )


def try_context(portfolio_id: str, run_id: str, number: int) -> SpanContext:
    """The context of the span of a try, before it is recorded or after."""
    digest = hashlib.sha256(f"{run_id} {number}".encode()).digest()
    return SpanContext(
        uuid.UUID(portfolio_id).int,
        int.from_bytes(digest[:8], "big") or 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


async def record_over(folder: PortfolioFolder, order: PortfolioOrder, engine: Engine) -> None:
    """Record the trace of a portfolio whose ticker-days are all over; raises OSError."""
    tries = await asyncio.to_thread(_all_tries, folder, order)
    created_ns = int(order.created.timestamp() * 1e9)
    # The clocks of machines differ, and a span begins with the first of its parts.
    start_ns = min([created_ns, *(each.start_ns for each in tries)])
    partial = folder.path / f".{TRACE}.partial"
    partial.unlink(missing_ok=True)
    file = await asyncio.to_thread(TraceFile, partial, engine.redactor)
    try:
        async with spans.run(
            WORKFLOW,
            provider=engine.telemetry.provider,
            attributes=plan_attributes(
                engine, PortfolioPlan(order.id, order.name, len(order.ticker_days), None)
            ),
            parent=Context(),
            run_id=uuid.UUID(order.id),
            listeners=[file],
            start_ns=start_ns,
        ):
            for each in tries:
                await asyncio.to_thread(_record, each, order, engine)
    finally:
        await asyncio.to_thread(file.close)
    await asyncio.to_thread(partial.replace, folder.path / TRACE)


def _all_tries(folder: PortfolioFolder, order: PortfolioOrder) -> list[Try]:
    tries = [
        each
        for ticker_day in order.ticker_days
        for each in tries_of(ticker_day, folder.events_of_one(ticker_day), order.created)
    ]
    return sorted(tries, key=lambda each: each.start_ns)


def _record(each: Try, order: PortfolioOrder, engine: Engine) -> None:
    """Record the span of a try, with what its calls took by the trace of its run. Blocks."""
    ticker_day = each.result.ticker_day
    run_id = ticker_day.run_id
    run = RunFolder(order.out, run_id)
    set_aside = engine.settings.portfolios / order.id / TRIES
    files = [run.trace, *set_aside.glob(f"{run_id}-*/{TRACE}")]
    calls = [
        span
        for file in files
        for span in ended_spans(file)
        if each.start_ns <= (span.start_time or 0) <= each.end_ns
    ]
    tally = tally_of(calls, each.start_ns, engine.settings.price)
    state = each.result.state
    error = each.error_type
    if state in (TickerDayState.FAILED, TickerDayState.PARKED, TickerDayState.CANCELLED):
        error = error or str(state)
    wait_s = max(each.start_ns - each.queued_ns, 0) / 1e9
    spans.record_past_span(
        TICKER_DAY,
        try_context(order.id, run_id, each.number),
        each.start_ns,
        each.end_ns,
        attributes={
            **try_attributes(ticker_day, each.number),
            SLOT_WAIT_S: round(wait_s, 3),
            **state_attributes(each.result),
            **({KILLED: True} if each.killed else {}),
            **tally.attributes(each.start_ns),
            **({semconv.ERROR_TYPE: error} if error else {}),
        },
        links=[Link(spans.run_context(run_id))],
        events=tally.grants,
        error=error,
    )

"""How far a portfolio is, as the JSON document that its commands print."""

import datetime
from collections.abc import Sequence
from typing import Literal

from trading_graph.otel.report.documents.document import SCHEMA_VERSION, Document
from trading_graph.service.portfolio.engine import PortfolioState, PortfolioStatus
from trading_graph.service.portfolio.forecast import usage_cost
from trading_graph.service.portfolio.progress import TickerDayProgress, add_usage
from trading_graph.service.portfolio.ticker_day import TickerDayResult, TickerDayState
from trading_graph.service.settings import Settings


class TickerDayJson(Document, frozen=True, kw_only=True):
    """How far a ticker-day is; `action` to `degraded` are null until its run is done.

    `seconds` to `cost_usd` are of all tries but one that is under way; a call without an answer
    counts, without tokens. `cost_usd` is null where a price is not known.
    """

    symbol: str
    date: datetime.date
    run_id: str
    state: TickerDayState
    tries: int
    reason: str
    action: str | None
    confidence: float | None
    decided_by: str | None
    degraded: bool | None
    seconds: float
    calls: int
    tokens: int
    cost_usd: float | None


class RefusedSymbolJson(Document, frozen=True, kw_only=True):
    """A word of the list that is no symbol, and why."""

    text: str
    reason: str


class PortfolioJson(Document, frozen=True, kw_only=True):
    """What `trading-graph portfolio` prints with --json, but for `report`.

    `counts` has the number of ticker-days in each state.
    """

    schema_version: Literal[1]
    portfolio_id: str
    name: str
    state: PortfolioState
    folder: str
    runs_folder: str
    created: datetime.datetime
    model: str
    data: str
    at_once: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    counts: dict[str, int]
    calls: int
    tokens: int
    cost_usd: float | None
    refused: tuple[RefusedSymbolJson, ...]
    duplicates: tuple[str, ...]
    ticker_days: tuple[TickerDayJson, ...]


def portfolio_json(
    status: PortfolioStatus, results: Sequence[TickerDayResult], settings: Settings
) -> PortfolioJson:
    """The document of a portfolio; `results` are of its ticker-days, in their order."""
    order = status.order
    usage = add_usage(used for each in status.ticker_days for used in each.usage)
    models = order.models
    return PortfolioJson(
        schema_version=SCHEMA_VERSION,
        portfolio_id=order.id,
        name=order.name,
        state=status.state,
        folder=str(status.folder),
        runs_folder=str(order.out),
        created=order.created,
        model="offline rules" if models is None else f"{models.quick} and {models.deep}",
        data=order.data,
        at_once=order.limits.at_once,
        requests_per_minute=order.limits.requests_per_minute,
        tokens_per_minute=order.limits.tokens_per_minute,
        counts={state: status.counts[state] for state in TickerDayState},
        calls=sum(each.calls for each in usage),
        tokens=sum(each.input_tokens + each.output_tokens for each in usage),
        cost_usd=usage_cost(usage, settings),
        refused=tuple(
            RefusedSymbolJson(text=each.text, reason=each.reason) for each in order.refused
        ),
        duplicates=order.duplicates,
        ticker_days=tuple(
            _ticker_day(progress, result, settings)
            for progress, result in zip(status.ticker_days, results, strict=True)
        ),
    )


def _ticker_day(
    progress: TickerDayProgress, result: TickerDayResult, settings: Settings
) -> TickerDayJson:
    decision = result.decision
    final = None if decision is None else decision.decision
    return TickerDayJson(
        symbol=progress.ticker_day.symbol,
        date=progress.ticker_day.date,
        run_id=progress.ticker_day.run_id,
        state=result.state,
        tries=progress.tries,
        reason=result.reason,
        action=None if final is None else final.action.value,
        confidence=None if final is None else final.confidence,
        decided_by=None if decision is None else decision.decided_by.value,
        degraded=None if decision is None else decision.degraded,
        seconds=round(progress.seconds, 3),
        calls=sum(each.calls for each in progress.usage),
        tokens=sum(each.input_tokens + each.output_tokens for each in progress.usage),
        cost_usd=usage_cost(progress.usage, settings),
    )

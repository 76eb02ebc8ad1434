"""The back-test of a portfolio as a part of its JSON document; see docs/backtest.md.

Shares are fractions: 0.1 is ten per cent. Prices are in the `currency` beside them, and on the
share basis of the decision's day.
"""

import datetime

from trading_graph.graph.decisions import Action
from trading_graph.otel.report.documents.document import Document
from trading_graph.service.portfolio.results.backtest import (
    BackTest,
    CurrencyAccount,
    Group,
    Outcome,
    Untested,
)
from trading_graph.service.portfolio.results.intervals import LEVEL, RESAMPLES
from trading_graph.service.portfolio.results.knowledge_cutoffs import Knowledge
from trading_graph.service.portfolio.results.trades import Exit


class ConfidenceIntervalJson(Document, frozen=True, kw_only=True):
    """An interval at the `level` of the back-test."""

    low: float
    high: float


class OutcomeJson(Document, frozen=True, kw_only=True):
    """A decision and what became of it."""

    symbol: str
    date: datetime.date
    run_id: str
    action: Action
    confidence: float
    knowledge: Knowledge
    currency: str
    planned_entry: float | None
    entry_day: datetime.date
    entry: float
    exit_day: datetime.date
    exit: float
    exit_kind: Exit
    dividends: float
    sessions: int
    profit: float
    drawdown: float
    benchmark: str
    benchmark_profit: float | None
    excess: float | None


class UntestedJson(Document, frozen=True, kw_only=True):
    """A decision that could not be followed."""

    symbol: str
    date: datetime.date
    reason: str


class GroupJson(Document, frozen=True, kw_only=True):
    """The outcomes of an action: of all, of a band of confidence, or of a state of knowledge."""

    action: Action
    confidence_from: float | None
    confidence_to: float | None
    knowledge: Knowledge | None
    size: int
    open: int
    independent: int
    block_dates: int
    mean_confidence: float
    hits: int | None
    hit_rate: float | None
    hit_rate_interval: ConfidenceIntervalJson | None
    mean_profit: float
    mean_profit_interval: ConfidenceIntervalJson | None
    mean_excess: float | None
    mean_excess_interval: ConfidenceIntervalJson | None
    worst_drawdown: float
    mean_sessions: float


class AccountJson(Document, frozen=True, kw_only=True):
    """All purchases of a currency as one account that starts with 1."""

    currency: str
    bought: int
    unpaid: int
    held: int
    profit: float
    drawdown: float
    exposure: float
    benchmark: str
    benchmark_profit: float | None
    benchmark_drawdown: float | None
    days: tuple[datetime.date, ...]
    values: list[float]
    benchmark_values: list[float] | None


class BackTestJson(Document, frozen=True, kw_only=True):
    """What the decisions would have earned; `demonstration`: rules stood in for a model."""

    last_day: datetime.date
    cost_bps: float
    cap_pct: float | None
    demonstration: bool
    level: float
    seed: int
    resamples: int
    outcomes: list[OutcomeJson]
    untested: list[UntestedJson]
    groups: list[GroupJson]
    accounts: list[AccountJson]


def back_test_json(back_test: BackTest) -> BackTestJson:
    """The document of a back-test."""
    return BackTestJson(
        last_day=back_test.last_day,
        cost_bps=back_test.rules.cost_bps,
        cap_pct=back_test.rules.cap_pct,
        demonstration=back_test.is_demonstration,
        level=LEVEL,
        seed=back_test.rules.seed,
        resamples=RESAMPLES,
        outcomes=[_outcome(each) for each in back_test.outcomes],
        untested=[_untested(each) for each in back_test.untested],
        groups=[_group(each) for each in back_test.groups],
        accounts=[_account(each) for each in back_test.accounts],
    )


def _outcome(outcome: Outcome) -> OutcomeJson:
    trade, decision = outcome.trade, outcome.decision
    return OutcomeJson.of(
        outcome,
        symbol=decision.symbol,
        date=decision.as_of,
        run_id=outcome.ticker_day.run_id,
        currency=decision.currency,
        planned_entry=decision.decision.entry,
        entry_day=trade.entry_day,
        entry=trade.entry,
        exit_day=trade.exit_day,
        exit=trade.exit,
        exit_kind=trade.kind,
        dividends=trade.dividends,
        sessions=len(trade.dates),
        drawdown=trade.drawdown,
        benchmark=decision.benchmark,
    )


def _untested(each: Untested) -> UntestedJson:
    return UntestedJson(
        symbol=each.ticker_day.symbol, date=each.ticker_day.date, reason=str(each.reason)
    )


def _group(group: Group) -> GroupJson:
    low, high = group.band or (None, None)
    return GroupJson.of(
        group,
        confidence_from=low,
        confidence_to=high,
        block_dates=group.block,
        mean_confidence=group.confidence,
        hit_rate_interval=_interval(group.hit_interval),
        mean_profit=group.profit,
        mean_profit_interval=_interval(group.profit_interval),
        mean_excess=group.excess,
        mean_excess_interval=_interval(group.excess_interval),
        worst_drawdown=group.drawdown,
        mean_sessions=group.sessions,
    )


def _interval(interval: object) -> ConfidenceIntervalJson | None:
    return None if interval is None else ConfidenceIntervalJson.of(interval)


def _account(each: CurrencyAccount) -> AccountJson:
    account = each.account
    return AccountJson(
        currency=each.currency,
        bought=account.bought,
        unpaid=account.unpaid,
        held=account.held,
        profit=account.profit,
        drawdown=account.drawdown,
        exposure=account.exposure,
        benchmark=each.benchmark,
        benchmark_profit=each.benchmark_profit,
        benchmark_drawdown=each.benchmark_drawdown,
        days=account.days,
        values=account.values.tolist(),
        benchmark_values=None if each.benchmark_values is None else each.benchmark_values.tolist(),
    )

"""The ranking and the back-test of a portfolio as one JSON document; see docs/backtest.md.

Shares are fractions: 0.1 is ten per cent. Prices are in the `currency` beside them, and on the
share basis of the decision's day.
"""

import datetime
from typing import Literal

from trading_graph.graph.backend_choice import models_in
from trading_graph.graph.decisions import Action, DecidedBy
from trading_graph.otel.report.documents.document import SCHEMA_VERSION, Document
from trading_graph.service.portfolio.backtest import (
    BackTest,
    CurrencyAccount,
    Group,
    Outcome,
    Untested,
)
from trading_graph.service.portfolio.intervals import LEVEL, RESAMPLES
from trading_graph.service.portfolio.knowledge_cutoffs import Knowledge, cutoff_of
from trading_graph.service.portfolio.ranking import Place, Ranking
from trading_graph.service.portfolio.ticker_day import TickerDayResult, TickerDayState
from trading_graph.service.portfolio.trades import Exit


class ExpectationJson(Document, frozen=True, kw_only=True):
    """What a decision promises by its own numbers."""

    reward: float
    risk: float
    gain: float
    per_risk: float


class BeforeJson(Document, frozen=True, kw_only=True):
    """The decision of an earlier evening; `decided` says whether a model made it."""

    date: datetime.date
    action: Action
    confidence: float
    decided: bool


class PlaceJson(Document, frozen=True, kw_only=True):
    """A decision and its place."""

    rank: int | None
    symbol: str
    action: Action
    confidence: float
    expectation: ExpectationJson | None
    position_pct: float | None
    horizon_days: int | None
    entry: float | None
    stop: float | None
    target: float | None
    currency: str
    session: datetime.date | None
    changed: bool
    before: BeforeJson | None
    decided_by: DecidedBy
    degraded: bool
    warnings: list[str]
    run_id: str


class UnfinishedJson(Document, frozen=True, kw_only=True):
    """A ticker-day without a decision."""

    symbol: str
    date: datetime.date
    state: TickerDayState
    reason: str
    run_id: str


class ModelJson(Document, frozen=True, kw_only=True):
    """A model that served, and the newest day of its training data, null where it is not known."""

    name: str
    cutoff: datetime.date | None
    page: str | None
    read_on: datetime.date | None


class IntervalJson(Document, frozen=True, kw_only=True):
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
    hit_rate_interval: IntervalJson | None
    mean_profit: float
    mean_profit_interval: IntervalJson | None
    mean_excess: float | None
    mean_excess_interval: IntervalJson | None
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
    demonstration: bool
    level: float
    seed: int
    resamples: int
    outcomes: list[OutcomeJson]
    untested: list[UntestedJson]
    groups: list[GroupJson]
    accounts: list[AccountJson]


class RankingJson(Document, frozen=True, kw_only=True):
    """The ranking of an evening, and the back-test of all evenings of its portfolio."""

    schema_version: Literal[1]
    name: str
    evening: datetime.date
    previous: datetime.date | None
    demonstration: bool
    models: list[ModelJson]
    data: list[str]
    ranked: list[PlaceJson]
    undecided: list[PlaceJson]
    unfinished: list[UnfinishedJson]
    backtest: BackTestJson | None


def ranking_json(name: str, ranking: Ranking, back_test: BackTest | None) -> RankingJson:
    """The document of a portfolio's report."""
    labels = sorted({each.decision.model for each in ranking.places})
    models = sorted({name for label in labels for name in models_in(label)})
    return RankingJson(
        schema_version=SCHEMA_VERSION,
        name=name,
        evening=ranking.evening,
        previous=ranking.previous,
        demonstration=ranking.is_demonstration,
        models=[_model(name) for name in models],
        data=sorted({each.decision.data for each in ranking.places}),
        ranked=[_place(each) for each in ranking.ranked],
        undecided=[_place(each) for each in ranking.undecided],
        unfinished=[_unfinished(each) for each in ranking.unfinished],
        backtest=None if back_test is None else _back_test(back_test),
    )


def _model(name: str) -> ModelJson:
    cutoff = cutoff_of(name)
    return ModelJson(
        name=name,
        cutoff=None if cutoff is None else cutoff.day,
        page=None if cutoff is None else cutoff.page,
        read_on=None if cutoff is None else cutoff.read_on,
    )


def _place(place: Place) -> PlaceJson:
    decision, promise = place.decision, place.expectation
    final = decision.decision
    return PlaceJson(
        rank=place.rank,
        symbol=decision.symbol,
        action=final.action,
        confidence=final.confidence,
        expectation=None if promise is None else ExpectationJson.of(promise),
        position_pct=final.position_pct,
        horizon_days=final.horizon_days,
        entry=final.entry,
        stop=final.stop,
        target=final.target,
        currency=decision.currency,
        session=decision.session,
        changed=place.changed,
        before=None if place.before is None else BeforeJson.of(place.before),
        decided_by=decision.decided_by,
        degraded=decision.degraded,
        warnings=list(decision.warnings),
        run_id=place.ticker_day.run_id,
    )


def _unfinished(result: TickerDayResult) -> UnfinishedJson:
    return UnfinishedJson.of(result.ticker_day, state=result.state, reason=result.reason)


def _back_test(back_test: BackTest) -> BackTestJson:
    return BackTestJson(
        last_day=back_test.last_day,
        cost_bps=back_test.rules.cost_bps,
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


def _interval(interval: object) -> IntervalJson | None:
    return None if interval is None else IntervalJson.of(interval)


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

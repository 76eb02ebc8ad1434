"""The ranking, orders and back-test of a portfolio as a JSON document; see docs/backtest.md.

Shares are fractions: 0.1 is ten per cent. Prices are in the `currency` beside them, and on the
share basis of the decision's day.
"""

import datetime
from typing import Literal

from trading_graph.graph.backend_choice import models_in
from trading_graph.graph.decisions import Action, DecidedBy
from trading_graph.graph.holdings import SizeLimit
from trading_graph.graph.sizing import OrderAction
from trading_graph.otel.report.documents.document import SCHEMA_VERSION, Document
from trading_graph.service.portfolio.results.backtest_document import BackTestJson, back_test_json
from trading_graph.service.portfolio.results.evaluation import Evaluation
from trading_graph.service.portfolio.results.knowledge_cutoffs import cutoff_of
from trading_graph.service.portfolio.results.ranking import Place
from trading_graph.service.portfolio.results.trade_orders import PlacedOrder
from trading_graph.service.portfolio.ticker_day import TickerDayResult, TickerDayState


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


class OrderJson(Document, frozen=True, kw_only=True):
    """What a decision does with what is held, after the orders before it took their cash."""

    symbol: str
    action: OrderAction
    quantity: float | None
    price: float
    currency: str
    value: float | None
    quantity_before: float
    quantity_after: float | None
    cash_before: float | None
    cash_after: float | None
    portfolio_value: float | None
    limits: tuple[SizeLimit, ...]
    words: str
    run_id: str


class RankingJson(Document, frozen=True, kw_only=True):
    """The ranking of an evening, its orders where holdings were told, and the back-test of all
    evenings of its portfolio.
    """

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
    orders: list[OrderJson] | None
    backtest: BackTestJson | None


def ranking_json(evaluation: Evaluation) -> RankingJson:
    """The document of a portfolio's report."""
    ranking, back_test, orders = evaluation.ranking, evaluation.back_test, evaluation.orders
    labels = sorted({each.decision.model for each in ranking.places})
    models = sorted({name for label in labels for name in models_in(label)})
    return RankingJson(
        schema_version=SCHEMA_VERSION,
        name=evaluation.name,
        evening=ranking.evening,
        previous=ranking.previous,
        demonstration=ranking.is_demonstration,
        models=[_model(name) for name in models],
        data=sorted({each.decision.data for each in ranking.places}),
        ranked=[_place(each) for each in ranking.ranked],
        undecided=[_place(each) for each in ranking.undecided],
        unfinished=[_unfinished(each) for each in ranking.unfinished],
        orders=None if orders is None else [_placed_order(each) for each in orders],
        backtest=None if back_test is None else back_test_json(back_test),
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


def _placed_order(each: PlacedOrder) -> OrderJson:
    return OrderJson.of(
        each.order, symbol=each.place.decision.symbol, run_id=each.place.ticker_day.run_id
    )


def _unfinished(result: TickerDayResult) -> UnfinishedJson:
    return UnfinishedJson.of(result.ticker_day, state=result.state, reason=result.reason)

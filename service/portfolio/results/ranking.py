"""The ranking of an evening: which decisions promise most for what they risk.

A confidence alone ranks nothing: 0.9 for a target 1 % away against a stop 10 % away loses money by
its own numbers. The rank of a BUY is its expected gain for each unit risked,

    (confidence x reward - (1 - confidence) x risk) / risk,

where reward and risk are the ways from the entry to the target and to the stop. Positions whose
losses at the stop are the same size are what that compares. A SELL, which means "do not hold", is
ranked by the same formula among the SELLs: there it is a loss that is avoided. A HOLD has no rank,
and one that no model decided is listed apart.
"""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from trading_graph.graph.backend_choice import models_in
from trading_graph.graph.decisions import Action, DecidedBy, Decision, FinalDecision
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayResult, TickerDayState

_WITHOUT_DECISION = (TickerDayState.FAILED, TickerDayState.PARKED)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a decision promises by its own numbers; `reward` and `risk` are shares of the entry."""

    confidence: float
    reward: float
    risk: float

    @property
    def gain(self) -> float:
        """The expected gain, or loss avoided, as a share of the entry."""
        return self.confidence * self.reward - (1 - self.confidence) * self.risk

    @property
    def per_risk(self) -> float:
        """The expected gain for each unit risked, which is the rank."""
        return self.gain / self.risk


def expectation(decision: FinalDecision) -> Expectation | None:
    """What a BUY or a SELL promises; None for a HOLD."""
    entry, stop, target = decision.entry, decision.stop, decision.target
    if decision.action is Action.HOLD or entry is None or stop is None or target is None:
        return None
    return Expectation(decision.confidence, abs(target - entry) / entry, abs(entry - stop) / entry)


@dataclass(frozen=True, slots=True)
class Before:
    """The decision on a symbol of an earlier evening."""

    date: datetime.date
    action: Action
    confidence: float
    decided: bool
    """Whether a model decided."""


@dataclass(frozen=True, slots=True)
class Place:
    """A decision's place in the ranking; `rank` counts from 1 among its action's decisions.

    `rank` and `expectation` are None for a HOLD, `before` where no earlier evening is known.
    """

    ticker_day: TickerDay
    decision: Decision
    expectation: Expectation | None
    before: Before | None
    rank: int | None = None

    @property
    def action(self) -> Action:
        """What to do."""
        return self.decision.decision.action

    @property
    def confidence(self) -> float:
        """The decision's confidence."""
        return self.decision.decision.confidence

    @property
    def changed(self) -> bool:
        """Whether another action was decided on the earlier evening."""
        return self.before is not None and self.before.action is not self.action


@dataclass(frozen=True, slots=True)
class Ranking:
    """The decisions of one evening in their order, and the ticker-days without a decision.

    `holds` are those that a model decided; `undecided` those that stand by rule. `unfinished` are
    of all dates, the newest first; `decided` has the date of every other ticker-day. `previous` is
    the evening before, if any is known.
    """

    evening: datetime.date
    previous: datetime.date | None
    buys: tuple[Place, ...]
    sells: tuple[Place, ...]
    holds: tuple[Place, ...]
    undecided: tuple[Place, ...]
    unfinished: tuple[TickerDayResult, ...]
    decided: tuple[datetime.date, ...]

    @property
    def is_open(self) -> bool:
        """Whether something of the evening has neither a decision nor another end."""
        return any(
            each.ticker_day.date == self.evening and each.state not in _WITHOUT_DECISION
            for each in self.unfinished
        )

    @property
    def ranked(self) -> tuple[Place, ...]:
        """All that a model decided: BUYs, SELLs, HOLDs."""
        return (*self.buys, *self.sells, *self.holds)

    @property
    def places(self) -> tuple[Place, ...]:
        """All decisions of the evening."""
        return (*self.ranked, *self.undecided)

    @property
    def is_demonstration(self) -> bool:
        """Whether rules stood in for a model anywhere."""
        return any(is_by_rules(each.decision) for each in self.places)


def is_by_rules(decision: Decision) -> bool:
    """Whether the offline model's rules stood in for a language model: a demonstration."""
    return not models_in(decision.model)


def rank(results: Sequence[TickerDayResult], earlier: Sequence[TickerDayResult] = ()) -> Ranking:
    """The ranking of the latest evening of the results, of which there is at least one.

    `earlier` are results of other portfolios: of what was decided before, the newest counts.
    """
    evening = max(each.ticker_day.date for each in results)
    past = _newest(each for each in (*earlier, *results) if each.ticker_day.date < evening)
    places = [
        Place(
            each.ticker_day,
            each.decision,
            expectation(each.decision.decision),
            past.get(each.ticker_day.symbol),
        )
        for each in results
        if each.ticker_day.date == evening and each.decision is not None
    ]
    decided = [each for each in places if each.decision.decided_by is DecidedBy.MODEL]
    return Ranking(
        evening,
        max((each.date for each in past.values()), default=None),
        _ranked(decided, Action.BUY),
        _ranked(decided, Action.SELL),
        _sorted(each for each in decided if each.action is Action.HOLD),
        _sorted(each for each in places if each.decision.decided_by is not DecidedBy.MODEL),
        tuple(
            sorted(
                (each for each in results if each.decision is None),
                key=lambda each: (-each.ticker_day.date.toordinal(), each.ticker_day.symbol),
            )
        ),
        tuple(each.ticker_day.date for each in results if each.decision is not None),
    )


def _newest(results: Iterable[TickerDayResult]) -> dict[str, Before]:
    """The newest decision on each symbol."""
    newest: dict[str, Before] = {}
    for each in sorted(results, key=lambda each: each.ticker_day.date):
        if (decision := each.decision) is not None:
            newest[each.ticker_day.symbol] = Before(
                each.ticker_day.date,
                decision.decision.action,
                decision.decision.confidence,
                decision.decided_by is DecidedBy.MODEL,
            )
    return newest


def _ranked(places: Iterable[Place], action: Action) -> tuple[Place, ...]:
    """The decisions for an action, the highest expected gain for its risk first.

    Of equals the one with the shorter horizon comes first: it frees its money earlier.
    """
    order = sorted((each for each in places if each.action is action), key=_order)
    return tuple(replace(each, rank=number) for number, each in enumerate(order, 1))


def _order(place: Place) -> tuple[float, int, str]:
    promise = place.expectation
    return (
        0.0 if promise is None else -promise.per_risk,
        place.decision.decision.horizon_days or 0,
        place.ticker_day.symbol,
    )


def _sorted(places: Iterable[Place]) -> tuple[Place, ...]:
    return tuple(sorted(places, key=lambda each: each.ticker_day.symbol))

"""The ranking of an evening: what comes first, what has no rank, and what changed."""

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.service.portfolio.samples import EVENING, decided, failed
from trading_graph.graph.backend_choice import BackendChoice, ModelService, models_in
from trading_graph.graph.decisions import Action, DecidedBy
from trading_graph.service.portfolio.results.ranking import expectation, is_by_rules, rank
from trading_graph.service.portfolio.ticker_day import TickerDayResult, TickerDayState

BEFORE = EVENING - datetime.timedelta(1)


def symbols(places: object) -> list[str]:
    return [each.decision.symbol for each in places]  # type: ignore[attr-defined]


def test_the_surest_decision_is_last_where_it_risks_most_for_least() -> None:
    found = rank(
        [
            # 0.9 x 1 - 0.1 x 10 = -0.1 for 10 at risk.
            decided("SURE", "BUY", 0.9, entry=100, stop=90, target=101),
            # 0.5 x 20 - 0.5 x 5 = 7.5 for 5.
            decided("WIDE", "BUY", 0.5, entry=100, stop=95, target=120),
            # 0.6 x 5 - 0.4 x 5 = 1 for 5.
            decided("EVEN", "BUY", 0.6, entry=100, stop=95, target=105),
        ]
    )
    assert symbols(found.buys) == ["WIDE", "EVEN", "SURE"]
    assert [each.rank for each in found.buys] == [1, 2, 3]
    promises = [each.expectation.per_risk for each in found.buys if each.expectation]
    assert promises == pytest.approx([1.5, 0.2, -0.01])


def test_a_sell_is_ranked_apart_by_what_it_avoids() -> None:
    found = rank(
        [
            decided("B", "BUY", 0.9),
            # 0.5 x 10 - 0.5 x 5 for 5, and 0.8 x 10 - 0.2 x 5 for 5.
            decided("LESS", "SELL", 0.5),
            decided("MORE", "SELL", 0.8),
        ]
    )
    assert symbols(found.sells) == ["MORE", "LESS"]
    assert symbols(found.buys) == ["B"]
    promise = found.sells[1].expectation
    assert promise is not None
    assert (promise.reward, promise.risk) == pytest.approx((0.1, 0.05))
    assert promise.gain == pytest.approx(0.025)


def test_a_hold_has_no_rank_and_one_that_nobody_decided_is_apart() -> None:
    found = rank(
        [
            decided("Z", "HOLD"),
            decided("A", "HOLD", entry=None, horizon_days=None),
            decided("RULE", "HOLD", decided_by=DecidedBy.RULE),
            decided("NONE", "HOLD", decided_by=DecidedBy.NOBODY),
        ]
    )
    assert symbols(found.holds) == ["A", "Z"]
    assert symbols(found.undecided) == ["NONE", "RULE"]
    assert symbols(found.ranked) == ["A", "Z"]
    assert {each.rank for each in found.places} == {None}
    assert {each.expectation for each in found.places} == {None}


def test_the_latest_evening_is_ranked_and_the_one_before_compared() -> None:
    found = rank(
        [
            decided("A", "BUY", 0.6, date=BEFORE),
            decided("A", "SELL", 0.7),
            decided("B", "BUY", 0.5, date=BEFORE - datetime.timedelta(1)),
            decided("B", "BUY", 0.6),
            decided("C", "HOLD", date=BEFORE, decided_by=DecidedBy.NOBODY),
            decided("C", "BUY"),
            decided("NEW", "BUY"),
            decided("GONE", "BUY", date=BEFORE),
        ]
    )
    assert (found.evening, found.previous) == (EVENING, BEFORE)
    places = {each.decision.symbol: each for each in found.places}
    assert set(places) == {"A", "B", "C", "NEW"}
    before = places["A"].before
    assert before is not None
    assert (before.date, before.action, before.confidence) == (BEFORE, Action.BUY, 0.6)
    assert places["A"].changed
    assert not places["B"].changed
    assert places["NEW"].before is None
    assert places["C"].before is not None
    assert not places["C"].before.decided


def test_another_portfolio_s_evening_counts_as_the_one_before() -> None:
    found = rank(
        [decided("A", "BUY")],
        [
            decided("A", "HOLD", date=BEFORE),
            decided("A", "SELL", date=BEFORE - datetime.timedelta(3)),
            decided("A", "SELL", date=EVENING + datetime.timedelta(1)),
        ],
    )
    assert found.buys[0].before is not None
    assert found.buys[0].before.action is Action.HOLD
    assert found.evening == EVENING


def test_what_has_no_decision_is_told_with_its_reason() -> None:
    found = rank(
        [
            decided("A", "BUY", date=BEFORE),
            failed("BAD", "There is no price data for BAD: check the symbol."),
            failed("OLD", "It was tried three times.", date=BEFORE, state=TickerDayState.PARKED),
        ]
    )
    assert found.evening == EVENING
    assert found.places == ()
    assert [each.ticker_day.symbol for each in found.unfinished] == ["BAD", "OLD"]


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(0.5, 0.99), st.floats(1.01, 2)), min_size=1, max_size=6
    ),
    st.floats(0.001, 1000),
)
@settings(max_examples=60)
def test_ranks_fall_with_the_promise_and_the_price_s_size_counts_nothing(
    numbers: list[tuple[float, float, float]], scale: float
) -> None:
    def results(entry: float) -> list[TickerDayResult]:
        return [
            decided(f"S{n}", "BUY", sure, entry=entry, stop=entry * low, target=entry * high)
            for n, (sure, low, high) in enumerate(numbers)
        ]

    found = rank(results(100.0))
    promises = [each.expectation.per_risk for each in found.buys if each.expectation]
    assert promises == sorted(promises, reverse=True)
    assert len(promises) == len(numbers)
    scaled = rank(results(100.0 * scale))
    assert [each.expectation.per_risk for each in scaled.buys if each.expectation] == pytest.approx(
        promises, rel=1e-6, abs=1e-6
    )


def test_a_promise_is_that_of_the_decision_s_own_numbers() -> None:
    decision = decided("A", "BUY", 0.25, entry=200, stop=150, target=300).decision
    assert decision is not None
    promise = expectation(decision.decision)
    assert promise is not None
    assert (promise.reward, promise.risk) == (0.5, 0.25)
    assert promise.gain == 0.25 * 0.5 - 0.75 * 0.25
    assert promise.per_risk == promise.gain / 0.25


def test_whether_rules_decided_is_read_from_the_model_s_label() -> None:
    decision = decided("A", "BUY").decision
    assert decision is not None
    offline = BackendChoice().model_label
    real = decision.model_copy(update={"model": "gpt-5-mini and gpt-5"})
    assert is_by_rules(decision.model_copy(update={"model": offline}))
    assert not is_by_rules(real)
    assert models_in(real.model) == ("gpt-5-mini", "gpt-5")
    service = ModelService(None, SecretStr("none"), quick="one", deep="one")
    assert models_in(BackendChoice(model=service).model_label) == ("one",)

"""What decisions would have earned, by hand with the real prices of the embedded data."""

import datetime

import pytest

from tests.service.portfolio.samples import decided, embedded_bars, failed
from trading_graph.graph.decisions import Action, DecidedBy
from trading_graph.service.portfolio.results.backtest import (
    BANDS,
    BackTest,
    Rules,
    back_test,
    band_of,
    symbols_of,
)
from trading_graph.service.portfolio.results.knowledge_cutoffs import Knowledge
from trading_graph.service.portfolio.results.later_prices import Prices
from trading_graph.service.portfolio.results.trades import Exit, NoTrade
from trading_graph.service.portfolio.ticker_day import TickerDayResult

LAST = datetime.date(2025, 11, 14)
FREE = Rules(cost_bps=0)


def back_tested(*results: TickerDayResult, rules: Rules = FREE) -> BackTest:
    names = ("AAPL", "NVDA", "^GSPC")
    prices = Prices(LAST, {name: embedded_bars(name) for name in names}, {"GONE": "It is gone."})
    return back_test(results, prices, rules)


def test_a_buy_its_costs_and_its_benchmark() -> None:
    buy = decided(
        "AAPL", "BUY", 0.7, date="2025-06-02", entry=201.7, stop=190, target=210, horizon_days=10
    )
    (outcome,) = back_tested(buy, rules=Rules(cost_bps=20)).outcomes
    assert outcome.profit == pytest.approx(196.45 * 0.998 / (201.35 * 1.002) - 1)
    # ^GSPC from the open of 2025-06-03 to the close of 2025-06-13.
    bars = embedded_bars("^GSPC")
    days = bars.dates.tolist()
    start, end = (days.index(datetime.date(2025, 6, number)) for number in (3, 13))
    market = float(bars.close[end] / bars.open[start]) - 1
    assert outcome.benchmark_profit == pytest.approx(market)
    assert outcome.excess == pytest.approx(outcome.profit - market)
    assert not outcome.is_hit


def test_a_sell_is_no_short_and_tells_what_was_avoided() -> None:
    # Its levels are never traded: the close of 2025-06-04 is beyond the stop of 202.
    sell = decided(
        "AAPL", "SELL", 0.7, date="2025-06-02", entry=201.7, stop=202, target=150, horizon_days=10
    )
    (outcome,) = back_tested(sell, rules=Rules(cost_bps=100)).outcomes
    assert outcome.trade.kind is Exit.HORIZON
    assert outcome.profit == pytest.approx(-(196.45 / 201.35 - 1))
    assert outcome.is_hit
    assert outcome.benchmark_profit is not None
    assert outcome.excess == pytest.approx(outcome.profit + outcome.benchmark_profit)
    assert back_tested(sell).accounts == ()


def test_a_hold_trades_nothing_and_hits_nothing() -> None:
    found = back_tested(
        decided("AAPL", "HOLD", date="2025-06-02", horizon_days=10),
        decided("NVDA", "HOLD", date="2025-06-02", horizon_days=None),
    )
    (outcome,) = found.outcomes
    assert outcome.profit == pytest.approx(196.45 / 201.35 - 1)
    (group,) = found.groups
    assert (group.action, group.hits, group.hit_rate, group.hit_interval) == (
        Action.HOLD,
        None,
        None,
        None,
    )
    assert found.untested == ()


def test_what_no_model_decided_is_in_no_number() -> None:
    found = back_tested(
        decided("AAPL", "HOLD", date="2025-06-02", decided_by=DecidedBy.NOBODY),
        decided("AAPL", "HOLD", date="2025-06-09", decided_by=DecidedBy.RULE),
        failed("NVDA", "It failed."),
    )
    assert (found.outcomes, found.groups, found.accounts, found.untested) == ((), (), (), ())


def test_what_cannot_be_followed_says_why() -> None:
    found = back_tested(
        decided("AAPL", "BUY", date="2025-11-14"),
        decided("GONE", "BUY", date="2025-06-02"),
        decided("NVDA", "BUY", date="2022-01-03"),
    )
    assert found.outcomes == ()
    assert {each.ticker_day.symbol: each.reason for each in found.untested} == {
        "AAPL": NoTrade.NO_LATER_SESSION,
        "GONE": "It is gone.",
        "NVDA": NoTrade.BEFORE_PRICES,
    }
    # That no session has passed yet hides nothing; the others may have lost everything.
    assert found.lost_from_sight == 2


def test_groups_add_up_and_intervals_count_what_overlaps_once() -> None:
    buys = [
        decided("AAPL", "BUY", sure, date=date, entry=price, horizon_days=20)
        for date, price, sure in (
            ("2025-06-02", 201.7, 0.55),
            ("2025-06-09", 201.45, 0.75),
            ("2025-07-14", 208.62, 0.75),
        )
    ]
    found = back_tested(*buys)
    whole, *parts = [each for each in found.groups if each.action is Action.BUY]
    assert (whole.band, whole.size, whole.independent) == (None, 3, 2)
    assert [(each.band, each.size, each.independent) for each in parts] == [
        ((0.5, 0.6), 1, 1),
        ((0.7, 0.8), 2, 2),
    ]
    assert whole.hits == sum(each.hits or 0 for each in parts)
    profits = [each.profit for each in found.outcomes]
    assert whole.profit == pytest.approx(sum(profits) / 3)
    assert whole.hits == sum(profit > 0 for profit in profits)
    # Two trials, not three.
    assert whole.hit_interval is not None
    assert whole.hit_interval.high - whole.hit_interval.low > 0.6
    # Three dates are too few.
    assert whole.profit_interval is None


def test_an_account_sells_on_a_later_sell_and_the_outcome_stays_that_of_the_buy() -> None:
    buy = decided(
        "AAPL",
        "BUY",
        date="2025-06-02",
        entry=201.7,
        stop=150,
        target=300,
        horizon_days=10,
        position_pct=50,
    )
    sell = decided("AAPL", "SELL", date="2025-06-06", entry=203.92, horizon_days=5)
    found = back_tested(buy, sell)
    assert found.outcomes[0].trade.exit_day == datetime.date(2025, 6, 13)
    (account,) = found.accounts
    # Sold at the open of 2025-06-09.
    assert account.account.days[-1] == datetime.date(2025, 6, 9)
    assert account.account.profit == pytest.approx(0.5 * (204.39 / 201.35 - 1))
    assert account.benchmark == "^GSPC"
    assert account.benchmark_profit is not None
    assert account.benchmark_values is not None
    assert len(account.benchmark_values) == len(account.account.days) == 5


def test_a_cap_holds_in_the_account() -> None:
    buy = decided(
        "AAPL", "BUY", date="2025-06-02", entry=201.7, stop=150, target=300, position_pct=50
    )
    whole, capped = back_tested(buy), back_tested(buy, rules=Rules(cost_bps=0, cap_pct=10))
    assert capped.accounts[0].account.profit == pytest.approx(whole.accounts[0].account.profit / 5)


def test_currencies_are_never_added_up() -> None:
    found = back_tested(
        decided("AAPL", "BUY", date="2025-06-02", entry=201.7),
        decided("NVDA", "BUY", date="2025-06-02", entry=137, currency="EUR", benchmark="^GDAXI"),
    )
    assert [each.currency for each in found.accounts] == ["EUR", "USD"]
    assert found.accounts[0].benchmark == "^GDAXI"
    assert found.accounts[0].benchmark_profit is None
    by_symbol = {each.decision.symbol: each for each in found.outcomes}
    assert by_symbol["NVDA"].excess is None
    whole = found.groups[0]
    assert whole.excess == by_symbol["AAPL"].excess


def test_what_a_model_may_have_known_is_told_apart() -> None:
    found = back_tested(
        decided("AAPL", "BUY", date="2024-06-03", entry=194, model="gpt-5-mini and gpt-5"),
        decided("AAPL", "BUY", date="2025-06-02", entry=201.7, model="gpt-5-mini and gpt-5"),
        decided("AAPL", "BUY", date="2025-07-01", entry=207.8, model="my-own"),
    )
    assert [each.knowledge for each in found.outcomes] == [
        Knowledge.MAY_KNOW,
        Knowledge.AFTER_CUTOFF,
        Knowledge.UNKNOWN,
    ]
    sizes = {each.knowledge: each.size for each in found.groups if each.knowledge}
    assert sizes == dict.fromkeys(sizes, 1)
    assert len(sizes) == 3
    assert not found.is_demonstration
    assert back_tested(decided("AAPL", "BUY", date="2025-06-02", entry=201.7)).is_demonstration


def test_every_confidence_is_in_one_band() -> None:
    assert [band_of(each) for each in (0, 0.49, 0.5, 0.79, 0.8, 1)] == [
        BANDS[0],
        BANDS[0],
        BANDS[1],
        BANDS[3],
        BANDS[4],
        BANDS[4],
    ]


def test_the_symbols_whose_prices_are_needed() -> None:
    assert symbols_of(
        [
            decided("AAPL", "BUY"),
            decided("VOW3.DE", "SELL", benchmark="^GDAXI"),
            decided("EURUSD=X", "HOLD", benchmark=""),
            failed("BAD", "unknown"),
        ]
    ) == {"AAPL", "^GSPC", "VOW3.DE", "^GDAXI", "EURUSD=X"}

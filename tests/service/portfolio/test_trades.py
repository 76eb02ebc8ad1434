"""What became of a decision: by hand with real prices, and against a second reckoning."""

import datetime
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.service.portfolio import plain_trade
from tests.service.portfolio.plain_trade import Day
from tests.service.portfolio.samples import embedded_bars
from trading_graph.service.portfolio.results.trades import (
    Exit,
    NoTrade,
    Trade,
    follow,
    market_return,
    market_values,
)
from trading_graph.toolkit.bars import Bars, make_bars

START = datetime.date(2025, 1, 1)


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def followed(symbol: str, as_of: str, horizon: int, **levels: Any) -> Trade:
    trade = follow(embedded_bars(symbol), day(as_of), horizon, **levels)
    assert isinstance(trade, Trade), trade
    return trade


def bars_of(days: list[Day]) -> Bars:
    return make_bars(
        "X",
        [each.date for each in days],
        [
            [each.open for each in days],
            [each.high for each in days],
            [each.low for each in days],
            [each.close for each in days],
            [1000.0] * len(days),
        ],
        dividends=[(each.date, each.dividend) for each in days if each.dividend],
        splits=[(each.date, each.split) for each in days if each.split != 1],
    )


# By hand. NVDA was split 10 for 1 on 2024-06-10: before, prices were ten times the table's.


def test_a_target_is_reached_across_a_split_and_a_dividend() -> None:
    trade = followed("NVDA", "2024-06-03", 30, stop=1050.0, target=1300.0)
    # Entered at the open of 2024-06-04, 115.716 in the table. The high of 2024-06-14 is 132.84;
    # 0.01 a new share was paid on 2024-06-11.
    assert (trade.entry_day, trade.entry) == (day("2024-06-04"), 1157.16)
    assert (trade.exit_day, trade.exit, trade.kind) == (day("2024-06-14"), 1300.0, Exit.TARGET)
    assert trade.dividends == pytest.approx(0.1)
    assert trade.profit(0) == pytest.approx((1300 + 0.1) / 1157.16 - 1)
    assert trade.profit(10) == pytest.approx((1300 * 0.999 + 0.1) / (1157.16 * 1.001) - 1)


def test_a_gap_through_the_stop_fills_at_the_open() -> None:
    trade = followed("NVDA", "2024-06-20", 30, stop=124.0, target=150.0)
    # 2024-06-21 stays above 124; 2024-06-24 opens at 123.24.
    assert (trade.kind, trade.exit_day, trade.exit) == (
        Exit.STOP_AT_OPEN,
        day("2024-06-24"),
        123.24,
    )


def test_of_a_bar_that_touched_both_the_stop_counts() -> None:
    trade = followed("NVDA", "2024-06-18", 30, stop=130.0, target=140.5)
    # 2024-06-20: open 139.8, high 140.76, low 129.52.
    assert (trade.kind, trade.exit_day, trade.exit) == (Exit.STOP, day("2024-06-20"), 130.0)
    assert trade.profit(0) == pytest.approx(130 / 139.8 - 1)


def test_the_horizon_ends_with_the_close_of_its_last_day() -> None:
    trade = followed("AAPL", "2025-06-02", 10, stop=190.0, target=210.0)
    assert (trade.entry, trade.exit, trade.exit_day) == (201.35, 196.45, day("2025-06-13"))
    assert trade.kind is Exit.HORIZON
    # The closes of 2025-06-06 and 2025-06-13 are the highest and the lowest of these days.
    assert trade.drawdown == pytest.approx(1 - 196.45 / 203.92)


def test_a_horizon_that_ends_on_a_weekend_ends_with_the_next_session() -> None:
    # Entered on 2025-06-03; the 4th of its days after that is Saturday, 2025-06-07.
    assert followed("AAPL", "2025-06-02", 4).exit_day == day("2025-06-09")


def test_a_day_without_session_is_entered_at_the_next_one() -> None:
    assert followed("AAPL", "2025-06-07", 30).entry_day == day("2025-06-09")
    # On the holiday of 2025-06-19 nobody trades.
    assert followed("AAPL", "2025-06-18", 30).entry_day == day("2025-06-20")


def test_what_the_bars_do_not_see_the_end_of_is_valued_at_the_last_close() -> None:
    trade = followed("AAPL", "2025-11-10", 30)
    assert trade.kind is Exit.STILL_OPEN
    assert (trade.exit_day, trade.exit) == (
        embedded_bars("AAPL").session,
        float(embedded_bars("AAPL").close[-1]),
    )


def test_a_later_sell_ends_it_at_the_open_after() -> None:
    trade = followed("AAPL", "2025-06-02", 30, sell_as_of=day("2025-06-06"))
    assert (trade.kind, trade.exit_day, trade.exit) == (Exit.SELL, day("2025-06-09"), 204.39)


def test_decisions_that_no_session_follows() -> None:
    bars = embedded_bars("AAPL")
    assert follow(bars, day("2025-11-14"), 30) is NoTrade.NO_LATER_SESSION
    # Not entered at whatever bar comes first.
    assert follow(bars, day("2022-11-01"), 30) is NoTrade.BEFORE_PRICES


def test_who_buys_on_the_ex_day_gets_no_dividend() -> None:
    days = [
        Day(START + datetime.timedelta(number), 10, 11, 9, 10, dividend=dividend)
        for number, dividend in enumerate((0.0, 0.5, 0.0, 0.25))
    ]
    trade = follow(bars_of(days), START, 2)
    assert isinstance(trade, Trade)
    assert trade.dividends == 0.25
    assert trade.values.tolist() == [10, 10, 10.25]
    assert trade.days == [each.date for each in days[1:]]


@pytest.mark.parametrize(
    ("open_", "kind"), [(90.0, Exit.STOP_AT_OPEN), (120.0, Exit.TARGET_AT_OPEN)]
)
def test_an_entry_beyond_a_level_costs_both_sides(open_: float, kind: Exit) -> None:
    days = [
        Day(START, 100, 101, 99, 100),
        Day(START + datetime.timedelta(1), open_, open_ + 1, open_ - 1, open_),
    ]
    trade = follow(bars_of(days), START, 30, stop=95, target=115)
    assert isinstance(trade, Trade)
    assert trade.kind is kind
    assert trade.profit(0) == 0
    assert trade.profit(10) == pytest.approx(0.999 / 1.001 - 1)


def test_what_is_known_of_the_decision_s_own_day_changes_nothing() -> None:
    days = [Day(START + datetime.timedelta(n), 100, 104, 96, 100) for n in range(6)]
    crash = [Day(days[0].date, 100, 140, 60, 130), *days[1:]]
    assert follow(bars_of(days), START, 3, stop=95, target=105).profit(0) == 0  # type: ignore[union-attr]
    assert follow(bars_of(crash), START, 3, stop=95, target=105).profit(0) == 0  # type: ignore[union-attr]


# Quarters, and splits by powers of two, so that both reckonings are exact.
_quarters = st.integers(300, 500).map(lambda number: number / 4)


_days = st.tuples(
    st.sampled_from((1, 1, 1, 3, 5)),
    st.tuples(_quarters, _quarters, _quarters, _quarters),
    st.booleans(),
    st.sampled_from((0.0, 0.0, 0.5)),
    st.sampled_from((1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 0.5)),
)


def _history(
    drawn: list[tuple[int, tuple[float, float, float, float], bool, float, float]],
) -> list[Day]:
    date, days = START, []
    for gap, prices, rises, dividend, split in drawn:
        date += datetime.timedelta(gap)
        low, *middle, high = sorted(prices)
        open_, close = middle if rises else reversed(middle)
        days.append(Day(date, open_, high, low, close, dividend, split))
    return days


_histories = st.lists(_days, min_size=1, max_size=14).map(_history)


@given(
    _histories,
    st.integers(0, 40),
    st.integers(1, 25),
    st.tuples(_quarters, _quarters),
    st.sampled_from((0.0, 5.0, 50.0)),
)
@settings(max_examples=examples(200))
def test_both_reckonings_agree(
    days: list[Day], after: int, horizon: int, levels: tuple[float, float], cost_bps: float
) -> None:
    as_of = START + datetime.timedelta(after)
    factor = math.prod(each.split for each in days if each.date > as_of)
    stop, target = min(levels) * factor, (max(levels) + 0.25) * factor
    expected = plain_trade.trade(days, as_of, horizon, stop, target, cost_bps)
    found = follow(bars_of(days), as_of, horizon, stop=stop, target=target)
    if isinstance(expected, str):
        assert isinstance(found, NoTrade)
        assert found == expected
        return
    assert isinstance(found, Trade)
    assert (found.entry_day, found.exit_day, found.kind) == (
        expected.entry_day,
        expected.exit_day,
        expected.kind,
    )
    assert found.profit(cost_bps) == pytest.approx(expected.profit, abs=1e-12)


@given(_histories, st.integers(0, 20), st.integers(1, 25))
@settings(max_examples=examples(50))
def test_costs_only_cost_and_drawdowns_are_shares(
    days: list[Day], after: int, horizon: int
) -> None:
    found = follow(bars_of(days), START + datetime.timedelta(after), horizon)
    if isinstance(found, Trade):
        assert found.profit(20) < found.profit(0)
        assert 0 <= found.drawdown < 1
        assert len(found.days) == len(found.values)


def test_the_market_is_bought_at_the_open_and_sold_at_the_close() -> None:
    bars = embedded_bars("AAPL")
    start, end = day("2025-06-03"), day("2025-06-13")
    assert market_return(bars, start, end, to_open=False) == pytest.approx(196.45 / 201.35 - 1)
    assert market_return(bars, start, end, to_open=True) == pytest.approx(199.73 / 201.35 - 1)
    # A holiday there: the close before it.
    holiday = day("2025-06-19")
    assert market_return(bars, start, holiday, to_open=True) == pytest.approx(196.58 / 201.35 - 1)
    assert market_return(bars, day("2020-01-02"), end, to_open=False) is None
    values = market_values(bars, [start, holiday, end])
    assert values is not None
    assert values.tolist() == pytest.approx([203.27 / 201.35, 196.58 / 201.35, 196.45 / 201.35])

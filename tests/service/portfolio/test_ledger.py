"""The decisions as one account: by hand, and what holds for any of them."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.service.portfolio import plain_account
from trading_graph.service.portfolio.results.ledger import Purchase, keep_account
from trading_graph.service.portfolio.results.trades import Exit, Trade

START = datetime.date(2025, 3, 3)


def day(number: int) -> datetime.date:
    return START + datetime.timedelta(number)


def purchase(
    symbol: str,
    first: int,
    entry: float,
    *values: float,
    share: float = 0.5,
    rank: float = 1.0,
    dividends: float = 0.0,
) -> Purchase:
    """A purchase on a day that is worth so much at the end of each session, and then sold."""
    days = [day(first + number) for number in range(len(values))]
    trade = Trade(
        days[0],
        entry,
        days[-1],
        values[-1] - dividends,
        Exit.HORIZON,
        dividends,
        np.array(days, "datetime64[D]"),
        np.array(values),
    )
    return Purchase(symbol, share, rank, trade)


SESSIONS = [day(number) for number in range(60)]


def test_one_purchase_with_half_of_the_account() -> None:
    account = keep_account([purchase("A", 0, 10.0, 11.0, 12.0, 9.0)], SESSIONS, 0)
    assert account is not None
    assert account.values.tolist() == pytest.approx([1.05, 1.1, 0.95])
    assert account.invested.tolist() == pytest.approx([0.55 / 1.05, 0.6 / 1.1, 0])
    assert account.profit == pytest.approx(-0.05)
    assert account.drawdown == pytest.approx(1 - 0.95 / 1.1)
    assert account.exposure == pytest.approx((0.55 / 1.05 + 0.6 / 1.1) / 3)


def test_the_higher_rank_gets_the_cash_and_what_is_left_over_goes_on() -> None:
    purchases = [
        purchase("LAST", 0, 1.0, 2.0, 2.0, share=0.5, rank=0.1),
        purchase("FIRST", 0, 1.0, 1.0, 1.0, share=0.8, rank=0.9),
        purchase("NONE", 0, 1.0, 5.0, 5.0, share=0.5, rank=0.0),
    ]
    account = keep_account(purchases, SESSIONS, 0)
    assert account is not None
    # 0.8 and then the 0.2 that are left, which double.
    assert account.values.tolist() == pytest.approx([1.2, 1.2])
    assert (account.bought, account.unpaid, account.held) == (2, 1, 0)


def test_a_symbol_that_is_held_is_filled_up_to_its_share() -> None:
    purchases = [
        purchase("A", 0, 1.0, 1.0, 1.0, 1.0, share=0.3),
        purchase("A", 1, 1.0, 1.0, 1.0, share=0.4),
        purchase("A", 2, 1.0, 1.0, share=0.2),
    ]
    account = keep_account(purchases, SESSIONS, 0)
    assert account is not None
    assert account.invested.tolist() == pytest.approx([0.3, 0.4, 0.0])
    assert (account.bought, account.unpaid, account.held) == (2, 0, 1)


def test_what_is_sold_today_buys_tomorrow() -> None:
    both = [
        purchase("A", 0, 1.0, 1.0, share=1.0),
        purchase("B", 0, 1.0, 2.0, 2.0, share=1.0, rank=0),
    ]
    account = keep_account(both, SESSIONS, 0)
    assert account is not None
    assert (account.bought, account.unpaid) == (1, 1)
    later = [both[0], purchase("B", 1, 1.0, 2.0, share=1.0)]
    account = keep_account(later, SESSIONS, 0)
    assert account is not None
    assert account.profit == pytest.approx(1.0)


def test_days_without_a_position_count() -> None:
    purchases = [purchase("A", 0, 1.0, 1.0, 1.0), purchase("A", 8, 1.0, 1.0, 1.0)]
    account = keep_account(purchases, SESSIONS, 0)
    assert account is not None
    assert len(account.days) == 10
    assert account.exposure == pytest.approx(0.5 * 2 / 10)


def test_nothing_bought_is_no_account() -> None:
    assert keep_account([], SESSIONS, 0) is None


_values = st.lists(st.floats(0.5, 2.0), min_size=1, max_size=6)


@given(_values, st.floats(0.5, 2.0), st.floats(0, 50), st.floats(0, 0.2))
@settings(max_examples=examples(60))
def test_an_account_that_puts_all_on_one_purchase_earns_what_that_earns(
    values: list[float], entry: float, cost_bps: float, dividends: float
) -> None:
    only = purchase("A", 0, entry, *values, share=1.0, dividends=dividends)
    account = keep_account([only], SESSIONS, cost_bps)
    assert account is not None
    assert account.profit == pytest.approx(only.trade.profit(cost_bps))


_drawn = st.lists(
    st.tuples(
        st.sampled_from("ABC"),
        st.integers(0, 10),
        _values,
        st.floats(0, 1),
        st.floats(-1, 3),
    ),
    min_size=1,
    max_size=12,
)


@given(_drawn, st.floats(0, 50))
@settings(max_examples=examples(100))
def test_both_ways_to_keep_an_account_agree(
    drawn: list[tuple[str, int, list[float], float, float]], cost_bps: float
) -> None:
    purchases = [
        purchase(symbol, first, 1.25, *values, share=share, rank=rank)
        for symbol, first, values, share, rank in drawn
    ]
    plain = [
        plain_account.Purchase(
            each.symbol,
            each.share,
            each.rank,
            each.trade.entry,
            dict(zip(each.trade.days, each.trade.values.tolist(), strict=True)),
            each.trade.exit * (1 - cost_bps / 10_000),
        )
        for each in purchases
    ]
    account = keep_account(purchases, SESSIONS, cost_bps)
    assert account is not None
    expected = plain_account.account(plain, SESSIONS, cost_bps)
    assert account.values.tolist() == pytest.approx(expected, rel=1e-9)


@given(_drawn, st.floats(0, 50))
@settings(max_examples=examples(60))
def test_no_account_spends_more_than_it_has(
    drawn: list[tuple[str, int, list[float], float, float]], cost_bps: float
) -> None:
    purchases = [
        purchase(symbol, first, 1.0, *values, share=share, rank=rank)
        for symbol, first, values, share, rank in drawn
    ]
    account = keep_account(purchases, SESSIONS, cost_bps)
    assert account is not None
    assert account.purchases == len(purchases)
    assert (account.values > 0).all()
    assert (account.invested >= 0).all()
    assert (account.invested <= 1 + 1e-9).all()
    assert 0 <= account.drawdown < 1
    # Without gains nothing is earned, whatever is bought when.
    flat = [purchase(each.symbol, 0, 1.0, 1.0, share=each.share) for each in purchases]
    still = keep_account(flat, SESSIONS, cost_bps)
    assert still is not None
    assert still.profit <= 1e-12

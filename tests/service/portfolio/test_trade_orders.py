"""Orders of an evening: one cash for all, the higher rank first, a cap for each position."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.portfolio.samples import EVENING, decided, embedded_bars
from trading_graph.graph.decisions import DecidedBy
from trading_graph.graph.holdings import Cash, Holding, Holdings, SizeLimit
from trading_graph.graph.sizing import OrderAction
from trading_graph.service.portfolio.results.later_prices import Prices
from trading_graph.service.portfolio.results.ranking import rank
from trading_graph.service.portfolio.results.trade_orders import PlacedOrder, plan_orders
from trading_graph.service.portfolio.ticker_day import TickerDayResult

NAMES = ("AAPL", "NVDA", "MSFT", "TSLA", "WMT")
PRICES = Prices(EVENING, {name: embedded_bars(name) for name in NAMES}, {"GONE": "It is gone."})


def close(symbol: str) -> float:
    return float(embedded_bars(symbol).close[-1])


def planned(
    results: list[TickerDayResult], holdings: Holdings, cap_pct: float | None = None
) -> dict[str, PlacedOrder]:
    orders = plan_orders(rank(results), holdings, PRICES, cap_pct)
    return {each.place.decision.symbol: each for each in orders}


def money(amount: float) -> Holdings:
    return Holdings(cash=Cash(amount, "USD"))


def test_the_higher_rank_takes_the_cash_first() -> None:
    results = [
        decided("AAPL", "BUY", 0.5, entry=close("AAPL"), position_pct=70),
        decided("NVDA", "BUY", 0.8, entry=close("NVDA"), position_pct=70),
    ]
    found = planned(results, money(10_000))
    nvda, aapl = found["NVDA"].order, found["AAPL"].order
    assert list(found) == ["NVDA", "AAPL"]
    assert nvda.quantity == 7000 // close("NVDA")
    left = 10_000 - nvda.quantity * close("NVDA")
    assert aapl.cash_before == pytest.approx(left)
    assert aapl.quantity == left // close("AAPL")
    assert SizeLimit.CASH in aapl.limits
    # The value is that of the evening, before anything is bought.
    assert (nvda.portfolio_value, aapl.portfolio_value) == (10_000, 10_000)


def test_no_position_is_larger_than_the_cap() -> None:
    results = [decided("NVDA", "BUY", entry=close("NVDA"), position_pct=40)]
    order = planned(results, money(10_000), cap_pct=10)["NVDA"].order
    assert order.quantity == 1000 // close("NVDA")
    assert SizeLimit.CAP in order.limits


def test_what_is_sold_is_not_spent_and_a_hold_keeps() -> None:
    holdings = Holdings((Holding("TSLA", 10, 300), Holding("WMT", 5, 90)), Cash(0, "USD"))
    found = planned(
        [
            decided("TSLA", "SELL", entry=close("TSLA")),
            decided("WMT", "HOLD", entry=None),
            decided("NVDA", "BUY", entry=close("NVDA"), position_pct=50),
            decided("MSFT", "SELL", entry=close("MSFT")),
        ],
        holdings,
    )
    assert found["TSLA"].order.action is OrderAction.SELL_ALL
    assert found["TSLA"].order.quantity == 10
    assert found["WMT"].order.action is OrderAction.KEEP
    assert found["NVDA"].order.quantity == 0
    # Never a short.
    assert found["MSFT"].order.action is OrderAction.STAY_OUT


def test_what_no_model_decided_and_what_has_no_price_has_no_order() -> None:
    found = planned(
        [
            decided("AAPL", "HOLD", decided_by=DecidedBy.NOBODY),
            decided("GONE", "BUY"),
            decided("NVDA", "BUY", entry=close("NVDA")),
        ],
        Holdings((Holding("GONE", 1, 10),), Cash(1000, "USD")),
    )
    assert list(found) == ["NVDA"]
    # What GONE is worth is not known, so nobody can say what 5 % of the portfolio is.
    assert found["NVDA"].order.quantity is None
    assert SizeLimit.NO_PRICE in found["NVDA"].order.limits


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.floats(0, 1), st.floats(0, 100)), max_size=5),
    st.floats(0, 50_000),
    st.floats(0, 100),
)
@settings(max_examples=50)
def test_all_orders_together_never_cost_more_than_the_cash(
    drawn: list[tuple[str, float, float]], amount: float, cap_pct: float
) -> None:
    results = {
        name: decided(name, "BUY", sure, entry=close(name), position_pct=share)
        for name, sure, share in drawn
    }
    if not results:
        return
    orders = planned(list(results.values()), money(amount), cap_pct).values()
    spent = [(each.order.quantity or 0) * each.order.price for each in orders]
    assert sum(spent) <= amount * (1 + 1e-12)
    assert all(cost <= amount * cap_pct / 100 + 1e-9 for cost in spent)

"""Orders: never more than the cash buys, never more sold than is held, and no size by a guess."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.graph.errors import BadHoldingsError
from trading_graph.graph.holdings import (
    MOST_HOLDINGS,
    Cash,
    Holding,
    Holdings,
    Quote,
    SizeLimit,
    Valuation,
    value_portfolio,
)
from trading_graph.graph.order_text import order_words
from trading_graph.graph.sizing import Account, OrderAction, TradeOrder, buy, keep, sell
from trading_graph.toolkit.symbols import Instrument


def account(
    *,
    held: float = 0,
    paid: float = 100,
    paid_in: str = "",
    cash: float | None = 10_000,
    cash_in: str = "USD",
    price: float = 100,
    currency: str = "USD",
    instrument: Instrument = Instrument.SHARE,
    others: tuple[tuple[Holding, Quote | str], ...] = (),
) -> Account:
    """An account of NVDA, valued as a run values it."""
    own = (Holding("NVDA", held, paid, paid_in),) if held else ()
    holdings = Holdings(
        (*own, *(holding for holding, _ in others)),
        None if cash is None else Cash(cash, cash_in),
    )
    quote = Quote(price, currency, instrument)
    quotes: dict[str, Quote | str] = {"NVDA": quote}
    quotes |= {holding.symbol: each for holding, each in others}
    valuation = value_portfolio(holdings, quotes, currency)
    return Account("NVDA", quote, holdings.of_symbol("NVDA"), holdings.cash, valuation)


def said(order: TradeOrder, of: Account) -> str:
    return order_words(order, of)


def exact(number: float | None) -> Fraction:
    assert number is not None
    return Fraction(repr(number))


prices = st.one_of(
    st.decimals("0.01", "100000", places=2).map(float),
    st.decimals("0.00000001", "0.01", places=8).map(float),
)
amounts = st.decimals("0", "10000000", places=2).map(float)
quantities = st.one_of(st.just(0.0), st.decimals("0.001", "100000", places=3).map(float))
shares = st.decimals("0", "100", places=2).map(float)
caps = st.one_of(st.none(), shares)
instruments = st.sampled_from([Instrument.SHARE, Instrument.FUND, Instrument.CRYPTO])


@given(prices, amounts, quantities, shares, caps, instruments)
def test_a_purchase_costs_no_more_than_the_cash_and_stays_below_share_and_cap(
    price: float,
    cash: float,
    held: float,
    share: float,
    cap: float | None,
    instrument: Instrument,
) -> None:
    of = account(price=price, cash=cash, held=held, instrument=instrument)
    order = buy(of, share, cap)
    cost = exact(order.quantity) * exact(price)
    assert 0 <= cost <= exact(cash)
    assert order.cash_after is not None
    assert order.cash_after >= 0
    assert order.quantity_after == pytest.approx(held + (order.quantity or 0))
    if order.quantity:
        whole = exact(of.valuation.value)
        most = whole * exact(share if cap is None else min(share, cap)) / 100
        assert exact(order.quantity_after) * exact(price) <= most * (1 + Fraction(1, 10**9))
        assert order.action is (OrderAction.BUY_MORE if held else OrderAction.BUY)
    else:
        assert order.action is (OrderAction.KEEP if held else OrderAction.STAY_OUT)
        assert set(order.limits) & {SizeLimit.HELD, SizeLimit.TOO_SMALL}
    assert said(order, of)


@given(prices, amounts, quantities, shares, shares)
def test_a_larger_share_never_buys_less(
    price: float, cash: float, held: float, share: float, other: float
) -> None:
    of = account(price=price, cash=cash, held=held)
    small, large = buy(of, min(share, other)), buy(of, max(share, other))
    assert small.quantity is not None
    assert large.quantity is not None
    assert small.quantity <= large.quantity


@given(prices, quantities, st.one_of(st.none(), shares), st.one_of(st.none(), amounts))
def test_a_sale_sells_what_is_held_at_most_and_never_short(
    price: float, held: float, part: float | None, cash: float | None
) -> None:
    of = account(price=price, cash=cash, held=held)
    order = sell(of, part)
    assert order.quantity is not None
    assert 0 <= order.quantity <= held
    assert order.quantity_after is not None
    assert order.quantity_after >= 0
    if held and part is None:
        assert (order.action, order.quantity_after) == (OrderAction.SELL_ALL, 0)
    if not held:
        assert (order.action, order.value) == (OrderAction.STAY_OUT, 0)
    if cash is None:
        assert order.cash_after is None
    elif order.value is not None:
        assert order.cash_after == pytest.approx(cash + order.value)


def test_a_purchase_fills_the_share_of_the_portfolio_with_whole_shares() -> None:
    of = account(cash=10_000, price=190.17)
    order = buy(of, 4.06)
    assert (order.action, order.quantity, order.limits) == (OrderAction.BUY, 2, ())
    assert (order.value, order.cash_after) == (380.34, 9_619.66)
    assert said(order, of) == (
        "Buy 2 NVDA at the last close of 190.17 USD for 380.34 USD, which leaves 9,619.66 USD in "
        "cash."
    )


def test_what_is_held_counts_and_a_position_that_is_large_enough_stays() -> None:
    of = account(held=10, paid=80, cash=9_000)
    more = buy(of, 25)
    assert (more.action, more.quantity, more.quantity_after) == (OrderAction.BUY_MORE, 15, 25)
    assert "10 are held, and 25 after that" in said(more, of)
    enough = buy(of, 10)
    assert (enough.action, enough.quantity, enough.limits) == (
        OrderAction.KEEP,
        0,
        (SizeLimit.HELD,),
    )
    assert "10.0 % of the portfolio" in said(enough, of)


def test_the_cash_and_the_cap_limit_and_are_named() -> None:
    other = (Holding("AAPL", 100, 10), Quote(200.0, "USD", Instrument.SHARE))
    of = account(cash=1_050, others=(other,))
    order = buy(of, 50)
    assert (order.quantity, order.limits, order.cash_after) == (10, (SizeLimit.CASH,), 50)
    assert "The cash of 1,050.00 USD buys no more." in said(order, of)
    capped = buy(of, 50, 2)
    assert (capped.quantity, capped.limits) == (4, (SizeLimit.CAP,))
    assert "No position may be larger." in said(capped, of)
    little = buy(account(cash=50), 100)
    assert (little.action, little.limits) == (OrderAction.STAY_OUT, (SizeLimit.TOO_SMALL,))


def test_the_cash_is_named_only_where_it_changes_the_quantity() -> None:
    # 7.5 are wanted, and the cash buys 7.4: both are 7.
    other = (Holding("AAPL", 1, 10), Quote(10.0, "USD", Instrument.SHARE))
    assert buy(account(cash=740, others=(other,)), 100).limits == ()
    assert buy(account(cash=690, others=(other,)), 100).limits == (SizeLimit.CASH,)


def test_what_is_too_small_is_said_with_its_amounts() -> None:
    of = account(cash=100, price=272.41)
    assert order_words(buy(of, 7.36), of, 7.36).endswith(
        "7.36 % of 100.00 USD is 7.36 USD, less than one NVDA at 272.41 USD."
    )
    none = account(cash=0)
    assert order_words(buy(none, 5), none, 5).endswith("There is no cash.")
    held = account(held=2, cash=0, others=((Holding("AAPL", 9, 1), Quote(100.0, "USD")),))
    assert "There is no cash." in order_words(buy(held, 100), held, 100)
    enough = account(held=29, cash=7_100)
    assert "They are 29.0 % of the portfolio; the decision wants 7.36 %, so nothing" in order_words(
        buy(enough, 7.36), enough, 7.36
    )
    paid = account(held=1, paid=12_345.6)
    assert "was paid 12,345.60 USD each" in said(keep(paid), paid)


def test_coins_are_bought_in_parts_and_shares_in_whole() -> None:
    coins = buy(account(cash=1_000, price=60_000, instrument=Instrument.CRYPTO), 50)
    assert coins.quantity == 0.008333
    assert buy(account(cash=1_000, price=60_000), 50).quantity == 0


def test_a_gain_or_loss_is_that_of_the_last_close_against_the_price_paid() -> None:
    of = account(held=10, paid=150, price=190.17)
    order = sell(of)
    assert (order.gain, order.value) == (401.7, 1901.7)
    assert order.gain_pct == pytest.approx(26.78)
    assert said(order, of) == (
        "Sell all 10 NVDA at the last close of 190.17 USD for 1,901.70 USD, which leaves "
        "11,901.70 USD in cash. What is held was paid 150.00 USD each: a gain of 401.70 USD "
        "(+26.8 %)."
    )
    lost = account(held=10, paid=200, price=150)
    assert "a loss of 500.00 USD (-25.0 %)" in said(keep(lost), lost)
    part = sell(of, 50)
    assert (part.action, part.quantity, part.quantity_after) == (OrderAction.SELL_PART, 5, 5)
    assert sell(account(held=1), 40).limits == (SizeLimit.TOO_SMALL,)


def test_without_a_holding_nothing_is_sold() -> None:
    of = account()
    assert said(sell(of), of) == said(keep(of), of)
    assert "No NVDA is held, and none is bought or sold." in said(sell(of), of)


@pytest.mark.parametrize(
    ("of", "cause", "says"),
    [
        (account(cash=None), SizeLimit.NO_CASH, "the cash, which nobody named."),
        (account(cash_in="EUR"), SizeLimit.OTHER_CURRENCY, "The cash is in another currency (EUR)"),
        (account(currency="GBp", cash_in=""), SizeLimit.OTHER_CURRENCY, "such as GBp"),
        (account(currency="GBp", cash_in="GBP"), SizeLimit.OTHER_CURRENCY, "(GBP)"),
        (
            account(others=((Holding("VOW3.DE", 1, 90), Quote(100.0, "EUR")),)),
            SizeLimit.OTHER_CURRENCY,
            "The prices of VOW3.DE are in another currency (EUR) than the quote (USD)",
        ),
        (
            account(others=((Holding("ZZZZ", 1, 90), "No source knows ZZZZ."),)),
            SizeLimit.NO_PRICE,
            "What ZZZZ is worth is not known: No source knows ZZZZ.",
        ),
        (
            account(instrument=Instrument.INDEX),
            SizeLimit.NOT_TRADED,
            "NVDA is an index",
        ),
        (account(instrument=Instrument.FUTURE), SizeLimit.CONTRACT, "NVDA is a contract (future)"),
        (
            account(held=2, instrument=Instrument.OPTION),
            SizeLimit.CONTRACT,
            "NVDA is a contract (option)",
        ),
    ],
)
def test_where_nobody_can_say_the_size_it_is_absent_and_says_why(
    of: Account, cause: SizeLimit, says: str
) -> None:
    order = buy(of, 10)
    assert (order.quantity, order.value, order.cash_after) == (None, None, None)
    assert order.limits == (cause,)
    words = said(order, of)
    unsaid = "How many depends on" if cause is SizeLimit.NO_CASH else "how many cannot be said"
    assert unsaid in words
    assert says in words
    assert words.count("contract") <= 1


def test_a_price_paid_in_another_currency_has_no_gain() -> None:
    of = account(held=10, paid=150, paid_in="EUR")
    order = sell(of)
    assert (order.gain, order.gain_pct) == (None, None)
    assert order.value == 1000
    assert "was paid 150.00 EUR each and is quoted in USD: no gain or loss is said." in said(
        order, of
    )
    # Of a quote in pence it is not known whether 5.2 are pounds.
    pence = account(held=10, paid=5.2, price=520, currency="GBp", cash=None)
    assert sell(pence).gain is None
    stated = account(held=10, paid=500, paid_in="GBp", price=520, currency="GBp", cash=None)
    assert sell(stated).gain == 200


def test_a_contracts_gain_is_known_in_per_cent_only() -> None:
    of = account(held=2, paid=100, price=110, instrument=Instrument.FUTURE)
    order = sell(of)
    assert (order.quantity, order.value, order.gain, order.cash_after) == (2, None, None, None)
    assert order.gain_pct == pytest.approx(10)


@pytest.mark.parametrize(
    ("positions", "cash", "says"),
    [
        ([Holding("NVDA", -1, 100)], None, "quantity of the holding of NVDA is -1"),
        ([Holding("NVDA", 0, 100)], None, "quantity of the holding of NVDA is 0"),
        ([Holding("NVDA", 1, 0)], None, "price of the holding of NVDA is 0"),
        ([Holding("NVDA", float("nan"), 1)], None, "is nan"),
        ([Holding("NVDA", 1, float("inf"))], None, "is inf"),
        (
            [Holding("NVDA", 1e18, 1)],
            None,
            "is 1e\\+18; give one that is 1,000,000,000,000 at most",
        ),
        ([Holding("NVDA", 1, 1, "XXX")], None, "'XXX', of the holding of NVDA, is no currency"),
        ([], Cash(1e13), "The cash is 1e\\+13"),
        ([Holding("nvda", 1, 1), Holding("NVDA", 2, 2)], None, "NVDA is given twice"),
        ([Holding("../etc", 1, 1)], None, "not a ticker symbol"),
        ([Holding("NVDA", 1, 1, "dollars")], None, "is no currency"),
        ([], Cash(-5), "cash is -5"),
        ([], Cash(5, "usd"), "is no currency"),
        ([Holding(f"A{n}", 1, 1) for n in range(MOST_HOLDINGS + 1)], None, "201 holdings"),
    ],
)
def test_holdings_that_cannot_be_are_one_sentence(
    positions: list[Holding], cash: Cash | None, says: str
) -> None:
    with pytest.raises(BadHoldingsError, match=says) as raised:
        Holdings.of(positions, cash)
    assert str(raised.value).endswith(".")


def test_what_is_told_and_what_is_not() -> None:
    assert not Holdings().is_stated
    assert Holdings.of([], Cash(0)).is_stated
    assert Holdings.of([Holding("nvda", 1, 1)]).of_symbol("NVDA") == Holding("NVDA", 1, 1)
    assert value_portfolio(Holdings.of([], Cash(5, "USD")), {}, "USD") == Valuation(5.0)

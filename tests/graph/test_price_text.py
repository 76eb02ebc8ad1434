"""Prices of any size: read, checked, decided and shown with their digits and their currency."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.graph.deciders import price_objection
from trading_graph.graph.decision_values import read_price
from trading_graph.graph.decisions import Action, TradeProposal
from trading_graph.graph.offline_model.conversation import PromptLevels
from trading_graph.graph.offline_model.deciders import trade_levels
from trading_graph.graph.price_text import money_text, price_text
from trading_graph.toolkit.market_data import PriceLevels

TINY = PriceLevels(datetime.date(2025, 11, 14), 8.17e-06, 7.9e-06, 9.4e-06, 3.1e-07, "USD")


def proposal(entry: float, stop: float, target: float) -> TradeProposal:
    return TradeProposal(
        action=Action.BUY,
        confidence=0.5,
        horizon_days=30,
        entry=entry,
        stop=stop,
        target=target,
        position_pct=2,
        rationale="Up.",
        evidence=[],
    )


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (272.41, "272.41"),
        (8.17e-06, "0.00000817"),
        (750000.5, "750000.50"),
        (100, "100.00"),
        (1.0834, "1.0834"),
        (0.5, "0.5"),
    ],
)
def test_a_price_keeps_its_digits_and_has_no_exponent(price: float, text: str) -> None:
    assert price_text(price) == text


@given(price=st.floats(1e-12, 1e9))
def test_a_price_reads_back_to_five_digits(price: float) -> None:
    assert float(price_text(price)) == pytest.approx(price, rel=5e-5)


def test_a_price_names_its_currency_or_says_that_nobody_does() -> None:
    assert money_text(1234.5, "GBp", thousands=True) == "1,234.50 GBp"
    assert money_text(1234.5, "") == "1234.50 (currency not named)"
    assert proposal(100, 95, 110).terms("EUR") == (
        "BUY at 100.00 EUR, stop 95.00 EUR, target 110.00 EUR, 2 % of the portfolio"
    )


def test_checks_accept_small_prices_near_the_market_and_say_what_is_wrong_with_others() -> None:
    assert price_objection(proposal(8.17e-06, 7.6e-06, 9.1e-06), TINY) is None
    far = price_objection(proposal(8.17e-05, 7.6e-05, 9.1e-05), TINY)
    assert far is not None
    assert "entry 0.0000817 is outside 0.000007505 to 0.00000987" in far
    wide = price_objection(proposal(8.17e-06, 1e-06, 9.1e-06), TINY)
    assert wide is not None
    assert "at most 6 ATR of 0.00000031" in wide


@pytest.mark.parametrize("text", ["8.17e-06", "0.00000817 USD", "$8.17E-6", "8.17e-06 USD"])
def test_a_small_price_is_read_as_models_write_it(text: str) -> None:
    assert read_price(text) == 8.17e-06


@pytest.mark.parametrize("text", ["8e", "8e5", "e-5", "8.17e-0006"])
def test_what_is_no_plain_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="one plain number"):
        read_price(text)


@given(close=st.floats(1e-10, 1e6), share=st.floats(0.001, 0.2))
def test_the_offline_trade_passes_the_checks_at_any_size(close: float, share: float) -> None:
    trade = trade_levels(Action.BUY, PromptLevels(close=close, atr_14=share * close), 0.6)
    levels = PriceLevels(
        datetime.date(2025, 11, 14), close, 0.9 * close, 1.1 * close, share * close
    )
    assert price_objection(proposal(trade.entry, trade.stop, trade.target), levels) is None

"""What the prompts say about a symbol's market, and about what is missing."""

import datetime
import json

import pytest

from trading_graph.graph.languages import parse_language
from trading_graph.graph.options import ANALYSTS, DEBATERS, DECIDERS, RISK_ANALYSTS, Options
from trading_graph.graph.prompts import (
    analyst_messages,
    decision_messages,
    price_levels_block,
    reports_blocks,
    statement_messages,
)
from trading_graph.graph.state import Evidence, Report
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.market_data import PriceLevels


def system_of(agent: str, symbol: str) -> str:
    options = Options(symbol=symbol, as_of=AsOf.parse("2025-11-14"))
    return str(analyst_messages(agent, options)[0].content)


@pytest.mark.parametrize("agent", ["market_analyst", "social_analyst"])
@pytest.mark.parametrize(
    ("symbol", "benchmark"), [("AAPL", "^GSPC"), ("VOW3.DE", "^GDAXI"), ("7203.T", "^N225")]
)
def test_a_symbol_is_measured_by_the_index_of_its_market(
    agent: str, symbol: str, benchmark: str
) -> None:
    text = system_of(agent, symbol)
    assert f"for {benchmark}" in text
    assert ("^GSPC" in text) == (benchmark == "^GSPC")


@pytest.mark.parametrize("agent", ["market_analyst", "social_analyst"])
@pytest.mark.parametrize("symbol", ["BTC-USD", "EURUSD=X", "^GSPC"])
def test_what_no_index_measures_is_compared_with_none(agent: str, symbol: str) -> None:
    text = system_of(agent, symbol)
    assert "^" not in text
    assert "against the market" not in text
    assert "{" not in text


def test_the_levels_carry_their_currency_and_what_was_wrong_with_the_bars() -> None:
    day = datetime.date(2025, 11, 14)
    levels = PriceLevels(day, 8.17e-06, 7e-06, 9e-06, None, "EUR", warnings=["Bars left out."])
    block = (
        price_levels_block(levels).removeprefix("<price_levels>").removesuffix("</price_levels>")
    )
    told = json.loads(block)
    assert (told["close"], told["currency"]) == (8.17e-06, "EUR")
    assert told["warnings"] == ["Bars left out."]


def test_a_report_without_data_is_marked_and_one_that_cannot_have_any_too() -> None:
    blocks = reports_blocks(
        [
            Report("news_analyst", "late", missing=True, evidence=Evidence.NONE),
            Report("social_analyst", "a", evidence=Evidence.NONE),
            Report("fundamentals_analyst", "b", evidence=Evidence.NOT_APPLICABLE),
            Report("market_analyst", "c", evidence=Evidence.PRICES),
        ]
    )
    marks = [block.partition(">")[0].partition('" ')[2] for block in blocks]
    assert marks == ['missing="true"', 'data="none"', 'data="not_applicable"', ""]


def system_messages(language: str | None) -> dict[str, str]:
    """The system message of each agent."""
    asked = parse_language(language) if language else None
    options = Options(symbol="NVDA", as_of=AsOf.parse("2025-11-14"), language=asked)
    messages = {agent: analyst_messages(agent, options) for agent in ANALYSTS}
    for agent in (*DEBATERS, *RISK_ANALYSTS):
        messages[agent] = statement_messages(agent, options, [])
    for agent in DECIDERS:
        messages[agent] = decision_messages(agent, options, [])
    return {agent: str(each[0].content) for agent, each in messages.items()}


def test_every_agent_writes_in_the_language_and_keeps_what_programs_read() -> None:
    plain = system_messages(None)
    for agent, text in system_messages("pt-BR").items():
        assert text.startswith(plain[agent])
        added = text.removeprefix(plain[agent])
        assert "in Portuguese (pt-BR)" in added
        kept = ("BUY, HOLD or SELL",) if agent in DECIDERS else ("[+], [-] and [0]", "Score")
        assert all(each in added for each in (*kept, "decimal point"))


def test_without_a_language_none_is_named() -> None:
    assert not any("Write in" in text for text in system_messages(None).values())

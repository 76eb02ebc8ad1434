"""The rules: what raises a score, what lowers it, and that the page in the docs states them."""

import json
import re
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.answer import first_calls, write_analyst_report
from trading_graph.graph.offline_model.conversation import Conversation, ToolResult

PAGE = Path(__file__).parents[3] / "docs" / "offline-model.md"
EMPTY = Conversation("market_analyst", "AAPL", "2025-11-14", (), (), "")


def score(agent: str, **answers: dict[str, Any]) -> float:
    """The score of an analyst's report on these tool results."""
    results = tuple(ToolResult(tool, "AAPL", data, None) for tool, data in answers.items())
    report = write_analyst_report(replace(EMPTY, agent=agent, results=results))
    return float(report.rsplit("Score: ", 1)[1])


def market_score(close: float = 100.0, **values: float) -> float:
    """The market analyst's score."""
    return score("market_analyst", get_prices={"close": close}, get_indicators={"values": values})


@given(st.floats(50, 70), st.floats(70.01, 100))
def test_an_rsi_above_70_lowers_the_market_score(usual: float, overbought: float) -> None:
    """Momentum counts for the stock until it is overbought."""
    assert market_score(rsi=overbought) < market_score(rsi=usual)


@given(st.floats(30, 49.99), st.floats(0, 29.99))
def test_an_rsi_below_30_raises_the_market_score(usual: float, oversold: float) -> None:
    """Weakness counts against the stock until it is oversold."""
    assert market_score(rsi=oversold) > market_score(rsi=usual)


@pytest.mark.parametrize("name", ["close_50_sma", "close_10_ema", "vwma"])
@given(low=st.floats(1, 99), high=st.floats(101, 1000))
def test_a_close_above_an_average_scores_more_than_one_below(
    name: str, low: float, high: float
) -> None:
    """The trend rules look the right way round."""
    assert market_score(**{name: low}) > 0 > market_score(**{name: high})


def test_a_golden_cross_scores_more_than_a_death_cross() -> None:
    """The 50-day average above the 200-day average speaks for the stock."""
    above = market_score(close_50_sma=90, close_200_sma=80)
    assert above > market_score(close_50_sma=90, close_200_sma=95)


def test_a_high_volatility_lowers_the_market_score() -> None:
    """The ATR counts only against the stock, and only from its threshold on."""
    assert market_score(atr=4.1) < market_score(atr=3.9) == 0


def test_strength_against_the_benchmark_counts_by_its_margin() -> None:
    """Only a difference beyond the margin counts, with its sign."""

    def relative(own: float) -> float:
        results = (
            ToolResult("get_prices", "AAPL", {"change_20d_pct": own}, None),
            ToolResult("get_prices", "^GSPC", {"change_20d_pct": 1.0}, None),
        )
        report = write_analyst_report(replace(EMPTY, results=results))
        return float(report.rsplit("Score: ", 1)[1])

    assert [relative(own) for own in (-5, 2.5, 9)] == [-0.15, 0, 0.15]


@pytest.mark.parametrize(
    ("symbol", "benchmark"), [("AAPL", "^GSPC"), ("VOW3.DE", "^GDAXI"), ("BTC-USD", "")]
)
def test_a_symbol_is_measured_by_the_index_of_its_own_market(symbol: str, benchmark: str) -> None:
    """And what has no market is measured by none."""
    tools = ("get_prices", "get_indicators")
    calls = first_calls(replace(EMPTY, symbol=symbol, tools=tools))
    asked = [json.loads(call.arguments)["symbol"] for call in calls]
    assert asked == [symbol, symbol, *([benchmark] if benchmark else [])]


def test_a_report_says_what_the_numbers_are_and_what_was_wrong_with_them() -> None:
    company = {
        "name": "Volkswagen AG",
        "instrument": "share",
        "exchange": "XETRA",
        "country": "Germany",
        "source": "Yahoo chart",
    }
    warning = "Bars with no price (0, or none), left out: 1 (2025-11-14)."
    prices = {"close": 97.1, "currency": "EUR", "company": company, "warnings": [warning]}
    results = tuple(
        ToolResult(tool, "VOW3.DE", prices, None) for tool in ("get_prices", "get_indicators")
    )
    report = write_analyst_report(replace(EMPTY, symbol="VOW3.DE", results=results))
    for text in (
        "Volkswagen AG is of the kind share, XETRA, Germany; source: Yahoo chart",
        "Prices are in EUR",
        f"Warning: VOW3.DE: {warning}",
    ):
        assert report.count(text) == 1, report
    unnamed = {"close": 97.1, "currency": None}
    result = ToolResult("get_prices", "VOW3.DE", unnamed, None)
    silent = write_analyst_report(replace(EMPTY, symbol="VOW3.DE", results=(result,)))
    assert "No data: the source does not name the currency of the prices" in silent


def test_attention_follows_the_price_and_is_capped() -> None:
    """Abnormal volume on rising days scores up, on falling days down, never beyond the maximum."""
    rising: list[list[Any]] = [[f"2025-11-{day:02}", 2.5, 1.0] for day in range(1, 10)]
    falling = [[day, z, -change] for day, z, change in rising]
    assert score("social_analyst", get_attention={"days_above_2": rising[:1]}) == 0.1
    assert score("social_analyst", get_attention={"days_above_2": rising}) == 0.3
    assert score("social_analyst", get_attention={"days_above_2": falling}) == -0.3


def test_an_item_code_counts_once() -> None:
    """Three filings with the same item are one finding with points."""
    event = {"filed": "2025-10-30", "form": "8-K", "items": ["4.02", "9.01"], "meaning": "m"}
    once = score("news_analyst", get_company_events={"events": [event]})
    thrice = score("news_analyst", get_company_events={"events": [event] * 3})
    assert once == thrice == rules.ITEM_POINTS["4.02"]


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("revenue_growth_yoy", 0.25, 0.05),
        ("revenue_growth_yoy", 0.05, -0.01),
        ("operating_margin", 0.3, 0.1),
        ("operating_margin", 0.1, -0.1),
        ("pe_ttm", 12, 25),
        ("pe_ttm", 25, 60),
        ("debt_to_equity", 0.2, 1.0),
        ("debt_to_equity", 1.0, 3.0),
        ("current_ratio", 1.8, 1.2),
        ("current_ratio", 1.2, 0.8),
        ("fcf_ttm", 1e9, -1e9),
    ],
)
def test_a_better_ratio_scores_more(name: str, better: float, worse: float) -> None:
    """Each ratio counts in its direction on both sides of its thresholds."""
    scores = [
        score("fundamentals_analyst", get_ratios={"symbol": "AAPL", name: value})
        for value in (better, worse)
    ]
    assert scores[0] > scores[1]


def _published() -> dict[str, list[float]]:
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    cells = {name: rest.split(" | ") for name, rest in rows}
    assert len(cells) == len(rows), "a name stands twice on the page"
    return {
        name: [float(cell) for cell in (row if name in rules.RISK_LIMITS else row[:1])]
        for name, row in cells.items()
    }


def test_the_page_publishes_exactly_the_numbers_in_the_code() -> None:
    """No rule is missing on the page, none is invented there, and no value differs."""
    in_code: dict[str, list[float]] = {
        name: [float(value)]
        for name, value in vars(rules).items()
        if name.isupper() and isinstance(value, int | float)
    }
    for table in (rules.ITEM_POINTS, rules.ANALYST_WEIGHTS):
        in_code |= {name: [value] for name, value in table.items()}
    in_code |= {
        name: [float(value) for value in astuple(limits)]
        for name, limits in rules.RISK_LIMITS.items()
    }
    assert _published() == in_code


def test_the_weights_of_the_analysts_add_up_to_one() -> None:
    """The score of a full set of reports is a mean."""
    assert sum(rules.ANALYST_WEIGHTS.values()) == pytest.approx(1)

"""Reports: every figure stands in the tool results, and what is missing is said."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.answer import first_calls, write_analyst_report
from trading_graph.graph.offline_model.conversation import Conversation, Passage, ToolResult
from trading_graph.graph.offline_model.report import quote, read_report
from trading_graph.graph.options import ANALYSTS

TOOLS = (
    "get_prices",
    "get_indicators",
    "get_attention",
    "get_company_events",
    "get_income_statement",
    "get_balance_sheet",
    "get_cash_flow",
    "get_ratios",
)
# Figures of the rules themselves, and the window lengths in the names of averages and changes.
THRESHOLDS = {float(v) for v in vars(rules).values() if isinstance(v, float)} | {10, 20, 50, 200}

INDICATORS = (
    *("close_50_sma", "close_200_sma", "close_10_ema", "macdh", "rsi"),
    *("boll_ub", "boll_lb", "atr", "vwma", "mfi"),
)
RATIOS = (
    *("pe_ttm", "operating_margin", "revenue_growth_yoy"),
    *("debt_to_equity", "current_ratio", "fcf_ttm"),
)

figures = st.one_of(
    st.floats(-1e13, 1e13, allow_nan=False).map(lambda x: round(x, 2)),
    st.floats(-3, 300, allow_nan=False).map(lambda x: round(x, 4)),
    st.none(),
)
days = st.dates().map(str)
periods = st.fixed_dictionaries(
    {"period_end": days, "net_income": figures, "equity": figures, "operating_cash_flow": figures}
)
answers = st.fixed_dictionaries(
    {
        "session": days,
        "close": figures,
        "change_20d_pct": figures,
        "values": st.fixed_dictionaries(dict.fromkeys(INDICATORS, figures)),
        "previous": st.fixed_dictionaries({"macdh": figures}),
        "z_latest": figures,
        "days_above_2": st.lists(st.tuples(days, figures, figures).map(list), max_size=4),
        "turnover_ratio_5_60": figures,
        "events": st.lists(
            st.fixed_dictionaries(
                {
                    "filed": days,
                    "form": st.sampled_from(["8-K", "10-Q", "10-K"]),
                    "items": st.lists(st.sampled_from(["1.01", "2.02", "5.02", "9.01"])),
                    "meaning": st.sampled_from(["", "results", "officers changed"]),
                }
            ),
            max_size=4,
        ),
        "latest": periods,
        "year_before": periods,
        **dict.fromkeys(RATIOS, figures),
    }
)


def conversation(agent: str, *results: ToolResult) -> Conversation:
    """A conversation in which these tools have answered."""
    return Conversation(agent, "AAPL", "2025-11-14", TOOLS, results, "")


def numbers(text: str) -> list[tuple[float, int]]:
    """Every number in the text outside names, with its count of decimals."""
    words = re.findall(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?![\w]|\.\d)", text)
    return [(float(word), len(word.partition(".")[2])) for word in words]


def values_in(data: object) -> list[float]:
    """Every number in the data, also inside its texts."""
    if isinstance(data, dict):
        return [value for item in data.values() for value in values_in(item)]
    if isinstance(data, list):
        return [value for item in data for value in values_in(item)]
    if isinstance(data, str):
        return [value for value, _ in numbers(data)]
    return [float(data)] if isinstance(data, int | float) else []


def invented(report: str, values: list[float]) -> list[float]:
    """The figures in the report's bullets that round to no known value."""
    scales = (1, 100, 1e-6, 1e-9)  # as it is, in per cent, in millions, in billions
    bullets = "\n".join(line[6:] for line in report.splitlines() if line.startswith("- ["))
    return [
        figure
        for figure, decimals in numbers(bullets)
        if not any(
            abs(figure - value * scale) <= 0.50001 * 10**-decimals + 1e-12 * abs(figure)
            for value in values
            for scale in scales
        )
    ]


@pytest.mark.parametrize("agent", ANALYSTS)
@given(own=answers, market=answers)
def test_a_report_invents_no_figure(
    agent: str, own: dict[str, Any], market: dict[str, Any]
) -> None:
    """Every figure of a report stands in the tool results or is a threshold of the rules."""
    results = [ToolResult(tool, "AAPL", own, None) for tool in TOOLS]
    results += [ToolResult(tool, "^GSPC", market, None) for tool in ("get_prices", "get_attention")]
    report = write_analyst_report(conversation(agent, *results))
    values = [*values_in(own), *values_in(market), *THRESHOLDS, *(100 * t for t in THRESHOLDS)]
    assert invented(report, values) == []
    assert -1 <= float(report.rsplit("Score: ", 1)[1]) <= 1


def test_the_check_of_figures_would_find_an_invented_one() -> None:
    """The test above can fail."""
    assert invented("- [+] The RSI is 61.53 (get_indicators)", [61.52]) == [61.53]


@pytest.mark.parametrize("agent", ANALYSTS)
def test_a_report_has_the_agreed_form(
    agent: str, tool_answer: Callable[[str, dict[str, Any]], str]
) -> None:
    """Heading first, bullets with mark and tool, provenance last but one, score last."""
    talk = conversation(agent)
    calls = [(call.name, json.loads(call.arguments)) for call in first_calls(talk)]
    results = [
        ToolResult(name, arguments["symbol"], json.loads(tool_answer(name, arguments)), None)
        for name, arguments in calls
    ]
    lines = write_analyst_report(replace(talk, results=tuple(results))).splitlines()
    title = agent.removesuffix("_analyst").capitalize()
    assert lines[0] == f"## {title} report: AAPL as of 2025-11-14"
    bullets = lines[2:-3]
    assert len(bullets) >= 4
    assert all(re.fullmatch(r"- \[[+0-]\] .+ \(get_\w+\)", bullet) for bullet in bullets)
    assert lines[-2] == "Written by the offline model's rules from embedded data."
    assert re.fullmatch(r"Score: [+-][01]\.\d\d", lines[-1])


def test_what_the_tools_could_not_say_is_said() -> None:
    """A tool without data, a tool in error and a value that is not there yet each get a bullet."""
    report = write_analyst_report(
        conversation(
            "market_analyst",
            ToolResult("get_prices", "AAPL", {}, "no bars before 2022-11-15."),
            ToolResult("get_indicators", "AAPL", {"values": {"rsi": 61.2, "atr": None}}, None),
        )
    )
    assert "- [0] No data: AAPL: no bars before 2022-11-15. (get_prices)" in report
    missing = next(line for line in report.splitlines() if "no value of" in line)
    assert "atr" in missing
    assert "rsi" not in missing


def test_nothing_at_all_gives_a_score_of_zero() -> None:
    """Without tools and results there is nothing to report on, and the report says so."""
    report = write_analyst_report(conversation("news_analyst"))
    assert "- [0] No data: no tool has answered" in report
    assert report.endswith("Score: +0.00")


def test_live_data_are_not_called_embedded() -> None:
    """The provenance line follows the data mode of the tool results."""
    live = ToolResult("get_prices", "AAPL", {"close": 10.0, "data_mode": "live"}, None)
    report = write_analyst_report(conversation("market_analyst", live))
    assert "Written by the offline model's rules from live data." in report


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_rubbish_from_a_tool_is_survived(rubbish: object) -> None:
    """Whatever JSON stands in a field, each analyst still writes a report."""
    fields = ("values", "previous", "days_above_2", "events", "latest", "close", "limit", "pe_ttm")
    data = dict.fromkeys(fields, rubbish)
    for agent in ANALYSTS:
        results = [ToolResult(tool, "AAPL", data, None) for tool in TOOLS]
        assert "Score: " in write_analyst_report(conversation(agent, *results))


def test_a_report_is_read_back_as_it_was_written() -> None:
    """The later agents see the findings and the score that the analyst wrote."""
    values = {"rsi": 75.0, "macdh": 0.5}
    talk = conversation(
        "market_analyst", ToolResult("get_indicators", "AAPL", {"values": values}, None)
    )
    read = read_report(Passage({"agent": "market_analyst"}, write_analyst_report(talk)))
    assert read.good == ("The MACD histogram of 0.50 is above zero (get_indicators)",)
    assert read.bad == ("The RSI of 75.00 is above 70: overbought (get_indicators)",)
    assert read.score == -0.1
    assert read.missing is None


@pytest.mark.parametrize("text", ["", "All is well.", "Score: high", "Score: nan", "Score: 7"])
def test_a_report_without_a_score_counts_as_missing(text: str) -> None:
    """A report in another form is named, never taken for a neutral one."""
    read = read_report(Passage({"agent": "market_analyst"}, text))
    assert read.missing == "The report of market_analyst ends without a score."


def test_a_report_without_any_data_is_not_a_neutral_one() -> None:
    """Its score of zero would pull the mean to zero; it counts as one that is not there."""
    talk = conversation("news_analyst", ToolResult("get_company_events", "AAPL", {}, "none."))
    read = read_report(Passage({"agent": "news_analyst"}, write_analyst_report(talk)))
    assert read.missing == "The report of news_analyst had no data to weigh."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (272.4, "272.40"),
        (0, "0.00"),
        (-0.06, "-0.06"),
        (0.909, "0.909"),
        (0.00001234, "0.00001234"),
        (47431331, "47.43 million"),
        (-98767000000, "-98.77 billion"),
    ],
)
def test_figures_are_written_for_people(value: float, text: str) -> None:
    """Two decimals as a rule, significant digits below one, no long numbers."""
    assert quote(value) == text

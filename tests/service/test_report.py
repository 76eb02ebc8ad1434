"""The report of a run: one page that says it all first, sound Markdown, and the sources."""

import datetime
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.service.test_price_chart import history
from trading_graph.graph.analysis import Analysis
from trading_graph.graph.decisions import Decision
from trading_graph.graph.state import Report, Statement
from trading_graph.service.run.report import below, cell, chart, line, report, table
from trading_graph.toolkit.source_use import DataKind, SourceUse

TRADE: dict[str, Any] = {
    "action": "BUY",
    "confidence": 0.66,
    "horizon_days": 30,
    "entry": 190.17,
    "stop": 174.72,
    "target": 220.91,
    "position_pct": 4.06,
    "rationale": "It rises.\n\n# And more\n<img src=x> ![x](http://x.example/y.png)",
    "evidence": ["close 190.17 (get_prices)"],
}
PLAN: dict[str, Any] = {
    "action": "BUY",
    "confidence": 0.7,
    "summary": "The bull won.",
    "bull_points": ["It grows | fast."],
    "bear_points": ["It is dear."],
    "evidence": [],
}
DECISION: dict[str, Any] = {
    "run_id": "01a2109a63017b70a45784743abb6296",
    "trace_id": None,
    "symbol": "NVDA",
    "name": "NVIDIA Corporation",
    "instrument": "share",
    "benchmark": "^GSPC",
    "as_of": "2025-11-14",
    "session": "2025-11-14",
    "currency": "USD",
    "decision": TRADE | {"risks": ["Earnings are near."]},
    "plan": PLAN,
    "proposal": TRADE,
    "degraded": False,
    "missing_reports": [],
    "confidence_basis": {"stated": 0.66, "reports_with_data": 4, "reports_expected": 4},
    "warnings": [],
    "model": "m",
    "data": "embedded",
    "simulated_latency": True,
}
HOLD = {"action": "HOLD", "rationale": "Nothing is clear.", "evidence": [], "confidence": 0.1}
NO_LEVELS = dict.fromkeys(("horizon_days", "entry", "stop", "target", "position_pct"))


def analysis(**changes: Any) -> Analysis:
    """A BUY with all its reports, but for the changes to its decision document."""
    return Analysis(
        decision=Decision.model_validate(DECISION | changes),
        reports=[Report("market_analyst", "# NVDA\n\n- [+] Up <b>now</b>\n\nScore: 0.4")],
        statements=[Statement("bull_researcher", 1, "For.")],
        opinions=[Statement("neutral_risk_analyst", 1, "Fine.")],
        usage=[],
        seconds=5.9,
        history=history([180.0, 190.17]),
    )


def hold(**changes: Any) -> Analysis:
    trade = NO_LEVELS | HOLD
    return analysis(decision=trade | {"risks": []}, proposal=trade, **changes)


def hold_with_size() -> Analysis:
    return analysis(decision=TRADE | {"action": "HOLD", "risks": []})


def tokens(text: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)


def outline(text: str) -> list[tuple[int, str]]:
    found = tokens(text)
    return [
        (int(token.tag[1:]), found[i + 1].content)
        for i, token in enumerate(found)
        if token.type == "heading_open"
    ]


def plain(text: str) -> str:
    """The text without what aligns the columns of its tables."""
    return re.sub(r" +(?=\|)", " ", text)


def first_page(text: str) -> str:
    """What stands before the first part of its own."""
    return plain(re.split(r"^## ", text, flags=re.MULTILINE)[0])


def test_the_first_page_says_what_to_do_how_sure_and_why() -> None:
    page = first_page(report(analysis()))
    for said in (
        "# NVDA as of 2025-11-14: BUY",
        "NVIDIA Corporation",
        "| Instrument | share |",
        "**BUY at 190.17 USD, stop 174.72 USD, target 220.91 USD, 4.06 % of the portfolio.**",
        "Horizon: 30 days",
        "Confidence: 0.66 of 1; 4 of 4 reports stand on data",
        "| Target | 220.91 USD | +16.2 % |",
        "| Stop | 174.72 USD | -8.1 % |",
        "2.0 times the loss",
        "](chart.svg)",
        "It rises.",
        "- Earnings are near.",
        "- It is dear.",
        "**What is missing:** nothing that was looked for.",
        "| As of | 2025-11-14, session of 2025-11-14 |",
        "| Last close | 190.17 USD |",
        "| Benchmark | ^GSPC |",
        "| Model | m |",
        "**What this is not:** investment advice.",
    ):
        assert said in page, said
    assert "It grows" not in page, "what speaks for it does not stand among what speaks against it"


def test_the_outline_is_the_reports_own_whatever_models_write() -> None:
    assert outline(report(analysis())) == [
        (1, "NVDA as of 2025-11-14: BUY"),
        (2, "Evidence"),
        (2, "Analysts"),
        (3, "Market analyst"),
        (4, "NVDA"),
        (2, "Debate"),
        (3, "Bull researcher, round 1"),
        (2, "Research plan"),
        (2, "Trade proposal"),
        (2, "Risk team"),
        (3, "Neutral risk analyst, round 1"),
        (2, "Sources"),
    ]


def test_nothing_that_a_model_wrote_is_html_or_an_image() -> None:
    found = tokens(report(analysis()))
    children = [child for token in found for child in token.children or ()]
    assert not [each for each in (*found, *children) if each.type.startswith("html")]
    images = [each.attrs["src"] for each in children if each.type == "image"]
    assert images == ["chart.svg"], "and that is ours"


def test_a_hold_without_levels_has_no_table_of_levels_and_a_chart() -> None:
    page = first_page(report(hold()))
    assert "**HOLD.**" in page
    assert "Level" not in page
    assert "None" not in page
    assert "times the loss" not in page
    assert "](chart.svg)" in page
    assert "Nobody said what is held; a position, if there is one, stays." in page
    assert "% of the portfolio" not in first_page(report(hold_with_size()))
    svg = chart(hold())
    assert svg is not None
    ElementTree.fromstring(svg)


def test_a_hold_names_the_points_of_both_sides_against_it() -> None:
    page = first_page(report(hold()))
    assert "- It grows | fast." in page
    assert "- It is dear." in page
    assert "nobody named anything" not in page
    silent = PLAN | {"bull_points": [], "bear_points": []}
    unweighed = first_page(report(hold(plan=silent)))
    assert "nobody named anything" not in unweighed
    assert "[Debate](#debate)" in unweighed, "the bull spoke, and is not passed over"
    page = first_page(report(replace(hold(plan=silent), statements=[])))
    assert "nobody named anything" in page


def test_a_sale_has_its_levels_and_the_bulls_points_against_it() -> None:
    trade = TRADE | {"action": "SELL", "stop": 201.0, "target": 170.0}
    made = analysis(decision=trade | {"risks": []}, proposal=trade, plan=PLAN | {"action": "SELL"})
    page = first_page(report(made))
    assert "| Stop | 201.00 USD | +5.7 % |" in page
    assert "- It grows | fast." in page
    assert "It is dear." not in page
    assert "times the loss" not in page
    assert "If the price rises to 201.00 USD, the SELL was wrong; it is expected to fall to" in page


def test_a_run_without_prices_has_no_chart_and_says_so() -> None:
    made = replace(hold(session=None, currency="", degraded=True), history=None)
    assert chart(made) is None
    text = report(made)
    assert "No chart: the run has no prices." in text
    assert "chart.svg" not in text
    assert "Last close" not in text
    assert "no prices." in first_page(text)


def test_what_is_missing_is_named_once_and_first() -> None:
    warnings = [f"{name}: it was late" for name in "abcdefghij"]
    made = analysis(
        degraded=True,
        missing_reports=["news_analyst"],
        reports_without_data=["social_analyst"],
        undecided=["trader"],
        warnings=warnings,
        confidence_basis={"stated": 0.88, "reports_with_data": 3, "reports_expected": 4},
    )
    text = report(made)
    page = first_page(text)
    for said in (
        "no report of news analyst",
        "no data in the report of social analyst",
        "no usable answer of trader",
        "3 of 4 reports stand on data, which lowered it from 0.88",
        "2 more under [More warnings](#more-warnings)",
    ):
        assert said in page, said
    assert all(text.count(each) == 1 for each in warnings)
    assert (2, "More warnings") in outline(text)


def test_what_the_sources_lack_stands_on_the_first_page_and_nowhere_else() -> None:
    gap = "news_analyst read no news: no source of this run has any for 2025-11-14."
    text = report(replace(analysis(notes=[gap, "Another note."]), gaps=[gap]))
    page = first_page(text)
    assert f"**What is missing:**\n\n- {gap}\n" in page
    assert "nothing that was looked for" not in page
    assert text.count(gap) == 1
    assert "- Another note." in text


@pytest.mark.parametrize(
    ("decided_by", "said"),
    [("rule", "HOLD, decided by a rule"), ("nobody", "HOLD, decided by no model")],
)
def test_a_decision_that_is_no_models_says_so_in_its_title(decided_by: str, said: str) -> None:
    assert said in report(hold(decided_by=decided_by)).splitlines()[0]


@pytest.mark.parametrize(
    ("currency", "said"), [("EUR", "190.17 EUR"), ("", "190.17 (currency not named)")]
)
def test_the_currency_stands_beside_every_price(currency: str, said: str) -> None:
    page = first_page(report(analysis(currency=currency)))
    assert page.count(said) >= 3
    assert "USD" not in page


def test_the_sources_that_served_are_a_table_at_the_end() -> None:
    use = SourceUse(
        data=DataKind.INCOME,
        subject="NVDA",
        source="SEC | EDGAR",
        newest=datetime.date(2025, 8, 28),
        newest_is="10-Q filed",
        retrieved=datetime.datetime(2025, 11, 15, 9, 30, 59, tzinfo=datetime.UTC),
    )
    text = report(analysis(sources=[use]))
    sources = plain(text.split("## Sources")[1])
    row = (
        "| income statement | NVDA | SEC \\| EDGAR | 10-Q filed 2025-08-28 | 2025-11-15 09:30 UTC |"
    )
    assert row in sources
    assert sources.strip().endswith("Run 01a2109a63017b70a45784743abb6296, 5.9 s.")
    assert "No source served." in report(analysis())


def test_tables_are_tables() -> None:
    """The cells of each row are as many as those of its head."""
    found = tokens(report(analysis()))
    assert sum(token.type == "table_open" for token in found) == 2
    text = report(analysis(name="A | B", model="m | n"))
    assert [token.type for token in tokens(text)].count("td_open") == [
        token.type for token in found
    ].count("td_open")


def test_the_highest_heading_of_a_text_is_of_the_fourth_level() -> None:
    assert outline(below("### A\n\n#### B\n\n### C")) == [(4, "A"), (5, "B"), (4, "C")]
    assert outline(below("# A\n\n#### B")) == [(4, "A"), (6, "B")]


def test_the_columns_of_a_table_are_aligned_as_text() -> None:
    assert table(("A", "Long name"), [("longer", "|"), ("", "b")]) == (
        "| A      | Long name |\n"
        "|--------|-----------|\n"
        "| longer | \\|        |\n"
        "|        | b         |\n"
    )


def test_headings_in_code_stay_and_an_open_fence_swallows_nothing() -> None:
    text = "# One\n\n```python\n# no heading\nif a<b: pass\n```\n\n## Two\n\n~~~\nopen"
    pushed = below(text)
    assert outline(pushed) == [(4, "One"), (5, "Two")]
    assert "\n# no heading\nif a<b: pass\n" in pushed
    assert outline(f"{pushed}\n\n## After") == [(4, "One"), (5, "Two"), (2, "After")]


@pytest.mark.parametrize("text", ["Title\n=====\n\nText", "Title\n---\nText", "   # Indented", "#"])
def test_no_text_makes_a_heading_above_those_of_the_report(text: str) -> None:
    assert all(level >= 4 for level, _ in outline(below(text)))


def test_a_line_is_one_line_and_a_cell_keeps_its_bars() -> None:
    assert line("a\n\n# b\t c") == "a # b c"
    assert cell("a|b <i>") == r"a\|b \<i>"
    assert line("1 < 2 and [x](y)!") == "1 < 2 and [x](y)!"

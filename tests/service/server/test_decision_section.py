"""The section of a run's page that shows its decision: levels, chart, sources, and who decided."""

from typing import Any

import pytest

from tests.service.server.markup import EVIL, Tags, assert_inert
from trading_graph.graph.decisions import Decision
from trading_graph.service.run.source_table import SOURCE_HEAD, source_rows
from trading_graph.service.server.pages.layout import render
from trading_graph.service.server.pages.run_page import levels_of


def decision(**changes: Any) -> Decision:
    """A decision document whose final decision is a HOLD without levels, but for the changes."""
    trade: dict[str, Any] = {
        "action": "HOLD",
        "confidence": 0.2,
        "rationale": EVIL,
        "evidence": [],
        **dict.fromkeys(("entry", "stop", "target", "horizon_days", "position_pct")),
    }
    plan = {
        "action": "HOLD",
        "confidence": 0.2,
        "summary": "s",
        "bull_points": [],
        "bear_points": [],
    }
    document = {
        **{"run_id": "1", "trace_id": None, "symbol": "NVDA", "as_of": "2025-11-14"},
        **{"session": None, "model": "m", "data": "d", "simulated_latency": False},
        **{"degraded": True, "missing_reports": [], "warnings": ["risk_judge: late"]},
        "decision": {**trade, "risks": []},
        "proposal": trade,
        "plan": {**plan, "bull_points": [], "bear_points": [], "evidence": []},
        **changes,
    }
    return Decision.model_validate(document)


def section(made: Decision, chart: str | None = None) -> str:
    """The section of a page that shows a decision."""
    return render(
        "decision.html",
        decision=made,
        levels=levels_of(made),
        chart=chart,
        source_head=SOURCE_HEAD,
        sources=source_rows(made.sources),
    )


@pytest.mark.parametrize(("currency", "shown"), [("EUR", "EUR"), ("", "(currency not named)")])
def test_levels_of_any_size_stand_beside_their_currency(currency: str, shown: str) -> None:
    made = decision(currency=currency)
    prices = {"entry": 1234.5, "stop": 0.00000817, "target": 2000.0}
    made = made.model_copy(update={"decision": made.decision.model_copy(update=prices)})
    levels = levels_of(made)
    assert levels is not None
    assert (
        levels.label
        == f"HOLD: stop 0.00000817 {shown}, entry 1234.50 {shown}, target 2000.00 {shown}"
    )
    text = section(made)
    for price in ("1,234.50", "0.00000817", "2,000.00"):
        assert f">{price} {shown}<" in text


def test_the_chart_says_in_words_what_it_shows() -> None:
    made = decision(currency="USD", session="2025-11-14")
    prices = {"entry": 190.17, "stop": 174.72, "target": 220.91}
    made = made.model_copy(update={"decision": made.decision.model_copy(update=prices)})
    (image,) = [
        each for tag, each in Tags(section(made, "/v1/runs/1/chart.svg")).found if tag == "img"
    ]
    assert image["src"] == "/v1/runs/1/chart.svg"
    assert image["alt"] == (
        "Daily prices of NVDA to 2025-11-14, with HOLD: stop 174.72 USD, entry 190.17 USD, "
        "target 220.91 USD"
    )
    assert "img" not in {tag for tag, _ in Tags(section(made)).found}


def test_the_sources_of_a_decision_are_shown_and_inert() -> None:
    use = {
        **{"data": "prices", "subject": "NVDA", "source": EVIL},
        **{"newest": "2025-11-14", "newest_is": "last bar", "retrieved": None},
    }
    text = section(decision(sources=[use]))
    assert_inert(text)
    assert "last bar 2025-11-14" in text
    assert "Sources" not in section(decision())


def test_a_hold_by_rule_and_the_notes_are_shown() -> None:
    made = decision(decided_by="rule", notes=[f"The macro series are others'. {EVIL}"])
    text = section(made)
    assert_inert(text)
    assert "A rule decided" in text
    assert "The macro series are others" in text


@pytest.mark.parametrize(("decided_by", "says"), [("nobody", True), ("model", False)])
def test_a_hold_without_levels_shows_none_and_who_decided(decided_by: str, says: bool) -> None:
    made = decision(decided_by=decided_by)
    assert levels_of(made) is None
    text = section(made)
    assert_inert(text)
    assert ("No model decided" in text) == says
    assert "None" not in text
    assert "entry" not in text


def test_what_becomes_of_a_holding_is_shown() -> None:
    order = {
        "action": "keep",
        **{"price": 1, "currency": "USD", "quantity_before": 1, "quantity": 0},
        **dict.fromkeys(("quantity_after", "value", "cash_before", "cash_after", "gain")),
        **dict.fromkeys(("gain_pct", "portfolio_value", "price_paid")),
        "price_paid_currency": "",
        "words": f"Keep the 1 NVDA that are held. {EVIL}",
    }
    text = section(decision(order=order))
    assert "Keep the 1 NVDA that are held." in text
    assert_inert(text)

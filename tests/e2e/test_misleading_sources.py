"""Whole runs on sources that mislead: the decision names each fault, and none moves it unseen."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.analysis_runner import CHOICE, Runner
from tests.live_servers import LiveServers, live_servers
from tests.misleading_charts import SESSIONS_BEFORE
from trading_graph.graph.decisions import Action, DecidedBy
from trading_graph.otel.trace import semconv
from trading_graph.service.run.report import report

NAMED = (
    "no price",
    "a negative price",
    "a close or open outside the day's range",
    "a price off by a factor of 100",
    "a day given twice",
)
"""The kinds of fault that those of `SESSIONS_BEFORE` are, in the words of the warnings."""


@pytest.fixture(scope="module")
def servers() -> Iterator[LiveServers]:
    with live_servers() as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(servers: LiveServers) -> None:
    servers.faults.clear()
    servers.misleads.clear()
    servers.asked.clear()


async def test_every_fault_at_once_ends_in_a_decision_that_names_each(
    run_analysis: Runner, servers: LiveServers
) -> None:
    choice = replace(CHOICE, data="live", access=servers.access)
    clean = (await run_analysis(choice=choice, symbol="NVDA")).made.decision
    assert (clean.degraded, clean.warnings) == (False, [])
    assert clean.notes == [
        "social_analyst read no posts: no source of this run has any for 2025-11-14."
    ]
    assert clean.currency == "USD"
    servers.misleads |= {*SESSIONS_BEFORE, "no_currency", "two_currencies"}
    servers.faults |= {"sec_data": "unavailable", "fred": "unavailable"}
    ran = await run_analysis(choice=choice, symbol="NVDA")
    decision = ran.made.decision
    for subject in ("NVDA", "^GSPC"):
        for fault in NAMED:
            assert any(
                each.startswith(f"{subject}: Bars with {fault}") for each in decision.warnings
            )
        lost = f"{subject}: No bar on 1 session of New York"
        assert any(each.startswith(lost) for each in decision.warnings)
    for said in ("get_macro failed: ", "get_company_events failed: ", "Amounts of income in EUR"):
        assert any(said in each for each in decision.warnings), said
    assert any("another source stands in for" in each for each in decision.notes)
    assert len(set(decision.warnings)) == len(decision.warnings)
    assert decision.degraded
    assert decision.currency == ""
    text = await asyncio.to_thread(report, ran.made)
    assert "currency not named" in text
    assert all(each in text for each in (*decision.warnings, *decision.notes))
    # A bar of zeros once put the stop a third below the market.
    final = decision.decision
    assert final.entry is not None
    assert final.stop is not None
    assert final.stop > 0.8 * final.entry


async def test_a_report_without_data_degrades_the_decision_and_lowers_its_confidence(
    run_analysis: Runner,
) -> None:
    """The embedded data set has no statements of MSFT."""
    ran = await run_analysis(symbol="MSFT")
    decision = ran.made.decision
    assert decision.degraded
    assert decision.missing_reports == []
    assert decision.reports_without_data == ["fundamentals_analyst"]
    (warning,) = decision.warnings
    assert warning.startswith("fundamentals_analyst: its report stands on no data of MSFT: ")
    basis = decision.confidence_basis
    assert basis is not None
    assert (basis.reports_with_data, basis.reports_expected) == (3, 4)
    assert decision.decision.confidence == round(0.75 * basis.stated, 2) < basis.stated
    (root,) = ran.trace.roots
    assert list(ran.trace.attributes(root)[semconv.DEGRADED]) == ["fundamentals_analyst"]


async def test_an_instrument_without_statements_by_nature_is_not_degraded_for_that(
    run_analysis: Runner,
) -> None:
    made = (await run_analysis(symbol="^GSPC")).made
    decision = made.decision
    assert (decision.degraded, decision.reports_without_data, decision.warnings) == (False, [], [])
    assert any(each.startswith("fundamentals_analyst has no data") for each in decision.notes)
    basis = decision.confidence_basis
    assert basis is not None
    assert decision.decision.confidence == basis.stated
    assert (decision.instrument, decision.benchmark) == ("index", "")


async def test_a_buy_on_prices_alone_is_a_hold_that_says_why(run_analysis: Runner) -> None:
    made = (await run_analysis(symbol="AAPL", analysts=("market_analyst",))).made
    decision = made.decision
    assert decision.proposal.action is Action.BUY
    assert (decision.decision.action, decision.decided_by) == (Action.HOLD, DecidedBy.RULE)
    assert "needs at least one report that stands on more than prices" in decision.notes[0]
    assert decision.notes[0] in decision.decision.rationale
    text = await asyncio.to_thread(report, made)
    assert "HOLD, decided by a rule" in text.splitlines()[0]
    # With the business known too, the same prices may be bought.
    both = ("market_analyst", "fundamentals_analyst")
    decision = (await run_analysis(symbol="AAPL", analysts=both)).made.decision
    assert (decision.decision.action, decision.decided_by) == (Action.BUY, DecidedBy.MODEL)


async def test_a_listing_elsewhere_is_measured_by_its_own_index(
    run_analysis: Runner, servers: LiveServers
) -> None:
    """The loopback has no such prices: what was asked for is what counts."""
    choice = replace(CHOICE, data="live", access=servers.access)
    await run_analysis(choice=choice, symbol="VOW3.DE", prefetch=True)
    charts = " ".join(servers.paths("/finance/chart/"))
    assert "VOW3.DE" in charts
    assert "GDAXI" in charts
    assert "GSPC" not in charts

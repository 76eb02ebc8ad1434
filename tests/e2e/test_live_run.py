"""Whole runs on live sources: the decision is that of the offline run, and faults degrade it."""

import itertools
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.analysis_runner import CHOICE, Runner
from tests.live_faults import FAULTS, HARMLESS
from tests.live_servers import FRED_KEY, LiveServers, live_servers
from trading_graph.graph.decisions import Action, DecidedBy
from trading_graph.graph.errors import AnalysisError
from trading_graph.otel.trace import ERROR, semconv
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.errors import DataError

OTHERS = ("sec_data", "sec_files", "fred", "google_news", "stocktwits")
SEC = {"fetch sec_companies", "fetch sec_companyfacts", "fetch sec_submissions"}
FETCHES_OF = {
    "sec_data": SEC,
    "sec_files": SEC,
    "fred": {"fetch fred"},
    "google_news": {"fetch google_news"},
    "stocktwits": set[str](),
}


def some_quick(faults: Iterable[str], quick: Container[str]) -> list[Any]:
    """Faults to test with, of which only some are in the quick part."""
    return [
        pytest.param(fault, marks=[] if fault in quick else pytest.mark.full) for fault in faults
    ]


@pytest.fixture(scope="module")
def servers() -> Iterator[LiveServers]:
    with live_servers() as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(servers: LiveServers) -> Iterator[None]:
    servers.faults.clear()
    yield
    servers.faults.clear()


def decided(made: Any) -> Any:
    """The numbers and words of the decision, without which data they stand on."""
    return made.decision.decision, made.decision.plan, made.decision.proposal


async def test_a_live_run_decides_as_the_offline_run_does(
    run_analysis: Runner, servers: LiveServers
) -> None:
    live = await run_analysis(
        choice=replace(CHOICE, data="live", access=servers.access), symbol="NVDA"
    )
    offline = await run_analysis(symbol="NVDA")
    assert decided(live.made) == decided(offline.made)
    assert not live.made.decision.degraded
    fetched = {live.trace.names[row] for row in live.trace.rows("fetch ")}
    assert {
        "fetch yahoo_chart",
        "fetch sec_companyfacts",
        "fetch sec_submissions",
        "fetch fred",
        "fetch google_news",
    } <= fetched
    assert not any(name.startswith("fetch embedded") for name in fetched)
    for row in live.trace.rows("execute_tool "):
        told = live.trace.attributes(row)
        assert told[data_attributes.DATA_MODE] == "live"
        assert told[data_attributes.DATA_AS_OF] <= "2025-11-14"
        assert told[data_attributes.DATA_AGE_S] == 0
        assert FRED_KEY not in repr(told)


async def test_a_live_run_can_fetch_ahead_all_that_its_analysts_ask_for(
    run_analysis: Runner, servers: LiveServers
) -> None:
    choice = replace(CHOICE, data="live", access=servers.access, chat_latency_s=0.5)
    trace = (await run_analysis(choice=choice, symbol="NVDA", prefetch=True)).trace
    tools = trace.rows("execute_tool ")
    assert {trace.attributes(row)[semconv.CACHE] for row in tools} == {"hit"}
    (span,) = trace.rows("prefetch ")
    assert trace.children(span) == trace.rows("fetch ")


@pytest.mark.parametrize("fault", some_quick(FAULTS, ("unavailable", "slow_body")))
async def test_with_any_fault_at_every_other_source_a_run_still_decides(
    run_analysis: Runner, servers: LiveServers, fault: str
) -> None:
    servers.faults.update(dict.fromkeys(OTHERS, fault))
    ran = await run_analysis(
        choice=replace(CHOICE, data="live", access=servers.access),
        symbol="NVDA",
        agent_budget_s=4.0,
    )
    assert ran.made.decision.decision.action in ("BUY", "HOLD", "SELL")


@pytest.mark.parametrize(
    "fault",
    some_quick(
        (f for f in FAULTS if f not in ("latency", "big_headers", "slow_body")),
        ("unauthorized", "truncated"),
    ),
)
async def test_without_prices_a_run_ends_with_one_sentence(
    run_analysis: Runner, servers: LiveServers, fault: str
) -> None:
    servers.faults["yahoo"] = fault
    ran = await run_analysis(
        choice=replace(CHOICE, data="live", access=servers.access), symbol="NVDA"
    )
    assert isinstance(ran.error, AnalysisError | DataError), repr(ran.error)
    assert str(ran.error).endswith(".")
    assert "\n" not in str(ran.error)


@pytest.mark.parametrize("fault", HARMLESS)
async def test_a_fault_that_leaves_the_prices_readable_changes_no_number(
    run_analysis: Runner, servers: LiveServers, fault: str
) -> None:
    servers.faults["yahoo"] = fault
    live = await run_analysis(
        choice=replace(CHOICE, data="live", access=servers.access), symbol="NVDA"
    )
    assert decided(live.made) == decided((await run_analysis(symbol="NVDA")).made)


async def test_prices_that_never_end_end_the_run_as_a_marked_hold(
    run_analysis: Runner, servers: LiveServers
) -> None:
    choice = replace(CHOICE, data="live", access=servers.access)
    free = await run_analysis(choice=choice, symbol="NVDA")
    servers.faults["yahoo"] = "slow_body"
    # Twice what all agents need is enough for each, and never enough for the prices.
    ran = await run_analysis(choice=choice, symbol="NVDA", agent_budget_s=2 * free.made.seconds)
    decision = ran.made.decision
    assert decision.decided_by is DecidedBy.NOBODY
    assert decision.decision.action is Action.HOLD
    assert decision.undecided == ["trader", "risk_judge"]
    assert "time budget" in decision.warnings[-1]
    assert len(ran.made.reports) == 4


# Each fault at one source alone, and each source with two of them: one in the quick part.
ALONE = [
    pytest.param(fault, source, marks=[] if number < len(OTHERS) else pytest.mark.full)
    for number, (fault, source) in enumerate(zip(FAULTS, itertools.cycle(OTHERS), strict=False))
]


@pytest.mark.parametrize(("fault", "source"), ALONE)
async def test_a_fault_at_one_source_leaves_what_the_others_say(
    run_analysis: Runner, servers: LiveServers, fault: str, source: str
) -> None:
    servers.faults[source] = fault
    ran = await run_analysis(
        choice=replace(CHOICE, data="live", access=servers.access),
        symbol="NVDA",
        agent_budget_s=4.0,
    )
    assert ran.made.decision.decision.action in ("BUY", "HOLD", "SELL")
    failed = {
        ran.trace.names[row] for row in ran.trace.rows("fetch ") if ran.trace.status[row] == ERROR
    }
    assert failed <= FETCHES_OF[source]
    if fault in HARMLESS:
        assert not failed


@pytest.mark.parametrize(
    "fault",
    some_quick((f for f in FAULTS if f != "slow_body"), ("latency", "rate_limited", "html")),
)
async def test_with_any_fault_everywhere_embedded_data_stands_in_where_that_is_allowed(
    run_analysis: Runner, servers: LiveServers, fault: str
) -> None:
    servers.faults.update(dict.fromkeys(("yahoo", *OTHERS), fault))
    ran = await run_analysis(
        choice=replace(CHOICE, data="auto", access=servers.access), symbol="NVDA"
    )
    assert decided(ran.made)[0] == decided((await run_analysis(symbol="NVDA")).made)[0]
    modes = {
        ran.trace.attributes(row).get(data_attributes.DATA_MODE)
        for row in ran.trace.rows("execute_tool ")
        if "news" not in ran.trace.names[row]  # the embedded data set has none
    }
    assert modes == ({"live"} if fault in HARMLESS else {"offline"})

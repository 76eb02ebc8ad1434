"""No fault of one source changes a number that does not depend on it, nor a true bar beside it."""

import asyncio
import datetime
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live_servers import LiveServers, live_servers
from tests.misleading_charts import CHART_FAULTS, DAY, SESSIONS_BEFORE
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.errors import DataError
from trading_graph.toolkit.market_data import AsyncToolkit, PriceLevels
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.rate_limits import HostPolicy
from trading_graph.toolkit.tools import TOOLS

ONCE = HostPolicy(attempts=1, breaker_failures=None)
AS_OF = AsOf(DAY)
FAULTS = ("unavailable", "truncated", "html", "reset", "unauthorized")

# What each tool's numbers come from, by the names of the base URLs. Statements need prices only for
# the splits that restate their per-share values and counts.
SEC = frozenset(("sec_data", "sec_files"))
SOURCES: Mapping[str, frozenset[str]] = {
    "get_prices": frozenset(("yahoo",)),
    "get_indicators": frozenset(("yahoo",)),
    "get_attention": frozenset(("yahoo",)),
    "get_company_events": SEC,
    "get_insiders": SEC,
    "get_macro": frozenset(("fred",)),
    "get_news": frozenset(("google_news",)),
    "get_income_statement": SEC,
    "get_balance_sheet": SEC,
    "get_cash_flow": SEC,
    "get_ratios": SEC,
}
OF_PRICES = {"market_cap", "pe_ttm", "ps_ttm", "pb", "fcf_yield"}
OF_SPLITS = {"eps_diluted", "diluted_shares", "shares_outstanding", "unit"}
ABOUT_PRICES = {"currency", "basis", "reasons", "missing", "session", "note", "warnings", "source"}

broken = st.dictionaries(
    st.sampled_from(["yahoo", "sec_data", "sec_files", "fred", "google_news"]),
    st.sampled_from(FAULTS),
    max_size=4,
)
misleading = st.sets(st.sampled_from(sorted(CHART_FAULTS)), max_size=4)


@pytest.fixture(scope="module")
def servers() -> Iterator[LiveServers]:
    with live_servers() as running:
        yield running


async def _answers(servers: LiveServers) -> dict[str, Any]:
    """All tools' answers about one symbol, or the name of the error."""
    async with HttpPool(default_policy=ONCE) as pool:
        toolkit = AsyncToolkit(pool, SingleFlightCache(), mode="live", access=servers.access)

        async def ask(name: str) -> Any:
            arguments = {} if name == "get_macro" else {"symbol": "NVDA"}
            try:
                return await TOOLS[name].run(toolkit, AS_OF, TOOLS[name].arguments(**arguments))
            except DataError as error:
                return type(error).__name__

        return dict(zip(SOURCES, await asyncio.gather(*map(ask, SOURCES)), strict=True))


def answers(
    servers: LiveServers,
    faults: Mapping[str, str] = {},
    misleads: set[str] = frozenset(),  # type: ignore[assignment]
) -> dict[str, Any]:
    servers.faults, servers.misleads = dict(faults), set(misleads)
    try:
        return json.loads(json.dumps(asyncio.run(_answers(servers))))  # type: ignore[no-any-return]
    finally:
        servers.faults, servers.misleads = {}, set()


@pytest.fixture(scope="module")
def truth(servers: LiveServers) -> dict[str, Any]:
    return answers(servers)


def without(answer: Any, names: set[str]) -> Any:
    """An answer without some fields, however deep they stand."""
    if isinstance(answer, dict):
        return {k: without(v, names) for k, v in answer.items() if k not in names}
    return [without(each, names) for each in answer] if isinstance(answer, list) else answer


@settings(
    max_examples=25,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(faults=broken, misleads=misleading)
def test_a_number_changes_only_by_a_fault_of_its_own_source(
    servers: LiveServers, truth: dict[str, Any], faults: dict[str, str], misleads: set[str]
) -> None:
    spoilt = answers(servers, faults, misleads)
    wrong = set(faults) | ({"yahoo"} if misleads else set())
    for name, sources in SOURCES.items():
        if sources & wrong:
            continue
        lost = {"age_s"} | (OF_PRICES | OF_SPLITS | ABOUT_PRICES if "yahoo" in wrong else set())
        assert without(spoilt[name], lost) == without(truth[name], lost), name


@settings(max_examples=25, database=None)
@given(misleads=misleading)
def test_a_wrong_bar_leaves_every_other_bar_as_it_was(
    servers: LiveServers, truth: dict[str, Any], misleads: set[str]
) -> None:
    true = {row[0]: row[1:5] for row in truth["get_prices"]["bars"]}
    prices = answers(servers, misleads=misleads)["get_prices"]
    days = sorted(true, reverse=True)
    struck = {days[SESSIONS_BEFORE[fault]] for fault in misleads & SESSIONS_BEFORE.keys()}
    if "week_in_cents" in misleads:
        struck |= set(days[20:25])
    for day, *row in prices["bars"]:
        if day in true and day not in struck:
            assert row[:4] == true[day]
    assert bool(struck) == ("warnings" in prices)


async def _levels(servers: LiveServers) -> PriceLevels:
    async with HttpPool(default_policy=ONCE) as pool:
        toolkit = AsyncToolkit(pool, SingleFlightCache(), mode="live", access=servers.access)
        return await toolkit.price_levels("NVDA", AS_OF)


def test_with_every_wrong_bar_at_once_the_levels_are_those_of_true_ones_and_say_so(
    servers: LiveServers,
) -> None:
    true = asyncio.run(_levels(servers))
    servers.misleads = set(SESSIONS_BEFORE)
    try:
        levels = asyncio.run(_levels(servers))
    finally:
        servers.misleads = set()
    assert true.warnings == []
    assert (true.currency, true.instrument, true.benchmark) == ("USD", "share", "^GSPC")
    assert len(levels.warnings) == 8
    assert levels.session == datetime.date(2025, 11, 13)
    assert true.atr_14 is not None
    assert levels.atr_14 == pytest.approx(true.atr_14, rel=0.2)
    assert levels.low_20 == pytest.approx(true.low_20, rel=0.05)
    assert levels.high_20 == pytest.approx(true.high_20, rel=0.05)


def test_what_a_source_does_not_say_is_absent_and_never_made_up(servers: LiveServers) -> None:
    silent = answers(servers, misleads={"no_currency", "no_volume"})
    prices, ratios = silent["get_prices"], silent["get_ratios"]
    assert (prices["currency"], prices["volume"], prices["volume_avg_20"]) == (None, None, None)
    values = silent["get_indicators"]["values"]
    assert (values["mfi"], values["vwma"]) == (None, None)
    assert values["rsi"] is not None
    assert silent["get_attention"] == "NoDataError"
    assert ratios["pe_ttm"] is None
    assert "does not name the currency of the prices" in ratios["reasons"]["pe_ttm"]
    assert ratios["gross_margin"] is not None

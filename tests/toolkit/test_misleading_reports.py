"""Reports that would mislead: filed in the evening, or in other money than the prices."""

import asyncio
import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live_servers import LiveServers, live_servers
from tests.misleading_charts import DAY
from tests.misleading_reports import EVENING_REVENUE
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.tools import TOOLS

MONDAY = datetime.date(2025, 11, 17)


@pytest.fixture(scope="module")
def servers() -> Iterator[LiveServers]:
    with live_servers() as running:
        yield running


def ask(
    servers: LiveServers, name: str, *faults: str, symbol: str = "NVDA", day: datetime.date = DAY
) -> dict[str, Any]:
    """What a tool answers with faults in the reports."""

    async def run() -> Any:
        async with HttpPool() as pool:
            toolkit = AsyncToolkit(pool, SingleFlightCache(), mode="live", access=servers.access)
            arguments = TOOLS[name].arguments.model_validate({"symbol": symbol})
            return await TOOLS[name].run(toolkit, AsOf(day), arguments)

    servers.misleads = set(faults)
    try:
        answer: dict[str, Any] = asyncio.run(run())
    finally:
        servers.misleads = set()
    return {name: value for name, value in answer.items() if name != "age_s"}


@pytest.mark.parametrize("name", ["get_income_statement", "get_company_events", "get_ratios"])
def test_what_was_filed_in_the_evening_changes_nothing_of_that_day(
    servers: LiveServers, name: str
) -> None:
    assert ask(servers, name, "evening_filing") == ask(servers, name)


def test_what_was_filed_in_the_evening_is_known_on_the_next_session(servers: LiveServers) -> None:
    income = ask(servers, "get_income_statement", "evening_filing", day=MONDAY)
    assert income["latest"]["revenue"] == EVENING_REVENUE
    events = ask(servers, "get_company_events", "evening_filing", day=MONDAY)
    assert events["events"][0]["filed"] == DAY.isoformat()


def test_a_weekend_does_not_make_the_evening_known(servers: LiveServers) -> None:
    sunday = MONDAY - datetime.timedelta(days=1)
    income = ask(servers, "get_income_statement", "evening_filing", day=sunday)
    assert income["latest"]["revenue"] != EVENING_REVENUE


def test_statements_name_their_own_currency_and_ratios_across_two_are_absent(
    servers: LiveServers,
) -> None:
    """A share in US dollars whose company reports in Canadian ones."""
    income = ask(servers, "get_income_statement", "other_currency")
    assert income["currency"] == "CAD"
    assert income["unit"].startswith("CAD;")
    alike, ratios = ask(servers, "get_ratios"), ask(servers, "get_ratios", "other_currency")
    assert ratios["currency"] == {
        "price": "USD",
        "income": "CAD",
        "balance": "CAD",
        "cash_flow": "CAD",
    }
    across = ("pe_ttm", "ps_ttm", "pb", "fcf_yield")
    assert [ratios[name] for name in across] == [None] * 4
    for name in across:
        assert ratios["reasons"][name] == (
            "the price is in USD and the statement in CAD; nothing is converted"
        )
    for name in ("market_cap", "gross_margin", "net_margin", "debt_to_equity", "fcf_ttm"):
        assert ratios[name] == alike[name]


def test_of_two_currencies_the_newest_counts_and_the_other_is_named(servers: LiveServers) -> None:
    income = ask(servers, "get_income_statement", "two_currencies", symbol="VOW3.DE")
    assert income["currency"] == "USD"
    assert {period["period_end"] for period in income["periods"]} == {"2025-03-31", "2025-06-30"}
    assert income["year_before"] is None
    (warning,) = income["warnings"]
    assert warning == (
        "Amounts of income in EUR are left out: the newest are in USD, and nothing is converted."
    )


def test_a_currency_that_nobody_names_is_not_made_up(servers: LiveServers) -> None:
    income = ask(servers, "get_income_statement", "unnamed_currency", symbol="VOW3.DE")
    assert income["currency"] is None
    assert income["unit"].startswith("a currency that the source does not name;")

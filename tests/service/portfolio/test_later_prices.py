"""Prices of the days after decisions, from a real toolkit over its loopback server."""

import datetime

from trading_graph.service.portfolio.results.later_prices import ToolkitPrices, collect_prices
from trading_graph.toolkit.live_access import LiveAccess
from trading_graph.toolkit.market_data import open_toolkit


async def test_all_symbols_are_asked_for_and_one_that_is_unknown_stops_no_other() -> None:
    async with open_toolkit("offline", LiveAccess(), embedded_latency_s=0.001) as toolkit:
        history = ToolkitPrices(toolkit)
        prices = await collect_prices(history, ["NVDA", "^GSPC", "NOPE", "NVDA"])
    assert prices.last_day == datetime.date(2025, 11, 14)
    assert set(prices.bars) == {"NVDA", "^GSPC"}
    assert prices.bars["NVDA"].session == prices.last_day
    assert set(prices.missing) == {"NOPE"}
    assert "NOPE" in prices.missing["NOPE"]
    # Today's basis: the split of 2024 is done.
    assert prices.bars["NVDA"].splits[-1] == (datetime.date(2024, 6, 10), 10.0)

"""Prices of any size in the tools: digits that matter are kept, and below zero is a sentence."""

import asyncio
import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from tests.misleading_charts import PRICES
from tests.toolkit.test_bar_checks import LAST, quote_of, walk
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.errors import DataError, NoDataError, NotApplicableError
from trading_graph.toolkit.live_access import BaseUrls, LiveAccess
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.market_data import AsyncToolkit, PriceLevels
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.price_digits import price_digits
from trading_graph.toolkit.tools import TOOLS

AS_OF = AsOf(LAST)

Ask = Callable[[AsyncToolkit], Any]


class Yahoo:
    """Serves one chart for every symbol."""

    def __init__(self) -> None:
        self.chart: dict[str, Any] = {}
        self.url = ""

    def make_app(self) -> web.Application:
        async def chart(request: web.Request) -> web.Response:
            return web.json_response({"chart": {"result": [self.chart], "error": None}})

        app = web.Application()
        app.router.add_get("/v8/finance/chart/{symbol}", chart)
        return app

    def ask(self, question: Ask) -> Any:
        """What a live toolkit makes of the chart."""

        async def run() -> Any:
            async with HttpPool() as pool:
                access = LiveAccess(BaseUrls(yahoo=self.url))
                return await question(
                    AsyncToolkit(pool, SingleFlightCache(), mode="live", access=access)
                )

        return asyncio.run(run())

    def tool(self, name: str, symbol: str) -> dict[str, Any]:
        tool = TOOLS[name]
        arguments = tool.arguments.model_validate({"symbol": symbol})
        answer: dict[str, Any] = self.ask(lambda toolkit: tool.run(toolkit, AS_OF, arguments))
        return answer


@pytest.fixture
def yahoo() -> Iterator[Yahoo]:
    source = Yahoo()
    with LoopbackServer(source.make_app) as server:
        source.url = server.url
        yield source


@pytest.mark.parametrize("price", [8.17e-06, 0.0123, 0.5, 190.17, 641_000.0])
def test_prices_and_indicators_keep_five_digits_at_any_size(yahoo: Yahoo, price: float) -> None:
    yahoo.chart = walk(start=price)
    column = quote_of(yahoo.chart)
    prices = yahoo.tool("get_prices", "SHIB-USD")
    shown = prices["bars"][-1][1:5]
    assert shown == pytest.approx([column[name][-1] for name in PRICES], rel=1e-4)
    assert prices["close"] == pytest.approx(column["close"][-1], rel=1e-4)
    indicators = yahoo.tool("get_indicators", "SHIB-USD")
    close = column["close"][-1]
    for name in ("close_50_sma", "boll_lb", "boll_ub", "atr", "vwma", "macd"):
        assert abs(indicators["values"][name]) > close * 1e-4, name
    average = sum(column["close"][-50:]) / 50
    assert indicators["values"]["close_50_sma"] == pytest.approx(average, rel=1e-4)
    assert 0 <= indicators["values"]["rsi"] <= 100


def test_four_decimals_remain_where_they_are_enough() -> None:
    assert [price_digits(price) for price in (190.17, 1.0, 0.5, 0.01, 8.17e-06, 0)] == [
        4,
        4,
        5,
        6,
        10,
        4,
    ]


def test_a_close_below_zero_is_one_sentence(yahoo: Yahoo) -> None:
    """Oil for May 2020 closed at -37.63; no level and no percentage means anything there."""
    yahoo.chart = walk()
    yahoo.chart["meta"]["instrumentType"] = "FUTURE"
    for name, price in zip(PRICES, (17.7, 17.9, -40.3, -37.63), strict=True):
        quote_of(yahoo.chart)[name][-1] = price
    with pytest.raises(NoDataError) as refusal:
        yahoo.ask(lambda toolkit: toolkit.price_levels("CL=F", AS_OF))
    assert str(refusal.value) == (
        "CL=F closed at -37.63 on 2025-11-14, where levels and percentages mean nothing: "
        "choose another date."
    )


def test_a_delisted_symbol_of_zeros_alone_has_no_prices(yahoo: Yahoo) -> None:
    yahoo.chart = walk()
    for name in (*PRICES, "volume"):
        quote_of(yahoo.chart)[name][:] = [0.0] * len(yahoo.chart["timestamp"])
    with pytest.raises(NoDataError, match="no bars of GONE"):
        yahoo.tool("get_prices", "GONE")


def test_zeros_since_a_delisting_end_the_prices_there(yahoo: Yahoo) -> None:
    yahoo.chart = walk()
    for name in (*PRICES, "volume"):
        quote_of(yahoo.chart)[name][-30:] = [0.0] * 30
    with pytest.raises(DataError, match=r"prices of GONE .* end with 2025-10-03"):
        yahoo.tool("get_prices", "GONE")


def test_a_company_abroad_is_named_and_measured_by_its_own_market(yahoo: Yahoo) -> None:
    yahoo.chart = walk()
    yahoo.chart["meta"] |= {
        "currency": "EUR",
        "instrumentType": "EQUITY",
        "longName": "Volkswagen AG",
        "fullExchangeName": "XETRA",
    }
    answer = yahoo.tool("get_prices", "VOW3.DE")
    assert answer["currency"] == "EUR"
    assert answer["company"] == {
        "name": "Volkswagen AG",
        "instrument": "share",
        "exchange": "XETRA",
        "country": "Germany",
        "source": "Yahoo chart",
    }
    assert answer["benchmark"] == {"symbol": "^GDAXI", "name": "DAX"}
    levels: PriceLevels = yahoo.ask(lambda toolkit: toolkit.price_levels("VOW3.DE", AS_OF))
    assert (levels.currency, levels.benchmark) == ("EUR", "^GDAXI")
    assert levels.session == datetime.date(2025, 11, 14)


def test_a_fund_that_nobody_has_statements_of_lacks_nothing(yahoo: Yahoo) -> None:
    yahoo.chart = walk()
    yahoo.chart["meta"]["instrumentType"] = "ETF"
    with pytest.raises(NoDataError, match="SPY is of the kind fund, which has no statements"):
        yahoo.tool("get_balance_sheet", "SPY")
    yahoo.chart["meta"]["instrumentType"] = "EQUITY"
    with pytest.raises(DataError, match="TRADING_GRAPH_SEC_USER_AGENT"):
        yahoo.tool("get_balance_sheet", "SPY")


@pytest.mark.parametrize(
    ("symbol", "kind", "by_nature"),
    [
        ("EURUSD=X", "CURRENCY", True),
        ("VFIAX", "MUTUALFUND", True),
        ("VFIAX", None, True),
        ("NVDA", "EQUITY", False),
    ],
)
def test_what_has_no_volume_by_nature_lacks_no_attention(
    yahoo: Yahoo, symbol: str, kind: str | None, by_nature: bool
) -> None:
    yahoo.chart = walk()
    yahoo.chart["meta"] |= {"instrumentType": kind} if kind else {}
    volume = quote_of(yahoo.chart)["volume"]
    volume[:] = [0] * len(volume)
    with pytest.raises(NoDataError) as raised:
        yahoo.tool("get_attention", symbol)
    assert isinstance(raised.value, NotApplicableError) == by_nature
    # A gap of weeks in what does have volume is a gap.
    volume[:-90] = [1_000_000] * (len(volume) - 90)
    with pytest.raises(NoDataError) as raised:
        yahoo.tool("get_attention", symbol)
    assert not isinstance(raised.value, NotApplicableError)

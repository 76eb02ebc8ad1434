"""What Yahoo really answered: our chart builder against yfinance's, and the other readers."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yfinance.utils as yf
from aiohttp import web

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import BadAnswerError
from trading_graph.toolkit.live_access import BaseUrls
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.sources.news import LiveNews
from trading_graph.toolkit.sources.yahoo_chart import parse_chart
from trading_graph.toolkit.sources.yahoo_tables import YahooTables
from trading_graph.toolkit.symbols import Instrument
from trading_graph.toolkit.unit_jumps import in_one_unit

FOLDER = Path(__file__).parents[1] / "recorded" / "yahoo"
CHARTS = sorted(
    path.name for path in FOLDER.glob("*chart*.json") if not path.name.endswith(".fake.json")
)


def recorded(name: str) -> Any:
    """The body of a recorded answer."""
    return json.loads((FOLDER / name).read_text())["response"]["bodyJson"]


def test_there_is_something_to_compare() -> None:
    assert len(CHARTS) == 6


@pytest.mark.parametrize("name", CHARTS)
def test_our_bars_are_those_of_yfinance(name: str) -> None:
    answer = recorded(name)
    result = answer["chart"]["result"][0]
    bars = parse_chart(answer, "X", "Yahoo")

    theirs = yf.parse_quotes(result)
    zone = result["meta"]["exchangeTimezoneName"]
    theirs.index = theirs.index.tz_localize("UTC").tz_convert(zone)
    theirs = theirs[~theirs.index.normalize().duplicated(keep="last")]
    theirs = theirs.dropna(subset=["Open", "High", "Low", "Close"])
    assert [day.date() for day in theirs.index] == [bars.day(i) for i in range(len(bars))]
    assert len(bars) > 0
    for column in ("Open", "High", "Low", "Close", "Volume"):
        np.testing.assert_array_equal(
            theirs[column].to_numpy(dtype=float), getattr(bars, column.lower())
        )

    assert parse_chart(answer, result["meta"]["symbol"], "Yahoo").gaps == ()

    dividends, splits, _ = yf.parse_actions(result)
    for frame, column, ours in (
        (dividends, "Dividends", bars.dividends),
        (splits, "Stock Splits", bars.splits),
    ):
        events = (
            []
            if frame is None or frame.empty
            else [
                (day.tz_localize("UTC").tz_convert(zone).date(), value)
                for day, value in frame[column].items()
            ]
        )
        assert events == list(ours)


@pytest.mark.parametrize("name", CHARTS)
def test_true_bars_have_no_fault_and_name_their_symbol_and_currency(name: str) -> None:
    answer = recorded(name)
    meta = answer["chart"]["result"][0]["meta"]
    bars = in_one_unit(parse_chart(answer, meta["symbol"], "Yahoo"))
    assert bars.faults == ()
    assert bars.currency == meta["currency"]
    assert bars.identity is not None
    assert bars.identity.name == (meta.get("longName") or meta["shortName"])
    assert bars.identity.exchange == meta["fullExchangeName"]
    kinds = {"EQUITY": Instrument.SHARE, "CRYPTOCURRENCY": Instrument.CRYPTO}
    assert bars.identity.instrument is kinds.get(meta["instrumentType"], Instrument.FUTURE)


def test_a_malformed_chart_is_one_typed_error_or_no_bars() -> None:
    answer = recorded("chart-notimestamp-quotes-length.fake.json")
    try:
        assert len(parse_chart(answer, "AAPL", "Yahoo")) == 0
    except BadAnswerError as refusal:
        message = str(refusal)
        assert "is not a v8 chart" in message


def serve(path: str, name: str) -> LoopbackServer:
    """A Yahoo that gives one recorded answer, and a crumb to whoever asks."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(recorded(name))

    async def crumb(request: web.Request) -> web.Response:
        return web.Response(text="crumb")

    def make_app() -> web.Application:
        app = web.Application()
        app.router.add_get(path, answer)
        app.router.add_get("/v1/test/getcrumb", crumb)
        return app

    return LoopbackServer(make_app)


def test_recorded_headlines_are_read_with_their_instants() -> None:
    as_of = AsOf.parse("2025-02-25")

    async def ask(url: str) -> Any:
        async with HttpPool() as pool:
            news = LiveNews(pool, BaseUrls(yahoo=url, google_news=url), lambda: as_of.cutoff)
            return await news.news("AAPL", as_of)

    with serve("/v1/finance/search", "search-AAPL.json") as server:
        news = asyncio.run(ask(server.url))
    stories = recorded("search-AAPL.json")["news"]
    assert sorted(line.published.timestamp() for line in news.headlines) == sorted(
        story["providerPublishTime"] for story in stories
    )
    assert {line.title for line in news.headlines} == {story["title"] for story in stories}
    assert news.source == "Yahoo search"
    assert len(news.missing) == 1


def test_recorded_insider_trades_are_read_by_yfinance_over_our_pool() -> None:
    async def ask(url: str) -> Any:
        async with HttpPool() as pool:
            tables = YahooTables(pool, BaseUrls(yahoo=url))
            return await tables.insiders("AAPL", AsOf.parse("2025-02-25"))

    name = "quoteSummary-insiderTransactions-AAPL.json"
    with serve("/v10/finance/quoteSummary/{symbol}", name) as server:
        trades = asyncio.run(ask(server.url)).trades
    transactions = recorded(name)["quoteSummary"]["result"][0]["insiderTransactions"][
        "transactions"
    ]
    assert len(trades) == len(transactions) > 50
    sale = next(trade for trade in trades if trade.who == "LEVINSON ARTHUR D" and trade.value)
    assert (str(sale.traded), sale.shares) in {
        (trade["startDate"]["fmt"], trade["shares"]["raw"]) for trade in transactions
    }

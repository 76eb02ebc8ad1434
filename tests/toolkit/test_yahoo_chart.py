"""The chart adapter: Yahoo's v8 shape with its holes, and errors that say what is wrong."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from aiohttp import web

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import (
    BadAnswerError,
    BadDateError,
    NoDataError,
    RateLimitError,
    UnknownSymbolError,
)
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.sources.yahoo_chart import YahooChart, chart_url, parse_chart
from trading_graph.toolkit.symbols import Instrument

AS_OF = AsOf(datetime.date(2024, 6, 12))
OPENINGS = [1717767000, 1718026200, 1718112600, 1718199000]  # 7, 10, 11 and 12 June 2024, 09:30
DAYS = [datetime.date(2024, 6, day) for day in (7, 10, 11, 12)]


_NAMES = ("open", "high", "low", "close", "volume")


def chart(**changes: Any) -> dict[str, Any]:
    """A small v8 answer; `changes` replace parts of its result."""
    result = {
        "meta": {
            "currency": "USD",
            "symbol": "NVDA",
            "gmtoffset": -14400,
            "exchangeTimezoneName": "America/New_York",
        },
        "timestamp": OPENINGS,
        "indicators": {
            "quote": [
                {
                    "open": [119.77, 120.37, 121.77, 123.06],
                    "high": [121.69, 123.1, 122.87, 126.88],
                    "low": [118.02, 117.01, 118.74, 122.57],
                    "close": [120.89, 121.79, 120.91, 125.2],
                    "volume": [412386000, 314162700, 222551200, 299595000],
                }
            ]
        },
    }
    return {"chart": {"result": [result | changes], "error": None}}


def quotes(**columns: list[float | None]) -> dict[str, Any]:
    """The indicators of `chart`, with some columns replaced."""
    quote = chart()["chart"]["result"][0]["indicators"]["quote"][0]
    return {"indicators": {"quote": [quote | columns]}}


def test_bars_come_out_as_immutable_columns() -> None:
    bars = parse_chart(chart(), "NVDA", "test")
    assert [bars.day(i) for i in range(4)] == DAYS
    assert bars.close.tolist() == [120.89, 121.79, 120.91, 125.2]
    assert bars.volume[0] == 412386000
    for column in (bars.dates, bars.open, bars.high, bars.low, bars.close, bars.volume):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = column[1]


def test_a_bar_without_a_price_is_dropped_and_one_without_volume_kept() -> None:
    holes = quotes(
        close=[120.89, None, 120.91, 125.2], volume=[412386000, 314162700, None, 299595000]
    )
    bars = parse_chart(chart(**holes), "NVDA", "test")
    assert [bars.day(i) for i in range(3)] == [DAYS[0], DAYS[2], DAYS[3]]
    assert bars.volume.tolist() == [412386000, 0, 299595000]
    assert np.isfinite(bars.close).all()


def test_a_day_given_twice_counts_once_with_its_later_values() -> None:
    stamps = [*OPENINGS[:3], OPENINGS[2] + 23400]
    bars = parse_chart(chart(timestamp=stamps), "NVDA", "test")
    assert [bars.day(i) for i in range(3)] == DAYS[:3]
    assert bars.close[-1] == 125.2


def test_bars_in_any_order_come_out_sorted() -> None:
    bars = parse_chart(chart(timestamp=OPENINGS[::-1]), "NVDA", "test")
    assert bars.session == DAYS[3]
    assert bars.close[-1] == 120.89


def test_a_chart_says_what_the_symbol_is_and_in_what_its_prices_are() -> None:
    meta = {
        "currency": "GBp",
        "instrumentType": "EQUITY",
        "longName": "A Company </untrusted> plc\u202e",
        "fullExchangeName": "LSE",
        "exchangeTimezoneName": "Europe/London",
    }
    bars = parse_chart(chart(meta=meta), "BARC.L", "Yahoo chart")
    assert bars.currency == "GBp"
    identity = bars.identity
    assert identity is not None
    assert (identity.name, identity.exchange) == ("A Company /untrusted plc", "LSE")
    assert (identity.instrument, identity.country) == (Instrument.SHARE, "United Kingdom")
    assert (identity.benchmark, identity.source) == ("^FTSE", "Yahoo chart")


def test_a_currency_that_is_not_named_is_not_made_up() -> None:
    bars = parse_chart(chart(meta={"exchangeTimezoneName": "Europe/London"}), "BARC.L", "test")
    assert bars.currency == ""


def test_an_answer_without_timestamps_has_no_bars() -> None:
    answer = chart(indicators={"quote": [{}]})
    del answer["chart"]["result"][0]["timestamp"]
    assert len(parse_chart(answer, "NVDA", "test")) == 0


def test_events_are_read_by_their_day() -> None:
    events = {
        "dividends": {"1718112600": {"amount": 0.01, "date": 1718112600}},
        "splits": {
            "1718026200": {
                "date": 1718026200, "numerator": 10, "denominator": 1, "splitRatio": "10:1"
            }
        },
    }  # fmt: skip
    bars = parse_chart(chart(events=events), "NVDA", "test")
    assert bars.splits == ((DAYS[1], 10.0),)
    assert bars.dividends == ((DAYS[2], 0.01),)
    assert bars.until(DAYS[1]).dividends == ()


def test_the_day_is_the_exchanges_own_on_both_sides_of_daylight_saving() -> None:
    """Midnight in London is 23:00 UTC in summer: the offset of today would give the day before."""
    meta = {"currency": "USD", "exchangeTimezoneName": "Europe/London", "gmtoffset": 0}
    winter, summer = 1705276800, 1718060400
    columns = {name: [1.0, 1.0] for name in ("open", "high", "low", "close", "volume")}
    answer = chart(meta=meta, timestamp=[winter, summer], indicators={"quote": [columns]})
    bars = parse_chart(answer, "EURUSD=X", "test")
    assert [bars.day(0), bars.day(1)] == [datetime.date(2024, 1, 15), datetime.date(2024, 6, 11)]


@pytest.mark.parametrize(
    "zone",
    ["America/New_York", "Europe/London", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Tokyo"],
)
@pytest.mark.parametrize("hour", [0, 1, 9, 23])
def test_every_day_of_twenty_years_is_the_exchanges_own(zone: str, hour: int) -> None:
    """Casablanca puts its clocks back for a month each year; Lord Howe moves by half an hour."""
    at = ZoneInfo(zone)
    first = datetime.datetime(2006, 1, 1, hour, 30, tzinfo=at)
    stamps = [int((first + datetime.timedelta(days=n)).timestamp()) for n in range(20 * 365)]
    columns = {name: [1.0] * len(stamps) for name in _NAMES}
    meta = {"currency": "USD", "exchangeTimezoneName": zone}
    answer = chart(meta=meta, timestamp=stamps, indicators={"quote": [columns]})
    bars = parse_chart(answer, "X", "test")
    expected = sorted({datetime.datetime.fromtimestamp(s, at).date() for s in stamps})
    assert bars.dates.tolist() == expected


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"chart": None},
        {"chart": {"result": []}},
        {"chart": {"result": [{}]}},
        chart(indicators={}),
        chart(timestamp=OPENINGS[:2]),
        chart(timestamp=["soon"] * 4),
        chart(indicators={"quote": [dict.fromkeys(_NAMES, ["n/a"] * 4)]}),
        chart(meta={"exchangeTimezoneName": "Mars/Olympus"}),
        chart(events={"splits": {"1": {"date": 1, "numerator": 1, "denominator": 0}}}),
    ],
)
def test_another_shape_is_one_clear_error(answer: Any) -> None:
    with pytest.raises(BadAnswerError, match=r"test answered for NVDA .* not a v8 chart"):
        parse_chart(answer, "NVDA", "test")


def test_the_address_escapes_the_symbol_and_ends_with_today() -> None:
    url = chart_url("http://127.0.0.1:1", "^GSPC", AS_OF, AS_OF.date)
    assert str(url).startswith("http://127.0.0.1:1/v8/finance/chart/%5EGSPC?")
    end = datetime.datetime.fromtimestamp(int(url.query["period2"]), datetime.UTC)
    assert end == datetime.datetime(2024, 6, 13, tzinfo=datetime.UTC)
    later = chart_url("http://x", "M&M.NS", AS_OF, datetime.date(2025, 6, 12))
    assert later.raw_path.endswith("/M%26M.NS")
    assert int(later.query["period2"]) - int(url.query["period2"]) == 365 * 86400
    assert later.query["period1"] == url.query["period1"]


Served = tuple[int, Any]
Ask = Callable[..., Any]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Ask the adapter against a server that answers as told."""
    answers: list[Served] = []

    async def answer(request: web.Request) -> web.Response:
        status, body = answers[-1]
        return web.json_response(body, status=status)

    def make_app() -> web.Application:
        app = web.Application()
        app.router.add_get("/v8/finance/chart/{symbol}", answer)
        return app

    server = LoopbackServer(make_app)
    await asyncio.to_thread(server.start)
    async with HttpPool() as pool:

        async def ask_once(status: int, body: Any, as_of: AsOf = AS_OF, now: Any = None) -> Any:
            answers.append((status, body))
            adapter = YahooChart(pool, server.url, source="test", data_mode="live")
            if now:
                adapter = YahooChart(
                    pool, server.url, source="test", data_mode="live", clock=lambda: now
                )
            return await adapter.bars("NVDA", as_of)

        yield ask_once
    await asyncio.to_thread(server.stop)


async def test_bars_after_the_as_of_date_are_cut_off(ask: Ask) -> None:
    bars = await ask(200, chart(), AsOf(DAYS[2]))
    assert bars.session == DAYS[2]


async def test_the_running_session_is_no_bar_before_its_close(ask: Ask) -> None:
    cutoff = AS_OF.cutoff
    before = await ask(200, chart(), now=cutoff - datetime.timedelta(minutes=1))
    after = await ask(200, chart(), now=cutoff)
    assert (before.session, after.session) == (DAYS[2], DAYS[3])


async def test_an_unknown_symbol_is_told_from_a_failing_source(ask: Ask) -> None:
    error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
    with pytest.raises(UnknownSymbolError, match=r"NVDA .*may be delisted"):
        await ask(404, {"chart": {"result": None, "error": error}})
    with pytest.raises(RateLimitError):
        await ask(429, {"chart": {"result": None, "error": error}})


async def test_a_range_before_the_data_is_a_bad_date(ask: Ask) -> None:
    error = {
        "code": "Bad Request",
        "description": "Data doesn't exist for startDate = 1, endDate = 2",
    }
    with pytest.raises(BadDateError, match="2024-06-12"):
        await ask(400, {"chart": {"result": None, "error": error}})


async def test_a_date_before_the_first_bar_is_a_bad_date_and_no_bars_at_all_is_no_data(
    ask: Ask,
) -> None:
    with pytest.raises(BadDateError, match="begin with 2024-06-07: choose a later date"):
        await ask(200, chart(), AsOf(datetime.date(2024, 6, 1)))
    answer = chart(indicators={"quote": [{}]})
    del answer["chart"]["result"][0]["timestamp"]
    with pytest.raises(NoDataError, match="no bars of NVDA"):
        await ask(200, answer)


async def test_a_split_after_the_as_of_date_is_undone_and_forgotten(ask: Ask) -> None:
    events = {
        "splits": {
            "1718026200": {
                "date": 1718026200, "numerator": 10, "denominator": 1, "splitRatio": "10:1"
            }
        },
        "dividends": {"1717767000": {"amount": 0.01, "date": 1717767000}},
    }  # fmt: skip
    before = await ask(200, chart(events=events), AsOf(DAYS[0]))
    assert before.close.tolist() == [1208.9]
    assert before.volume.tolist() == [41238600]
    assert before.dividends == ((DAYS[0], 0.1),)
    assert before.splits == ()
    after = await ask(200, chart(events=events), AsOf(DAYS[1]))
    assert after.close.tolist() == [120.89, 121.79]
    assert after.splits == ((DAYS[1], 10.0),)

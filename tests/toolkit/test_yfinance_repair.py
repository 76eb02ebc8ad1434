"""Our rules for bars against yfinance's `repair` of the same bars, over loopback.

yfinance mends by asking for finer bars, which this server does not have, as Yahoo has none for
most of three years. docs/data.md says where the two differ and why; this holds the page to it.
"""

import datetime
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yfinance
from aiohttp import web
from yfinance.scrapers.history import PriceHistory

from tests.misleading_charts import CHART_FAULTS, strike
from tests.toolkit.test_bar_checks import (
    DAYS,
    LAST,
    SIZE,
    crash,
    deep_gap,
    fund,
    halt,
    read,
    table,
    walk,
)
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.sources.yfinance_reader import _browser_data

pytest.importorskip("sklearn", reason="yfinance's repair needs scipy and scikit-learn")


class Yahoo:
    """Serves one daily chart, and nothing finer."""

    def __init__(self) -> None:
        self.chart: dict[str, Any] = {}
        self.url = ""

    def make_app(self) -> web.Application:
        async def chart(request: web.Request) -> web.Response:
            if request.query.get("interval") != "1d":
                error = {"code": "Not Found", "description": "No data found"}
                return web.json_response({"chart": {"result": None, "error": error}}, status=404)
            return web.json_response({"chart": {"result": [self.chart], "error": None}})

        async def cookie(request: web.Request) -> web.Response:
            return web.Response(text="crumb")

        app = web.Application()
        app.router.add_get("/v8/finance/chart/{symbol}", chart)
        app.router.add_get("/{rest:.*}", cookie)
        return app


@pytest.fixture
def yahoo() -> Iterator[Yahoo]:
    debug = yfinance.config.debug
    debug.hide_exceptions = True  # As it is by itself: finer bars that are missing end no repair.
    source = Yahoo()
    try:
        with LoopbackServer(source.make_app) as server:
            source.url = server.url
            yield source
    finally:
        debug.hide_exceptions = False


def repaired(yahoo: Yahoo, chart: dict[str, Any]) -> dict[datetime.date, tuple[float, ...]]:
    """The prices by day as yfinance repairs them."""
    quote = chart["indicators"]["quote"][0]
    chart["indicators"]["adjclose"] = [{"adjclose": list(quote["close"])}]
    meta = {"symbol": "X", "instrumentType": "EQUITY", "dataGranularity": "1d", "range": ""}
    chart["meta"] |= meta | {"gmtoffset": -18000, "timezone": "EST", "validRanges": ["1d", "max"]}
    yahoo.chart = chart
    history = PriceHistory(_browser_data(yahoo.url), "X", "America/New_York")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = history.history(start=DAYS[0], end="2025-11-15", auto_adjust=False, repair=True)
    days = pd.DatetimeIndex(frame.index).date
    prices = frame[["Open", "High", "Low", "Close"]].itertuples(index=False, name=None)
    return dict(zip(days, prices, strict=True))


@pytest.mark.parametrize("fault", ["close_in_cents", "bar_in_cents", "week_in_cents"])
def test_a_unit_is_put_right_as_yfinance_does(yahoo: Yahoo, fault: str) -> None:
    chart = walk()
    strike(chart, [fault])
    theirs, ours = repaired(yahoo, chart), table(read(chart))
    assert theirs.keys() == ours.keys()
    for day, prices in ours.items():
        np.testing.assert_allclose(theirs[day], prices, rtol=1e-9)


def test_true_bars_are_the_same(yahoo: Yahoo) -> None:
    chart = walk()
    theirs = repaired(yahoo, chart)
    for day, prices in table(read(chart)).items():
        np.testing.assert_allclose(theirs[day], prices, rtol=1e-12)


@pytest.mark.parametrize("fault", ["zeros", "low_of_zero", "close_outside", "negative"])
def test_what_yfinance_cannot_reconstruct_it_leaves_and_we_do_not(yahoo: Yahoo, fault: str) -> None:
    chart = walk()
    strike(chart, [fault])
    theirs, ours = repaired(yahoo, chart), table(read(chart))
    nothing = (-1.0,) * 4
    (day,) = (day for day in theirs if theirs[day] != pytest.approx(ours.get(day, nothing)))
    open_, high, low, close = theirs[day]
    assert not 0 < low <= min(open_, close) <= max(open_, close) <= high
    assert day <= LAST


def last_bar_in_cents(chart: dict[str, Any]) -> None:
    CHART_FAULTS["bar_in_cents"](chart, SIZE - 1)


def new_unit(chart: dict[str, Any]) -> None:
    for i in range(SIZE - 40, SIZE):
        CHART_FAULTS["bar_in_cents"](chart, i)


@pytest.mark.parametrize("event", [last_bar_in_cents, new_unit, crash])
def test_where_yfinance_rewrites_the_past_we_do_not(yahoo: Yahoo, event: Any) -> None:
    clean, chart = table(read(walk())), walk()
    event(chart)
    theirs, ours = repaired(yahoo, chart), table(read(chart))
    past = DAYS[:200]
    assert all(theirs[day][3] == pytest.approx(clean[day][3] / 100) for day in past)
    assert all(ours[day] == clean[day] for day in past if day in ours)
    assert (LAST in ours) == (event is not last_bar_in_cents)
    assert (DAYS[0] in ours) == (event is not new_unit)


@pytest.mark.parametrize("event", [deep_gap, halt, fund])
def test_what_really_happened_is_the_same(yahoo: Yahoo, event: Any) -> None:
    chart = walk()
    event(chart)
    theirs = repaired(yahoo, chart)
    for day, prices in table(read(chart)).items():
        np.testing.assert_allclose(theirs[day], prices, rtol=1e-12)


def test_of_a_day_given_twice_yfinance_keeps_the_first_and_we_the_last(yahoo: Yahoo) -> None:
    clean, chart = table(read(walk())), walk()
    strike(chart, ["twice"])
    theirs, ours = repaired(yahoo, chart), table(read(chart))
    day = DAYS[-7]
    assert ours[day] == pytest.approx(clean[day])
    assert theirs[day] == pytest.approx([price * 1.01 for price in clean[day]])

"""The embedded data set as an HTTP application: prices in Yahoo's chart format, the rest in ours.

    GET /v8/finance/chart/{symbol}?period1&period2            v8 chart, daily; or range=1d
    GET /v1/statements/{symbol}/{kind}?as_of                  income, balance, cash_flow
    GET /v1/filings/{symbol}?as_of&forms=8-K,10-Q
    GET /v1/insiders/{symbol}?as_of                           dates of form 4
    GET /v1/macro/{series}?as_of

Every answer takes `latency_s`. Answers in our format contain only what was public on the as-of
date. A chart is on the share basis of the table's last day, as Yahoo's is on today's.
"""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from trading_graph.toolkit.as_of import NEW_YORK, STALE_AFTER, AsOf
from trading_graph.toolkit.dataset import tables
from trading_graph.toolkit.dataset.tables import PriceRow
from trading_graph.toolkit.records import INSIDER_FORMS, Filings, Insiders, Series, Statements
from trading_graph.toolkit.statements import CONCEPTS

DEFAULT_LATENCY_S = 0.15

FACT_SOURCE = "embedded data set (SEC filings)"

_OPENING = datetime.time(9, 30)
_LATENCY = web.AppKey("latency_s", float)


def make_app(latency_s: float = DEFAULT_LATENCY_S) -> web.Application:
    """The application; this reads files, so call it in the server's thread before its loop runs."""
    for read in (tables.prices, tables.statements, tables.filings, tables.macro):
        read()
    app = web.Application(middlewares=[_answer_late])
    app[_LATENCY] = latency_s
    app.router.add_get("/v8/finance/chart/{symbol}", _chart)
    app.router.add_get("/v1/statements/{symbol}/{kind}", _statements)
    app.router.add_get("/v1/filings/{symbol}", _filings)
    app.router.add_get("/v1/insiders/{symbol}", _insiders)
    app.router.add_get("/v1/macro/{series}", _macro)
    return app


class _RefusalError(Exception):
    """A request in our own format that has no answer."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": {"code": code, "description": description}}


def _no_data(description: str) -> _RefusalError:
    return _RefusalError(404, "no_data", description)


@web.middleware
async def _answer_late(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer when the latency since the request has passed; the work happens meanwhile."""
    loop = asyncio.get_running_loop()
    due = loop.time() + request.app[_LATENCY]
    try:
        answer: web.StreamResponse = await handler(request)
    except _RefusalError as refusal:
        answer = _json(refusal.body, refusal.status)
    await asyncio.sleep(max(0.0, due - loop.time()))
    return answer


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


# Prices


async def _chart(request: web.Request) -> web.Response:
    symbol = request.match_info["symbol"]
    try:
        if request.query.get("range") == "1d":  # what yfinance asks for a symbol's time zone
            start = tables.last_session()
            end = start + datetime.timedelta(days=1)
        else:
            start = _from_stamp(request.query["period1"])
            end = _from_stamp(request.query["period2"])
    except (KeyError, ValueError, OverflowError):
        return _chart_error(
            400, "Bad Request", "ask for period1 and period2 in Unix seconds, or range=1d"
        )
    rows = tables.prices().get(symbol)
    if rows is None:
        return _chart_error(404, "Not Found", f"No data found, {_inventory()}")
    if end <= rows[0].date:
        return _chart_error(
            400,
            "Bad Request",
            f"Data doesn't exist for this range, it runs from {rows[0].date} to {rows[-1].date}",
        )
    bars = [row for row in rows if start <= row.date < end]
    return _json({"chart": {"result": [_chart_result(symbol, bars)], "error": None}})


def _chart_result(symbol: str, rows: Sequence[PriceRow]) -> Mapping[str, Any]:
    """The rows as a v8 result."""
    stamps = [_opening_stamp(row.date) for row in rows]
    columns = list(zip(*(row.ohlcv for row in rows), strict=True)) or [()] * 5
    dividends = {
        str(stamp): {"amount": row.dividend, "date": stamp}
        for stamp, row in zip(stamps, rows, strict=True)
        if row.dividend
    }
    splits = {
        str(stamp): {
            "date": stamp,
            "numerator": row.split,
            "denominator": 1.0,
            "splitRatio": f"{row.split:g}:1",
        }
        for stamp, row in zip(stamps, rows, strict=True)
        if row.split
    }
    events = {k: v for k, v in (("dividends", dividends), ("splits", splits)) if v}
    quote = dict(zip(("open", "high", "low", "close", "volume"), columns, strict=True))
    return {
        "meta": {
            "currency": "USD",
            "symbol": symbol,
            "instrumentType": "INDEX" if symbol.startswith("^") else "EQUITY",
            "gmtoffset": -18000,
            "timezone": "EST",
            "exchangeTimezoneName": "America/New_York",
            "dataGranularity": "1d",
            "range": "",
        },
        **({"timestamp": stamps} if rows else {}),
        **({"events": events} if events else {}),
        "indicators": {"quote": [quote if rows else {}]},
    }


def _chart_error(status: int, code: str, description: str) -> web.Response:
    error = {"code": code, "description": description}
    return _json({"chart": {"result": None, "error": error}}, status)


def _from_stamp(text: str) -> datetime.date:
    return datetime.datetime.fromtimestamp(int(text), datetime.UTC).date()


def _opening_stamp(day: datetime.date) -> int:
    return int(datetime.datetime.combine(day, _OPENING, NEW_YORK).timestamp())


# Everything else


async def _statements(request: web.Request) -> web.Response:
    symbol, kind = request.match_info["symbol"], request.match_info["kind"]
    as_of, session = _dates(request)
    filed_by = AsOf(as_of).filings_until
    concepts = CONCEPTS.get(kind)
    if concepts is None:
        raise _no_data(f"There is no statement {kind}: ask for {_list(CONCEPTS)}.")
    _check_symbol(symbol)
    facts = tables.statements().get(symbol)
    if facts is None:
        raise _no_data(
            f"The embedded data set has no statements of {symbol}, "
            f"only of {_list(tables.statements())}.",
        )
    public = tuple(fact for fact in facts if fact.concept in concepts and fact.filed <= filed_by)
    if not public:
        raise _no_data(
            f"No statement of {symbol} in the embedded data set was known by {as_of}: "
            "choose a later date.",
        )
    return _json(Statements(symbol, kind, session, public, "USD", source=FACT_SOURCE))


async def _filings(request: web.Request) -> web.Response:
    symbol = request.match_info["symbol"]
    as_of, session = _dates(request)
    filed_by = AsOf(as_of).filings_until
    forms = tuple(form for form in request.query.get("forms", "").split(",") if form)
    _check_symbol(symbol)
    filings = [row for row in tables.filings().get(symbol, ()) if row.filed <= filed_by]
    matches = tuple(row for row in filings if row.form.removesuffix("/A") in forms)
    if not matches:
        others = sorted({row.form for row in filings})
        raise _no_data(
            f"The embedded data set has no {_list(forms) or 'such'} filings of {symbol} "
            f"by {as_of}, only {_list(others) if others else 'prices'}.",
        )
    return _json(Filings(symbol, session, filings[0].filed, matches, source=FACT_SOURCE))


async def _insiders(request: web.Request) -> web.Response:
    symbol = request.match_info["symbol"]
    as_of, session = _dates(request)
    filed_by = AsOf(as_of).filings_until
    _check_symbol(symbol)
    filings = [row for row in tables.filings().get(symbol, ()) if row.filed <= filed_by]
    reports = tuple(row for row in filings if row.form in INSIDER_FORMS)
    if not reports:
        raise _no_data(
            f"The embedded data set has no insider reports of {symbol} by {as_of}, "
            f"only of {_list(_with_insiders())}.",
        )
    return _json(Insiders(symbol, session, filings[0].filed, reports, source=FACT_SOURCE))


def _with_insiders() -> list[str]:
    filings = tables.filings().items()
    return [name for name, rows in filings if any(row.form in INSIDER_FORMS for row in rows)]


async def _macro(request: web.Request) -> web.Response:
    series = request.match_info["series"]
    as_of, _ = _dates(request)
    observations = tables.macro().get(series)
    if observations is None:
        raise _no_data(
            f"The embedded data set has no series {series[:40]}, only {_list(tables.macro())}.",
        )
    public = tuple(row for row in observations if row.available <= as_of)
    source = "embedded data set (FRED)" if series != "VIX" else "embedded data set (Cboe VIX)"
    return _json(Series(series, series in tables.REVISED_SERIES, public, source=source))


def _dates(request: web.Request) -> tuple[datetime.date, datetime.date]:
    """The as-of date of a request, and the last session up to it."""
    first, last = tables.first_session(), tables.last_session()
    try:
        as_of = datetime.date.fromisoformat(request.query.get("as_of", ""))
    except ValueError:
        raise _RefusalError(400, "bad_date", "Ask with as_of=YYYY-MM-DD.") from None
    if not first <= as_of <= last + STALE_AFTER:
        raise _RefusalError(
            400,
            "bad_date",
            f"The embedded data set has nothing for {as_of}: choose a date from {first} "
            f"to {last + STALE_AFTER}.",
        )
    days = (row.date for row in reversed(tables.prices()["^GSPC"]))
    return as_of, next(day for day in days if day <= as_of)


def _check_symbol(symbol: str) -> None:
    if symbol not in tables.prices():
        raise _RefusalError(404, "unknown_symbol", f"{symbol[:40]} is unknown, {_inventory()}.")


def _inventory() -> str:
    return f"the embedded data set holds {_list(tables.prices())}"


def _list(names: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(names)

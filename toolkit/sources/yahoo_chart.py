"""Daily bars from Yahoo's chart interface (v8), or from any server of the same format.

Yahoo adjusts its prices for every split up to today. Therefore each request runs up to today: the
splits after the as-of date are in the answer, and are undone, which gives the price that people saw
on that day. Yahoo's dividend-adjusted closes are not used: they contain later dividends.

Where Yahoo refuses the pool (401, 403, 429), the same request is made once more over yfinance's own
session, which looks like a browser.
"""

import asyncio
import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
from opentelemetry.trace import Span
from yarl import URL

from trading_graph.otel.trace import semconv
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.as_of import NEW_YORK, AsOf, Clock, new_york_day, utc_now
from trading_graph.toolkit.bars import Bars, Event, make_bars
from trading_graph.toolkit.errors import (
    BadAnswerError,
    BadDateError,
    DataError,
    HttpStatusError,
    NoDataError,
    SourceUnavailableError,
    UnknownSymbolError,
)
from trading_graph.toolkit.live_access import DataMode
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.sources.source import BROWSER_HEADERS, clean, fetch_span
from trading_graph.toolkit.sources.yahoo_browser import as_browser, is_refusal
from trading_graph.toolkit.symbols import Identity, identify
from trading_graph.toolkit.unit_jumps import in_one_unit

SPAN_SOURCE = "yahoo_chart"

LOOK_BACK = datetime.timedelta(days=3 * 366)

_COLUMNS = ("open", "high", "low", "close", "volume")
_DAY = datetime.timedelta(days=1)
_MAX_NAME = 60
_NOT_IN_NAMES = re.compile(r"[^\w .,&'()/+-]")
_MAX_WORD = 8


class YahooChart:
    """A PriceSource: about three years of bars up to a day with one request."""

    def __init__(
        self,
        pool: HttpPool,
        base_url: str,
        *,
        source: str,
        data_mode: DataMode,
        clock: Clock = utc_now,
    ) -> None:
        self._pool = pool
        self._base_url = base_url
        self.name = source
        self.data_mode = data_mode
        self._clock = clock

    async def bars(self, symbol: str, as_of: AsOf) -> Bars:
        """The bars up to `as_of`, at least one; the day's own only after its close.

        Raises UnknownSymbolError, BadDateError (before the data), NoDataError, or
        SourceUnavailableError.
        """
        now = self._clock()
        url = chart_url(self._base_url, symbol, as_of, new_york_day(now))
        with fetch_span(SPAN_SOURCE, self.data_mode, symbol=symbol, as_of=as_of) as span:
            try:
                payload = await self._ask(url, span)
            except HttpStatusError as refusal:
                raise _explain(refusal, symbol, as_of) from None
            last = as_of.date if as_of.cutoff <= now else as_of.date - _DAY
            # In a thread: an exchange's time zone is read from disk.
            chart = await asyncio.to_thread(parse_chart, payload, symbol, self.name)
            if not len(chart):
                raise NoDataError(
                    f"{self.name} has no bars of {symbol} up to {last}: choose another date."
                )
            if chart.day(0) > last:
                raise BadDateError(
                    f"The prices of {symbol} from {self.name} begin with {chart.day(0)}: "
                    "choose a later date."
                )
            # Only then neighbours are compared: what comes later changes nothing.
            bars = in_one_unit(chart.on_basis_of(as_of.date).until(last))
            span.set_attributes(
                {semconv.ROWS: len(bars), data_attributes.DATA_AS_OF: bars.session.isoformat()}
            )
            return bars

    async def _ask(self, url: URL, span: Span) -> Any:
        """The chart answer: over the pool, else once as a browser."""
        try:
            return await self._pool.get_json(url, headers=BROWSER_HEADERS)
        except SourceUnavailableError as refusal:
            if self.data_mode != "live" or not is_refusal(refusal):
                raise
            span.set_attribute(semconv.FETCH_FALLBACK, "browser")
            return await as_browser(self.name, url, self._base_url)


def chart_url(base_url: str, symbol: str, as_of: AsOf, today: datetime.date) -> URL:
    """The address of daily bars from about three years before the as-of date up to today."""
    # Yahoo's end is exclusive: the range ends with the next day to include the day's own bar.
    start, end = as_of.date - LOOK_BACK, max(today, as_of.date) + _DAY
    path = URL(f"{base_url}/v8/finance/chart/{quote(symbol, safe='')}", encoded=True)
    return path.with_query(
        period1=str(_midnight(start)),
        period2=str(_midnight(end)),
        interval="1d",
        events="div,splits",
    )


def parse_chart(payload: Any, symbol: str, source: str) -> Bars:
    """The bars of a v8 chart answer; BadAnswerError for another shape.

    Bars that cannot be right by themselves are mended or left out. Yahoo omits `timestamp` when it
    has no bars. This may read a time zone from disk.
    """
    try:
        result = payload["chart"]["result"][0]
        meta = result["meta"]
        zone = ZoneInfo(name) if (name := meta.get("exchangeTimezoneName")) else NEW_YORK
        stamps: Sequence[int] = result.get("timestamp") or ()
        quotes: Mapping[str, Sequence[float | None]] = result["indicators"]["quote"][0]
        columns = [quotes[name] if stamps else () for name in _COLUMNS]
        events = result.get("events") or {}
        dividends = [
            (_day(event["date"], zone), float(event["amount"]))
            for event in (events.get("dividends") or {}).values()
        ]
        splits = [_split(event, zone) for event in (events.get("splits") or {}).values()]
        return make_bars(
            symbol,
            [_day(stamp, zone) for stamp in stamps],
            columns,
            dividends=dividends,
            splits=splits,
            currency=clean(meta.get("currency") or "", _MAX_WORD),
            identity=_identity(meta, symbol, source),
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BadAnswerError(
            f"{source} answered for {symbol} with something that is not a v8 chart "
            f"({type(error).__name__}): try later, or run with the embedded data."
        ) from error


def _identity(meta: Mapping[str, Any], symbol: str, source: str) -> Identity:
    """What the answer says the symbol is; names are a stranger's, so only plain ones pass whole."""
    form = identify(symbol, yahoo_type=meta.get("instrumentType") or "")
    return replace(
        form,
        name=_name(meta.get("longName") or meta.get("shortName") or ""),
        exchange=_name(meta.get("fullExchangeName") or meta.get("exchangeName") or ""),
        currency=clean(meta.get("currency") or "", _MAX_WORD),
        source=source,
    )


def _name(text: str) -> str:
    return clean(_NOT_IN_NAMES.sub(" ", text), _MAX_NAME)


def _day(stamp: int, zone: ZoneInfo) -> datetime.date:
    return datetime.datetime.fromtimestamp(stamp, zone).date()


def _split(event: Mapping[str, Any], zone: ZoneInfo) -> Event:
    return _day(event["date"], zone), float(event["numerator"]) / float(event["denominator"])


def _midnight(day: datetime.date) -> int:
    return int(datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp())


def _explain(refusal: HttpStatusError, symbol: str, as_of: AsOf) -> DataError:
    """What a refusal means, by the error in the chart answer."""
    try:
        error = msgspec.json.decode(refusal.body)["chart"]["error"]
        reason = str(error["description"]).strip().rstrip(".")[:300]
    except (msgspec.DecodeError, KeyError, TypeError):
        return refusal
    if refusal.status == 404:
        return UnknownSymbolError(
            f"There is no price data for {symbol} ({reason}): check the symbol."
        )
    if "doesn't exist" in reason:
        return BadDateError(
            f"There is no price data for {symbol} up to {as_of} ({reason}): choose a later date."
        )
    return refusal

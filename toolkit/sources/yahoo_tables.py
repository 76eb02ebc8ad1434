"""Statements and insiders' trades from Yahoo, read by yfinance: for companies that SEC lacks.

yfinance's scrapers know Yahoo's interfaces and tables (see `yfinance_reader`). Their requests go
over our pool. Where Yahoo refuses that (401, 403, 429), the same work runs once more over
yfinance's own session, which looks like a browser. Both run in worker threads, because yfinance
blocks.

Yahoo says when a period ended, not when it was reported. A report counts from the session after the
last day that the country of listing allows for it (`reporting_deadlines`); a trade from the session
after the second business day from its date. Per-share values and share counts are left out: Yahoo
restates them for later splits without saying so.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from yarl import URL

from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import (
    BadAnswerError,
    DataError,
    HttpStatusError,
    NoDataError,
    SourceUnavailableError,
)
from trading_graph.toolkit.live_access import REAL_URLS, BaseUrls, DataMode
from trading_graph.toolkit.pool import HttpPool, HttpResponse
from trading_graph.toolkit.records import Insiders, Statements
from trading_graph.toolkit.sources.source import BROWSER_HEADERS, fetch_span
from trading_graph.toolkit.sources.yahoo_browser import in_thread, is_refusal

if TYPE_CHECKING:
    from trading_graph.toolkit.sources.yfinance_reader import YahooReader

Row = TypeVar("Row")

_COOKIE_URL = "https://fc.yahoo.com/"
_CRUMB_URL = "https://query1.finance.yahoo.com/v1/test/getcrumb"
_NEEDS_CRUMB = "/v10/finance/quoteSummary/"
_MAX_CRUMB = 64
_NOBODY_WAITS = "Nobody waits for Yahoo's answer any more: ask again."


class YahooTables:
    """A FundamentalsSource and InsiderSource by way of yfinance."""

    name = "Yahoo (yfinance)"
    data_mode: DataMode = "live"

    def __init__(self, pool: HttpPool, urls: BaseUrls) -> None:
        self._pool = pool
        self._base_url = urls.yahoo
        self._crumb = Crumb(pool, urls.yahoo)

    async def statements(self, symbol: str, as_of: AsOf, kind: str) -> Statements:
        """The facts of a kind of statement (income, balance, cash_flow) by their assumed dates."""
        rows = await self._read(
            f"yahoo_{kind}", symbol, as_of, lambda reader: tuple(reader.facts(symbol, kind))
        )
        public = [row for row in rows if row[0].filed <= as_of.filings_until]
        if not public:
            raise NoDataError(
                f"{self.name} has no statements of {symbol} that were out by {as_of}: "
                "choose a later date, or another symbol."
            )
        newest_first = sorted(public, key=lambda row: row[0].end, reverse=True)
        currency = next((code for _, code in newest_first if code), "")
        facts = tuple(fact for fact, code in public if code in (currency, ""))
        others = {code for _, code in public} - {currency, ""}
        return Statements(symbol, kind, as_of.session, facts, currency, tuple(sorted(others)))

    async def insiders(self, symbol: str, as_of: AsOf) -> Insiders:
        """The trades of insiders by their assumed dates."""
        rows = await self._read(
            "yahoo_insiders", symbol, as_of, lambda reader: tuple(reader.trades(symbol))
        )
        if not rows:
            raise NoDataError(f"{self.name} has no insiders' trades of {symbol}: do without them.")
        trades = tuple(sorted(rows, key=lambda trade: (trade.traded, trade.who)))
        return Insiders(symbol, as_of.session, trades[0].traded, trades=trades)

    async def _read(
        self,
        source: str,
        symbol: str,
        as_of: AsOf,
        read: "Callable[[YahooReader], tuple[Row, ...]]",
    ) -> tuple[Row, ...]:
        """The rows that `read` makes in a worker thread: over the pool, else as a browser."""

        def read_with(data: PoolData | None) -> tuple[Row, ...]:
            # Here, because yfinance takes a second to import, and only this source uses it.
            from trading_graph.toolkit.sources import yfinance_reader

            return yfinance_reader.run(self.name, read, data, self._base_url)

        with fetch_span(source, self.data_mode, symbol=symbol, as_of=as_of) as span:
            data = PoolData(self._pool, self._base_url, self._crumb)
            try:
                rows = await in_thread(lambda: read_with(data))
            except asyncio.CancelledError:
                data.give_up()
                raise
            except SourceUnavailableError as refusal:
                if not is_refusal(refusal):
                    raise
                span.set_attribute(semconv.FETCH_FALLBACK, "browser")
                rows = await in_thread(lambda: read_with(None))
            span.set_attribute(semconv.ROWS, len(rows))
            return rows


def yahoo_url(url: str, base_url: str) -> URL:
    """A URL of Yahoo's as it is, or at another base URL that replaces all of Yahoo's hosts."""
    address = URL(url, encoded=True)
    if base_url == REAL_URLS.yahoo:
        return address
    base = URL(base_url)
    return address.with_scheme(base.scheme).with_host(base.host or "").with_port(base.port)


class Crumb:
    """The word that Yahoo wants repeated in some requests, with the cookie that belongs to it.

    The cookie lives in the pool's session.
    """

    def __init__(self, pool: HttpPool, base_url: str) -> None:
        self._pool = pool
        self._base_url = base_url
        self._lock = asyncio.Lock()
        self._crumb: str | None = None

    async def get(self, old: str | None = None) -> str:
        """The crumb; a new one if the present one is `old`. Raises errors of the pool."""
        async with self._lock:
            if self._crumb is None or self._crumb == old:
                self._crumb = await self._fetch()
            return self._crumb

    async def _fetch(self) -> str:
        with suppress(HttpStatusError):  # the answer is 404, but its cookie counts
            await self._pool.get_bytes(
                yahoo_url(_COOKIE_URL, self._base_url), headers=BROWSER_HEADERS
            )
        answer = await self._pool.get_bytes(
            yahoo_url(_CRUMB_URL, self._base_url), headers=BROWSER_HEADERS
        )
        crumb = answer.body.decode("utf-8", "replace").strip()
        if not crumb or len(crumb) > _MAX_CRUMB or "<" in crumb or " " in crumb:
            raise BadAnswerError("Yahoo gave no crumb: try later, or run with the embedded data.")
        return crumb


@dataclass(frozen=True, slots=True)
class _YahooResponse:
    """The part of a response that yfinance reads."""

    url: str
    status_code: int
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        return msgspec.json.decode(self.content)


class PoolData:
    """Replaces yfinance's `YfData` during one piece of work in a worker thread.

    yfinance's scrapers ask it for everything; it has the pool make each request on the event loop.
    After an error every further request raises that error again: yfinance would go on asking, in
    smaller pieces. `give_up` cancels the request under way.
    """

    fundamentals_use_chunked = False

    def __init__(self, pool: HttpPool, base_url: str, crumb: Crumb) -> None:
        self._pool = pool
        self._base_url = base_url
        self._crumb = crumb
        self._loop = asyncio.get_running_loop()
        self._error: DataError | None = None
        self._response: Future[HttpResponse] | None = None

    def give_up(self) -> None:
        """Cancel the request under way and refuse further ones; call this on the event loop."""
        self._error = SourceUnavailableError(_NOBODY_WAITS)
        if self._response is not None:
            self._response.cancel()

    def get(
        self, url: str, params: Mapping[str, Any] | None = None, timeout: float = 30
    ) -> _YahooResponse:
        """GET a URL and wait for the answer; never on the event loop's own thread."""
        texts = {name: str(value) for name, value in (params or {}).items()}
        if self._error is not None:
            raise self._error
        request = self._get(url, texts)
        try:
            self._response = asyncio.run_coroutine_threadsafe(request, self._loop)
            answer = self._response.result()
        except DataError as error:
            self._error = error
            raise
        except (CancelledError, RuntimeError) as error:  # nobody waits, or the loop has ended
            if isinstance(error, RuntimeError):
                request.close()
            self._error = SourceUnavailableError(_NOBODY_WAITS)
            raise self._error from None
        return _YahooResponse(str(answer.url), answer.status, answer.body)

    cache_get = get

    def get_raw_json(
        self, url: str, params: Mapping[str, Any] | None = None, timeout: float = 30
    ) -> Any:
        """The JSON document at a URL."""
        return self.get(url, params, timeout).json()

    async def _get(self, url: str, params: dict[str, str]) -> HttpResponse:
        if self._error is not None:
            raise self._error
        address = yahoo_url(url, self._base_url)
        if _NEEDS_CRUMB not in address.path:
            return await self._pool.get_bytes(address, params=params, headers=BROWSER_HEADERS)
        crumb = await self._crumb.get()
        try:
            return await self._pool.get_bytes(
                address, params={**params, "crumb": crumb}, headers=BROWSER_HEADERS
            )
        except HttpStatusError as refusal:
            if refusal.status != 401:
                raise
        crumb = await self._crumb.get(old=crumb)
        return await self._pool.get_bytes(
            address, params={**params, "crumb": crumb}, headers=BROWSER_HEADERS
        )

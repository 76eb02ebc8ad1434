"""The two ways in which yfinance's own code reaches Yahoo here: over our pool, or as a browser.

yfinance's scrapers ask an object of class `YfData` for everything. `PoolData` stands in for it: it
is called in a worker thread and has the pool make the request on the event loop. `browser_data`
gives yfinance's own, whose session speaks TLS as Chrome does, for hosts that refuse other clients.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from yarl import URL

from trading_graph.toolkit.errors import BadAnswer, DataError, HttpStatus, SourceUnavailable
from trading_graph.toolkit.pool import HttpPool, HttpResponse
from trading_graph.toolkit.sources.base_urls import REAL
from trading_graph.toolkit.sources.browser import BROWSER_HEADERS

_COOKIE_URL = "https://fc.yahoo.com/"
_CRUMB_URL = "https://query1.finance.yahoo.com/v1/test/getcrumb"
_CRUMBED = "/v10/finance/quoteSummary/"
_MAX_CRUMB = 64
_FORSAKEN = "Nobody waits for Yahoo's answer any more: ask again."


def place(url: str, base_url: str) -> URL:
    """Where a URL of Yahoo's is to be asked: as it is, or at another base for all its hosts."""
    address = URL(url, encoded=True)
    if base_url == REAL.yahoo:
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

    async def get(self, refused: str | None = None) -> str:
        """The crumb; a new one if the one known is `refused`. Raises errors of the pool."""
        async with self._lock:
            if self._crumb is None or self._crumb == refused:
                self._crumb = await self._ask()
            return self._crumb

    async def _ask(self) -> str:
        with suppress(HttpStatus):  # it answers 404, and its cookie counts all the same
            await self._pool.get_bytes(place(_COOKIE_URL, self._base_url), headers=BROWSER_HEADERS)
        answer = await self._pool.get_bytes(
            place(_CRUMB_URL, self._base_url), headers=BROWSER_HEADERS
        )
        crumb = answer.body.decode("utf-8", "replace").strip()
        if not crumb or len(crumb) > _MAX_CRUMB or "<" in crumb or " " in crumb:
            raise BadAnswer("Yahoo gave no crumb: try later, or run with the embedded data.")
        return crumb


@dataclass(frozen=True, slots=True)
class _Answer:
    """What yfinance reads of a response."""

    url: str
    status_code: int
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        return msgspec.json.decode(self.content)


class PoolData:
    """Stands in for yfinance's `YfData` during one piece of work in a worker thread.

    After an error every further request raises it again: yfinance would ask on, in smaller pieces.
    `give_up` cancels what is under way.
    """

    fundamentals_use_chunked = False

    def __init__(self, pool: HttpPool, base_url: str, crumb: Crumb) -> None:
        self._pool = pool
        self._base_url = base_url
        self._crumb = crumb
        self._loop = asyncio.get_running_loop()
        self._failed: DataError | None = None
        self._waiting: Future[HttpResponse] | None = None
        self._request: asyncio.Task[HttpResponse] | None = None

    def give_up(self) -> None:
        """End the work: cancel the request under way and refuse further ones; on the loop."""
        self._failed = SourceUnavailable(_FORSAKEN)
        if self._request is not None:
            self._request.cancel()
        if self._waiting is not None:
            self._waiting.cancel()

    def get(
        self, url: str, params: Mapping[str, Any] | None = None, timeout: float = 30
    ) -> _Answer:
        """Ask for a URL and wait for the answer; never on the event loop's own thread."""
        asked = {name: str(value) for name, value in (params or {}).items()}
        self._waiting = waiting = Future[HttpResponse]()

        def start() -> None:
            if self._failed is None:
                self._request = self._loop.create_task(self._ask(url, asked))
                self._request.add_done_callback(lambda done: _settle(waiting, done))

        try:
            if self._failed is not None:
                raise self._failed
            self._loop.call_soon_threadsafe(start)
            answer = waiting.result()
        except DataError as error:
            self._failed = error
            raise
        except (CancelledError, RuntimeError):  # nobody waits, or the loop has ended
            self._failed = self._failed or SourceUnavailable(_FORSAKEN)
            raise self._failed from None
        return _Answer(str(answer.url), answer.status, answer.body)

    cache_get = get

    def get_raw_json(
        self, url: str, params: Mapping[str, Any] | None = None, timeout: float = 30
    ) -> Any:
        """The JSON at a URL."""
        return self.get(url, params, timeout).json()

    async def _ask(self, url: str, params: dict[str, str]) -> HttpResponse:
        address = place(url, self._base_url)
        if _CRUMBED not in address.path:
            return await self._pool.get_bytes(address, params=params, headers=BROWSER_HEADERS)
        crumb = await self._crumb.get()
        try:
            return await self._pool.get_bytes(
                address, params={**params, "crumb": crumb}, headers=BROWSER_HEADERS
            )
        except HttpStatus as refusal:
            if refusal.status != 401:
                raise
        crumb = await self._crumb.get(refused=crumb)
        return await self._pool.get_bytes(
            address, params={**params, "crumb": crumb}, headers=BROWSER_HEADERS
        )


def _settle(waiting: "Future[HttpResponse]", done: "asyncio.Task[HttpResponse]") -> None:
    """Hand what a request came to over to the thread that waits, if it still does."""
    error = None if done.cancelled() else done.exception()
    if done.cancelled():
        waiting.cancel()
    elif waiting.cancelled():
        return
    elif error is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(done.result())


def browser_data(base_url: str) -> Any:
    """Yfinance's own `YfData` on a session of its own that looks like Chrome's; blocks."""
    from curl_cffi.requests import Session
    from yfinance.data import YfData

    class PlacedSession(Session):  # type: ignore[type-arg]
        def request(self, method: Any, url: str, *args: Any, **options: Any) -> Any:
            return super().request(method, str(place(url, base_url)), *args, **options)

    class BrowserData(YfData):  # type: ignore[misc]
        def get(self, *args: Any, **options: Any) -> Any:
            answer = super().get(*args, **options)
            answer.raise_for_status()
            return answer

        cache_get = get  # its own would keep answers for good

        # Nothing on disk: a cookie left there by another program is not this session's.
        def _load_cookie_curlCffi(self) -> bool:
            return False

        def _save_cookie_curlCffi(self) -> bool:
            return False

    # Past the metaclass, which would hand out one instance for the whole process.
    return type.__call__(BrowserData, PlacedSession(impersonate="chrome"))

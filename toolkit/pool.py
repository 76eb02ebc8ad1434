"""The HTTP pool: one aiohttp session for all market data, with limits on everything.

Connections are kept alive and shared; a host gets at most 30 at once. An answer has a limit in
time and in decompressed size. Whatever goes wrong is an error of `toolkit.errors`; its message
names host and path, never the query, which may hold a key.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from opentelemetry import trace
from yarl import URL

from otel.trace import semconv
from toolkit.errors import BadAnswer, DataError, HttpStatus, RateLimited, SourceUnavailable
from toolkit.host_policy import HostPolicies, HostPolicy
from toolkit.http_spans import PoolMeter, PoolStatistics
from toolkit.single_flight import note_load_span

# Yahoo's pages send header lines above the default of 8,190 bytes.
_HEADER_BYTES = 32768

_CHUNK_BYTES = 65536

# Of an answer that is not success, as much as explains it.
_REASON_BYTES = 65536

_DNS_CACHE_S = 300


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A successful answer: status 2xx, headers, decompressed body, and the URL that served it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: URL


@dataclass(frozen=True, slots=True)
class PoolConnections:
    """A pool's connections at one moment: in use, kept open for the next request, waited for."""

    in_use: int
    idle: int
    waiting: int


class HttpPool:
    """Makes HTTP requests over shared connections, inside `async with`.

    The session belongs to the event loop in which the block was entered: use from outside the
    block or from another loop is a RuntimeError. Making a pool touches no loop. Times are in
    seconds; `connect_s` covers the wait for a free connection, `sock_read_s` the silence between
    two packets. `policies` are the rules by `host` or `host:port`, `default_policy` those of every
    other host. `pooled=False` opens a new session and connection for every request, the slow way
    on purpose.
    """

    def __init__(
        self,
        limit: int = 100,
        limit_per_host: int = 30,
        total_s: float = 15,
        connect_s: float = 5,
        sock_connect_s: float = 3,
        sock_read_s: float = 10,
        policies: Mapping[str, HostPolicy] | None = None,
        default_policy: HostPolicy | None = None,
        pooled: bool = True,
    ) -> None:
        self._limit = limit
        self._limit_per_host = limit_per_host
        self._timeout = aiohttp.ClientTimeout(
            total=total_s, connect=connect_s, sock_connect=sock_connect_s, sock_read=sock_read_s
        )
        self._policies = HostPolicies(policies or {}, default_policy or HostPolicy())
        self._pooled = pooled
        self._meter = PoolMeter()
        self._trace_configs = self._meter.trace_configs()
        self._running = 0
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def statistics(self) -> PoolStatistics:
        """Requests, connections and waits for a free one since the pool was made."""
        return self._meter.statistics

    @property
    def connections(self) -> PoolConnections:
        """The connections at this moment; may be asked from any thread."""
        session, waiting = self._session, self._meter.waiting
        idle = 0
        if session is not None and session.connector is not None:
            # aiohttp tells nobody; the tuple, because the loop's thread may change the mapping.
            idle = sum(len(kept) for kept in tuple(session.connector._conns.values()))
        return PoolConnections(max(0, self._running - waiting), idle, waiting)

    async def __aenter__(self) -> Self:
        """Open the session in the running loop."""
        if self._session is not None:
            raise RuntimeError("This HttpPool is open already: enter it once, and share it.")
        self._loop = asyncio.get_running_loop()
        self._session = self._open_session()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session and its connections."""
        session, self._session, self._loop = self._session, None, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # transports close in the loop's next turn

    async def get_json(
        self,
        url: str | URL,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """GET a JSON document; errors as `get_bytes`, and BadAnswer where the body is not JSON."""
        answer = await self.get_bytes(url, params=params, headers=headers)
        try:
            return msgspec.json.decode(answer.body)
        except msgspec.DecodeError:
            content_type = answer.headers.get("Content-Type", "no content type")
            raise BadAnswer(
                f"{_place(answer.url)} answered {answer.status} with {content_type} that is not "
                "valid JSON: check that the address is the source's data interface, or try later."
            ) from None

    async def get_bytes(
        self,
        url: str | URL,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """GET a document whole; the current span gets its decompressed size.

        Raises RateLimited for 429, HttpStatus for any other status that is not 2xx, BadAnswer for
        too large a body or an answer that is not HTTP, SourceUnavailable for everything else that
        keeps the answer from arriving.
        """
        session = self._opened()
        address = URL(url)
        if params:
            address = address.update_query(params)
        note_load_span()
        self._running += 1
        try:
            if self._pooled:
                return await self._get(session, address, headers)
            async with self._open_session() as own:
                return await self._get(own, address, headers)
        except (aiohttp.ClientError, TimeoutError) as error:
            # Not chained: the exception's text may repeat the query.
            raise self._failure(address, error) from None
        finally:
            self._running -= 1

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("This HttpPool is not open: use it inside `async with HttpPool()`.")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "This HttpPool belongs to another event loop: open one in the loop that uses it."
            )
        return self._session

    def _open_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._limit,
                limit_per_host=self._limit_per_host,
                ttl_dns_cache=_DNS_CACHE_S,
            ),
            timeout=self._timeout,
            trace_configs=self._trace_configs,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )

    async def _get(
        self, session: aiohttp.ClientSession, url: URL, headers: Mapping[str, str] | None
    ) -> HttpResponse:
        async with session.get(url, headers=headers) as answer:
            if not 200 <= answer.status < 300:
                raise await _refusal(answer)
            limit = self._policies.of(url.host or "", url.port or 0).max_body_bytes
            body = await _read(answer, limit)
            if body is None:
                raise BadAnswer(
                    f"{_place(answer.url)} sent more than {limit} bytes (decompressed): "
                    "ask for less at once."
                )
            trace.get_current_span().set_attribute(semconv.RESPONSE_BYTES, len(body))
            return HttpResponse(answer.status, answer.headers, body, answer.url)

    def _failure(self, url: URL, error: Exception) -> DataError:
        place, limits = _place(url), self._timeout
        match error:
            case aiohttp.ConnectionTimeoutError():
                return SourceUnavailable(
                    f"{place} gave no connection in time (limit {limits.connect:g} s, the wait for "
                    "a free one included): try again later, or ask for less at once."
                )
            case aiohttp.SocketTimeoutError():
                return SourceUnavailable(
                    f"{place} fell silent for {limits.sock_read:g} s: try again later."
                )
            case TimeoutError():
                return SourceUnavailable(
                    f"{place} did not finish its answer within {limits.total:g} s: try again later."
                )
            case aiohttp.ClientConnectorError():
                return SourceUnavailable(
                    f"{place} cannot be reached ({error.strerror or type(error).__name__}): "
                    "check the network and the address."
                )
            case aiohttp.TooManyRedirects():
                return SourceUnavailable(f"{place} redirects in circles: check the address.")
            case aiohttp.ClientResponseError():
                return BadAnswer(f"{place} sent an answer that is not HTTP: check the address.")
            case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
                return SourceUnavailable(f"{place} broke off its answer: try again later.")
        return SourceUnavailable(
            f"{place} cannot be asked ({type(error).__name__}): check the address."
        )


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The decompressed body, or None and a closed connection where it exceeds `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        size += len(chunk)
        if size > limit:
            answer.close()
            return None
        chunks.append(chunk)
    return b"".join(chunks)


async def _refusal(answer: aiohttp.ClientResponse) -> DataError:
    """The error for a status that is not success; its body is read, so the connection serves on."""
    body = b""
    with suppress(aiohttp.ClientError, TimeoutError):
        body = await _read(answer, _REASON_BYTES) or b""
    said = f"{_place(answer.url)} answered {answer.status}"
    match answer.status:
        case 429:
            wait = answer.headers.get("Retry-After", "")
            when = f"in {wait} s" if wait.isdecimal() else "later"
            return RateLimited(f"{said}, too many requests: try again {when}.")
        case 401 | 403:
            advice = "check the key and the User-Agent."
        case 404:
            advice = "nothing is there, check what was asked for."
        case status if status >= 500:
            advice = "try again later."
        case _:
            advice = "check what was asked for."
    return HttpStatus(f"{said}: {advice}", status=answer.status, body=body)


def _place(url: URL) -> str:
    """Host, port if unusual, and path: what a message may name."""
    port = "" if url.is_default_port() else f":{url.port}"
    return f"{url.host}{port}{url.raw_path}"

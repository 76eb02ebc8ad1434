"""The HTTP pool: one aiohttp session for all market data, with limits on everything.

Connections are kept alive and shared; a host gets at most 30 at once. Each host has rules of its
own (`HostPolicy`): how often it is asked, how often again, and when it is left alone. An answer has
a limit in time and in decompressed size. Whatever goes wrong is an error of `toolkit.errors`; its
message names host and path, never the query, which may hold a key.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from opentelemetry import trace
from yarl import URL

from trading_graph.otel.trace import semconv
from trading_graph.toolkit.body import read_body
from trading_graph.toolkit.errors import BadAnswer, SourcePaused
from trading_graph.toolkit.hops import Hops
from trading_graph.toolkit.host_policy import HostPolicies, HostPolicy
from trading_graph.toolkit.hosts import Hosts, HostState
from trading_graph.toolkit.http_errors import ConnectionBroken, failure, place, refusal
from trading_graph.toolkit.http_spans import PoolMeter, PoolStatistics, RequestNotes
from trading_graph.toolkit.single_flight import note_load_span
from trading_graph.toolkit.tries import Tries

# Yahoo's pages send header lines above the default of 8,190 bytes.
_HEADER_BYTES = 32768

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
        self._total_s = total_s
        # The whole time is ours to watch: it stands still while a request waits for its turn.
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect_s, sock_connect=sock_connect_s, sock_read=sock_read_s
        )
        self._policies = HostPolicies(policies or {}, default_policy or HostPolicy())
        self._hosts = Hosts(self._policies)
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
    def hosts(self) -> tuple[HostState, ...]:
        """How each host does that was asked since the pool was opened, by name."""
        return self._hosts.states

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
        self._hosts = Hosts(self._policies)
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
                f"{place(answer.url)} answered {answer.status} with {content_type} that is not "
                "valid JSON: check that the address is the source's data interface, or try later."
            ) from None

    async def get_bytes(
        self,
        url: str | URL,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """GET a document whole, trying again where that may help; the current span gets its size.

        Raises RateLimited for 429, HttpStatus for any other status that is not 2xx, BadAnswer for
        too large a body or an answer that is not HTTP, SourceTimeout for one that takes too long,
        SourcePaused where the host's breaker is open, SourceUnavailable for everything else that
        keeps the answer from arriving. Each try is a span of its own, and an event `retry` on the
        current one.
        """
        session = self._opened()
        address = URL(url)
        if params:
            address = address.update_query(params)
        note_load_span()
        tries = Tries(self._hosts.of(address), self._total_s)
        return await tries.until_answered(lambda: self._try(session, address, headers or {}, tries))

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

    async def _try(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        headers: Mapping[str, str],
        tries: Tries,
    ) -> HttpResponse:
        """One try; `total_s` counts from when it is the request's turn."""
        try:
            with tries.passing() as given:
                self._running += 1
                self._meter.retries += tries.resends > 0
                deadline = asyncio.timeout(self._total_s)
                notes = RequestNotes(tries.resends, given.probe, deadline)
                try:
                    async with deadline:
                        return await self._exchange(session, url, headers, notes)
                except (aiohttp.ClientError, TimeoutError) as error:
                    tries.blameless = isinstance(error, ConnectionBroken) and error.reused
                    # Not chained: the exception's text may repeat the query.
                    raise failure(
                        url, error, self._timeout, self._total_s, in_queue=notes.in_queue
                    ) from None
                finally:
                    self._running -= 1
        except SourcePaused:
            self._meter.refused += 1
            raise

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        headers: Mapping[str, str],
        notes: RequestNotes,
    ) -> HttpResponse:
        if not self._pooled:
            async with self._open_session() as own:
                return await self._get(own, url, headers, notes)
        return await self._get(session, url, headers, notes)

    async def _get(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        headers: Mapping[str, str],
        notes: RequestNotes,
    ) -> HttpResponse:
        host = self._hosts.of(url)
        hops = Hops(self._hosts, host, self._meter, notes, names_agent=_names_agent(headers))
        async with session.get(
            url, headers=headers, middlewares=(hops,), trace_request_ctx=notes
        ) as answer:
            if not 200 <= answer.status < 300:
                raise await refusal(answer)
            limit = host.policy.max_body_bytes
            body = await read_body(answer, limit)
            if body is None:
                raise BadAnswer(
                    f"{place(answer.url)} sent more than {limit} bytes (decompressed): "
                    "ask for less at once."
                )
            trace.get_current_span().set_attribute(semconv.RESPONSE_BYTES, len(body))
            return HttpResponse(answer.status, answer.headers, body, answer.url)


def _names_agent(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == "user-agent" for name in headers)

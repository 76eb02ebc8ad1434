"""The HTTP pool: one aiohttp session for all market data, with a limit on everything.

Connections are kept alive and shared. A host has at most 30 connections at once, and rules of its
own (`HostPolicy`): its rate, its attempts, and its circuit breaker. Time and decompressed size of
an answer are limited. Every failure is an error of `toolkit.errors`. Its message names host and
path, never the query, which may hold a key.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import hdrs
from opentelemetry import trace
from yarl import URL

from trading_graph.otel.redirects import is_followed
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.circuit_breaker import BreakerState
from trading_graph.toolkit.errors import BadAnswerError
from trading_graph.toolkit.house import HouseLimits
from trading_graph.toolkit.http_retries import (
    MAX_REASON_BYTES,
    Attempts,
    ConnectionBrokenError,
    ForeignRedirectError,
    failure,
    place,
    refusal,
)
from trading_graph.toolkit.http_spans import PoolMeter, RequestNotes
from trading_graph.toolkit.rate_limits import Host, HostPolicy, Hosts
from trading_graph.toolkit.single_flight import note_load_span

# Yahoo's pages send header lines above the default of 8,190 bytes.
_HEADER_BYTES = 32768

_CHUNK_BYTES = 65536

# Decoding more than this takes milliseconds, which belong in a thread.
_LARGE_BYTES = 256 * 1024

_DNS_CACHE_S = 300
_TRACE_HEADERS = ("traceparent", "tracestate", "baggage")


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A successful answer: status 2xx, headers, decompressed body, and the URL that served it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: URL


@dataclass(frozen=True, slots=True)
class PoolConnections:
    """The connections of a pool now: in use, idle, and the requests that wait for one."""

    in_use: int
    idle: int
    waiting: int


class HttpPool:
    """Makes HTTP requests over shared connections, inside `async with`.

    The session belongs to the event loop that entered the block. Use outside the block or from
    another loop raises RuntimeError; the constructor touches no loop. Times are in seconds.
    `connect_s` covers the wait for a free connection, `sock_read_s` the silence between two
    packets. `policies` holds the rules by `host` or `host:port`, `default_policy` those of every
    other host. The rates are those of the `house`, if there is one. `pooled=False` opens a new
    session and connection for every request: the slow way, on purpose.
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
        house: HouseLimits | None = None,
    ) -> None:
        self._limit = limit
        self._limit_per_host = limit_per_host
        self._total_s = total_s
        # The pool watches the total itself: it stands still while a request waits for its rate.
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect_s, sock_connect=sock_connect_s, sock_read=sock_read_s
        )
        self._hosts = Hosts(policies or {}, default_policy or HostPolicy(), house)
        self._pooled = pooled
        self._meter = PoolMeter()
        self._trace_configs = self._meter.trace_configs()
        self._running = 0
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def connections(self) -> PoolConnections:
        """The connections now; any thread may read this."""
        session, waiting = self._session, self._meter.waiting
        idle = 0
        if session is not None and session.connector is not None:
            # aiohttp has no public count. The loop's thread may change the mapping: so the tuple.
            idle = sum(len(each) for each in tuple(session.connector._conns.values()))
        return PoolConnections(max(0, self._running - waiting), idle, waiting)

    async def __aenter__(self) -> Self:
        """Open the session in the running loop."""
        if self._session is not None:
            raise RuntimeError("This HttpPool is open already: enter it once, and share it.")
        self._loop = asyncio.get_running_loop()
        self._session = self._make_session()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close the session and its connections."""
        session, self._session, self._loop = self._session, None, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # transports close in the loop's next turn

    async def get_json(
        self,
        url: str | URL,
        kind: Any = Any,
        *,
        source: str = "",
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """GET a JSON document as a type that msgspec decodes; `source` names who answers in errors.

        Errors as `get_bytes`, and BadAnswerError if it is not JSON, or of another shape.
        """
        answer = await self.get_bytes(url, params=params, headers=headers)
        try:
            if len(answer.body) > _LARGE_BYTES:
                return await asyncio.to_thread(msgspec.json.decode, answer.body, type=kind)
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            # The decoder's message may repeat what it read.
            what = "in another format" if isinstance(error, msgspec.ValidationError) else "not JSON"
            content_type = answer.headers.get("Content-Type", "no content type")
            raise BadAnswerError(
                f"{source or place(answer.url)} answered {answer.status} with {content_type} that "
                f"is {what}: check that the address is the source's data interface, or try later."
            ) from None

    async def get_bytes(
        self,
        url: str | URL,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """GET a whole document, and retry where that may help.

        Raises RateLimitError for 429, HttpStatusError for any other status that is not 2xx,
        BadAnswerError for too large a body or an answer that is not HTTP, SourceTimeoutError for a
        slow one, SourcePausedError while the host's breaker is open, and SourceUnavailableError for
        everything else that keeps the answer from arriving. Each attempt is a span of its own, each
        retry an event `retry` on the current span, which also gets the size of the body.
        """
        session = self._require_session()
        address = URL(url)
        if params:
            address = address.update_query(params)
        note_load_span()
        attempts = Attempts(self._hosts.of(address), self._total_s)
        return await attempts.run(lambda: self._attempt(session, address, headers or {}, attempts))

    def _require_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("This HttpPool is not open: use it inside `async with HttpPool()`.")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "This HttpPool belongs to another event loop: open one in the loop that uses it."
            )
        return self._session

    def _make_session(self) -> aiohttp.ClientSession:
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

    async def _attempt(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        headers: Mapping[str, str],
        attempts: Attempts,
    ) -> HttpResponse:
        """One attempt; `total_s` starts when the host's rate lets the request through."""
        with attempts.permit() as permit:
            self._running += 1
            deadline = asyncio.timeout(self._total_s)
            notes = RequestNotes(attempts.resends, permit.probe, deadline)
            try:
                async with deadline:
                    if self._pooled:
                        return await self._get(session, url, headers, notes)
                    async with self._make_session() as own_session:
                        return await self._get(own_session, url, headers, notes)
            except (aiohttp.ClientError, TimeoutError) as error:
                attempts.blameless = isinstance(error, ConnectionBrokenError) and error.reused
                # Not chained: the exception's text may repeat the query.
                raise failure(
                    url, error, self._timeout, self._total_s, in_queue=notes.in_queue
                ) from None
            finally:
                self._running -= 1

    async def _get(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        headers: Mapping[str, str],
        notes: RequestNotes,
    ) -> HttpResponse:
        host = self._hosts.of(url)
        names_agent = any(name.lower() == "user-agent" for name in headers)
        rules = _HostRules(self._hosts, host, self._meter, notes, names_agent=names_agent)
        async with session.get(
            url, headers=headers, middlewares=(rules,), trace_request_ctx=notes
        ) as answer:
            if not 200 <= answer.status < 300:
                try:
                    reason = await _read_body(answer, MAX_REASON_BYTES)
                except aiohttp.ClientError:
                    reason = None
                raise refusal(answer, reason or b"")
            limit = host.policy.max_body_bytes
            body = await _read_body(answer, limit)
            if body is None:
                raise BadAnswerError(
                    f"{place(answer.url)} sent more than {limit} bytes (decompressed): "
                    "ask for less at once."
                )
            trace.get_current_span().set_attribute(semconv.RESPONSE_BYTES, len(body))
            return HttpResponse(answer.status, answer.headers, body, answer.url)


async def _read_body(answer: aiohttp.ClientResponse, limit: int) -> bytes | None:
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


class _HostRules:
    """The aiohttp middleware of one attempt: it applies the rules of each host on the way.

    A redirect may lead to another host, if that belongs to the one that redirects. Rate, User-Agent
    and trace headers are therefore settled for each hop, inside the request's span, so that the
    span shows the wait. `host` is the first one. A User-Agent that the request names takes
    precedence over the hosts' own.
    """

    def __init__(
        self, hosts: Hosts, host: Host, meter: PoolMeter, notes: RequestNotes, *, names_agent: bool
    ) -> None:
        self._hosts = hosts
        self._host = host
        self._meter = meter
        self._notes = notes
        self._names_agent = names_agent
        self._redirecting: URL | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send one hop by its host's rules; raises ForeignRedirectError."""
        self._follow(request.url)
        host = self._hosts.of(request.url)
        if host.rate.busy:
            await self._wait(host)
        else:
            await host.rate.wait()
        if host.policy.user_agent is not None and not self._names_agent:
            request.headers[hdrs.USER_AGENT] = host.policy.user_agent
        if not host.traced:
            for name in _TRACE_HEADERS:
                request.headers.popall(name, None)
        try:
            return await send(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            # aiohttp would send the request a second time by itself, inside the same span.
            raise ConnectionBrokenError(bool(self._notes.reused)) from None

    def _follow(self, url: URL) -> None:
        """Refuse a hop to a host that does not belong to the one before."""
        last, self._redirecting = self._redirecting, url
        if last is not None:
            belonging = self._hosts.of(last).policy.redirects_to
            if not is_followed(str(last), str(url), belonging):
                raise ForeignRedirectError

    async def _wait(self, host: Host) -> None:
        """Wait for the host's rate; the source's time to answer starts afterwards."""
        deadline = self._notes.deadline
        when = deadline.when()
        deadline.reschedule(None)
        with self._meter.count_waiting():
            wait_s = await host.rate.wait()
        self._notes.rate_wait_s += wait_s
        if when is not None:
            deadline.reschedule(when + wait_s)
        if (
            host is self._host
            and not self._notes.probe
            and host.breaker.state is not BreakerState.CLOSED
        ):
            raise host.pause_error()  # other requests to it failed meanwhile

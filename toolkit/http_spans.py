"""What the pool's session tells about its requests: HTTP spans, queue waits, connections.

The span of a request is made by OpenTelemetry's aiohttp instrumentation and ends at the answer's
headers. A span that waits for a free connection looks exactly like one that works, so the wait is
written on it. Three things must not leave the machine, and the instrumentation would let each of
them out: the query string (it holds keys), an exception's text (it may repeat the query), and the
trace headers in requests to foreign hosts.
"""

import ipaddress
from dataclasses import dataclass
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import aiohttp
from multidict import CIMultiDict
from opentelemetry import trace
from opentelemetry.instrumentation._semconv import _StabilityMode
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.trace import Status, StatusCode
from yarl import URL

from otel import spans
from otel.trace import semconv

_TRACE_HEADERS = ("traceparent", "tracestate", "baggage")


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """What a pool has done since it was made.

    `requests` counts calls; a call that is redirected uses a connection more than once, so `reused`
    and `connections_created` need not add up to it. `queued` requests waited for a free connection.
    """

    requests: int = 0
    connections_created: int = 0
    reused: int = 0
    queued: int = 0
    queue_wait_ms_max: float = 0.0


class PoolMeter:
    """Watches the sessions of one pool: counts, and writes what a span's times do not show.

    `waiting` requests wait for a free connection at this moment.

    One meter serves several sessions and several runs: each request's span goes to the provider of
    the run that makes the request, not to that of the run that opened the pool.
    """

    def __init__(self) -> None:
        self._requests = 0
        self._created = 0
        self._reused = 0
        self._queued = 0
        self._queue_wait_max_s = 0.0
        self.waiting = 0

    @property
    def statistics(self) -> PoolStatistics:
        """The counts at this moment."""
        return PoolStatistics(
            requests=self._requests,
            connections_created=self._created,
            reused=self._reused,
            queued=self._queued,
            queue_wait_ms_max=round(self._queue_wait_max_s * 1e3, 3),
        )

    def trace_configs(self) -> list[aiohttp.TraceConfig]:
        """The trace configurations of a session, in the one order that works.

        aiohttp calls them in this order for every event: ours first, while the HTTP span is still
        open at the end; the one that removes headers last, after they have been added.
        """
        return [self._connection_config(), _span_config(), _header_config()]

    def _connection_config(self) -> aiohttp.TraceConfig:
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._request_started)
        config.on_connection_queued_start.append(self._queue_entered)
        config.on_connection_queued_end.append(self._queue_left)
        config.on_connection_create_end.append(self._connection_created)
        config.on_connection_reuseconn.append(self._connection_reused)
        config.on_request_end.append(self._request_ended)
        config.on_request_exception.append(self._request_failed)
        return config

    async def _request_started(
        self,
        session: aiohttp.ClientSession,
        exchange: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        self._requests += 1
        exchange.caller = trace.get_current_span()
        exchange.queued_since = None
        exchange.queue_wait_s = 0.0
        exchange.reused = None

    async def _queue_entered(
        self, session: aiohttp.ClientSession, exchange: SimpleNamespace, params: object
    ) -> None:
        exchange.queued_since = perf_counter()
        self.waiting += 1

    async def _queue_left(
        self, session: aiohttp.ClientSession, exchange: SimpleNamespace, params: object
    ) -> None:
        self._leave_queue(exchange)

    async def _connection_created(
        self, session: aiohttp.ClientSession, exchange: SimpleNamespace, params: object
    ) -> None:
        self._created += 1
        exchange.reused = False

    async def _connection_reused(
        self, session: aiohttp.ClientSession, exchange: SimpleNamespace, params: object
    ) -> None:
        self._reused += 1
        exchange.reused = True

    async def _request_ended(
        self, session: aiohttp.ClientSession, exchange: SimpleNamespace, params: object
    ) -> None:
        self._settle(exchange)

    async def _request_failed(
        self,
        session: aiohttp.ClientSession,
        exchange: SimpleNamespace,
        params: aiohttp.TraceRequestExceptionParams,
    ) -> None:
        self._settle(exchange)
        if (span := _http_span(exchange)) is not None:
            kind = spans.error_type(params.exception)
            span.set_attribute(semconv.ERROR_TYPE, kind)
            span.set_status(Status(StatusCode.ERROR, kind))

    def _settle(self, exchange: SimpleNamespace) -> None:
        self._leave_queue(exchange)  # who gives up in the queue has waited too
        if exchange.queue_wait_s > 0:
            self._queued += 1
            self._queue_wait_max_s = max(self._queue_wait_max_s, exchange.queue_wait_s)
        if (span := _http_span(exchange)) is not None:
            span.set_attribute(semconv.QUEUE_WAIT_MS, round(exchange.queue_wait_s * 1e3, 3))
            if exchange.reused is not None:
                span.set_attribute(semconv.POOL_REUSED, exchange.reused)

    def _leave_queue(self, exchange: SimpleNamespace) -> None:
        if exchange.queued_since is not None:
            exchange.queue_wait_s += perf_counter() - exchange.queued_since
            exchange.queued_since = None
            self.waiting -= 1


def _http_span(exchange: SimpleNamespace) -> trace.Span | None:
    """The request's own span, or None where instrumentation is suppressed for it."""
    span = trace.get_current_span()
    return None if span is exchange.caller else span


def _span_config() -> aiohttp.TraceConfig:
    config = create_trace_config(
        url_filter=_without_query,
        tracer_provider=_ProviderOfTheRun(),
        # Left to itself it ignores OTEL_SEMCONV_STABILITY_OPT_IN and writes the old names.
        sem_conv_opt_in_mode=_StabilityMode.HTTP,
    )
    (record_failure,) = config.on_request_exception

    async def end_silently(
        session: aiohttp.ClientSession,
        exchange: SimpleNamespace,
        params: aiohttp.TraceRequestExceptionParams,
    ) -> None:
        # The meter has written the kind of failure. The instrumentation would add the exception's
        # text and stack: "Connection timeout to host http://...?apikey=...".
        untold: Any = None
        await record_failure(
            session,
            exchange,
            aiohttp.TraceRequestExceptionParams(params.method, params.url, params.headers, untold),
        )

    config.on_request_exception[:] = [end_silently]
    return config


def _without_query(url: URL) -> str:
    return str(url.with_query(None).with_fragment(None))


def _header_config() -> aiohttp.TraceConfig:
    async def strip_for_foreign_hosts(
        session: aiohttp.ClientSession,
        exchange: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        if not _is_loopback(params.url.host):
            _strip(params.headers)

    async def strip_for_next_hop(
        session: aiohttp.ClientSession,
        exchange: SimpleNamespace,
        params: aiohttp.TraceRequestRedirectParams,
    ) -> None:
        _strip(params.headers)  # a redirect may leave the machine, and sends these headers again

    config = aiohttp.TraceConfig()
    config.on_request_start.append(strip_for_foreign_hosts)
    config.on_request_redirect.append(strip_for_next_hop)
    return config


def _strip(headers: CIMultiDict[str]) -> None:
    for name in _TRACE_HEADERS:
        headers.popall(name, None)


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class _ProviderOfTheRun(trace.TracerProvider):
    """Makes tracers that ask for the active provider at every span."""

    def get_tracer(self, *scope: Any, **more: Any) -> trace.Tracer:
        return _TracerOfTheRun(scope, more)


class _TracerOfTheRun(trace.Tracer):
    def __init__(self, scope: tuple[Any, ...], more: dict[str, Any]) -> None:
        self._scope = scope
        self._more = more

    def start_span(self, *args: Any, **options: Any) -> trace.Span:
        return self._active().start_span(*args, **options)

    def start_as_current_span(self, *args: Any, **options: Any) -> Any:
        return self._active().start_as_current_span(*args, **options)

    def _active(self) -> trace.Tracer:
        return spans.active_provider().get_tracer(*self._scope, **self._more)

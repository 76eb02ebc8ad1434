"""The spans of HTTP requests: OpenTelemetry's aiohttp spans without secrets.

A span ends at the answer's headers. The witness writes on it how long the request waited for a
free connection or for its host's rate; here the pool counts who waits.

Two things must not reach a span, and the instrumentation would let both: the query string, which
holds keys, and an exception's text, which may repeat the query.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import aiohttp
from opentelemetry import trace
from opentelemetry.instrumentation._semconv import _StabilityMode
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.trace import Status, StatusCode
from yarl import URL

from trading_graph.otel import spans
from trading_graph.otel.trace import semconv


@dataclass(slots=True)
class RequestNotes:
    """Notes on one request that belong on its span.

    `resend` counts the attempts before this one. `reused` is None until there is a connection;
    `in_queue` says whether the request waits for one.
    """

    resend: int
    probe: bool
    deadline: asyncio.Timeout
    rate_wait_s: float = 0.0
    reused: bool | None = None
    in_queue: bool = False


class PoolMeter:
    """Writes the waits in the sessions of one pool on their spans, and counts who waits now.

    `waiting` is the number of requests that wait, for a free connection or for their host's rate.

    One meter serves several sessions and several runs. A request's span goes to the provider of
    the run that makes the request, not to that of the run that opened the pool.
    """

    def __init__(self) -> None:
        self.waiting = 0

    @contextmanager
    def count_waiting(self) -> Iterator[None]:
        """Count a request as waiting for the duration of the block."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def trace_configs(self) -> list[aiohttp.TraceConfig]:
        """The trace configurations of a session, in the only order that works.

        aiohttp calls them in this order for every event: ours comes first, so that the HTTP span is
        still open when a request ends. A request carries its RequestNotes as `trace_request_ctx`.
        """
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._on_start)
        config.on_connection_queued_start.append(self._on_queue_start)
        config.on_connection_queued_end.append(self._on_queue_end)
        config.on_connection_create_start.append(self._on_connect_start)
        config.on_connection_create_end.append(self._on_connect_end)
        config.on_connection_reuseconn.append(self._on_reuse)
        config.on_request_end.append(self._on_end)
        config.on_request_exception.append(self._on_exception)
        return [config, _span_config()]

    async def _on_start(self, _: object, exchange: SimpleNamespace, params: object) -> None:
        exchange.caller = trace.get_current_span()
        exchange.is_queued = False
        exchange.connect_since = 0.0
        exchange.connect_s = 0.0

    async def _on_queue_start(self, _: object, exchange: SimpleNamespace, params: object) -> None:
        exchange.is_queued = True
        exchange.trace_request_ctx.in_queue = True
        self.waiting += 1

    async def _on_queue_end(self, _: object, exchange: SimpleNamespace, params: object) -> None:
        self._leave_queue(exchange)
        exchange.trace_request_ctx.in_queue = False

    async def _on_connect_start(self, _: object, exchange: SimpleNamespace, params: object) -> None:
        exchange.connect_since = perf_counter()

    async def _on_connect_end(self, _: object, exchange: SimpleNamespace, params: object) -> None:
        exchange.connect_s += perf_counter() - exchange.connect_since
        exchange.trace_request_ctx.reused = False

    async def _on_reuse(self, _: object, exchange: SimpleNamespace, params: object) -> None:
        exchange.trace_request_ctx.reused = True

    async def _on_end(self, _: object, exchange: SimpleNamespace, params: object) -> None:
        self._record(exchange)

    async def _on_exception(
        self, _: object, exchange: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
    ) -> None:
        self._record(exchange)
        if (span := _http_span(exchange)) is not None:
            # The pool's own deadline arrives as a cancellation.
            late = exchange.trace_request_ctx.deadline.expired()
            kind = spans.error_type(TimeoutError() if late else params.exception)
            span.set_attribute(semconv.ERROR_TYPE, kind)
            span.set_status(Status(StatusCode.ERROR, kind))

    def _record(self, exchange: SimpleNamespace) -> None:
        self._leave_queue(exchange)  # a request that gives up in the queue has waited too
        notes: RequestNotes = exchange.trace_request_ctx
        if (span := _http_span(exchange)) is not None:
            _write(span, notes, exchange.connect_s)

    def _leave_queue(self, exchange: SimpleNamespace) -> None:
        if exchange.is_queued:
            exchange.is_queued = False
            self.waiting -= 1


def _write(span: trace.Span, notes: RequestNotes, connect_s: float) -> None:
    attributes: dict[str, float | bool | str] = {}
    if notes.rate_wait_s > 0:
        attributes[semconv.RATE_WAIT_MS] = round(notes.rate_wait_s * 1e3, 3)
    if notes.reused is not None:
        attributes[semconv.POOL_REUSED] = notes.reused
    if connect_s > 0:
        attributes[semconv.CONNECT_MS] = round(connect_s * 1e3, 3)
    if notes.resend:
        attributes[semconv.RESEND_COUNT] = notes.resend
    if notes.probe:
        attributes[semconv.BREAKER] = "half_open"
    span.set_attributes(attributes)


def _http_span(exchange: SimpleNamespace) -> trace.Span | None:
    """The request's own span, or None where instrumentation is suppressed for it."""
    span = trace.get_current_span()
    return None if span is exchange.caller else span


def _span_config() -> aiohttp.TraceConfig:
    """The configuration that makes a client span of every request, in the trace of its run."""
    config = create_trace_config(
        url_filter=_without_query,
        tracer_provider=_ProviderOfTheRun(),
        # Left to itself it ignores OTEL_SEMCONV_STABILITY_OPT_IN and writes the old names.
        sem_conv_opt_in_mode=_StabilityMode.HTTP,
    )
    (start,) = config.on_request_start
    (end,) = config.on_request_end
    (record_failure,) = config.on_request_exception

    async def start_if_recorded(
        session: aiohttp.ClientSession,
        exchange: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        # A span that nothing records costs a fifth of a request on loopback.
        if not _nothing_records():
            await start(session, exchange, params)

    async def end_honestly(
        session: aiohttp.ClientSession,
        exchange: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        # That nothing is at an address is an answer, which the instrumentation would call an error.
        # Whoever asked knows what it means, and the span of the fetch says so.
        if params.response.status != 404:
            await end(session, exchange, params)
            return
        if exchange.span is not None:
            exchange.span.set_attribute("http.response.status_code", 404)
        await record_failure(session, exchange, _without_exception(params))

    async def end_silently(
        session: aiohttp.ClientSession,
        exchange: SimpleNamespace,
        params: aiohttp.TraceRequestExceptionParams,
    ) -> None:
        # The meter has written the kind of failure. The instrumentation would add the exception's
        # text and stack: "Connection timeout to host http://...?apikey=...".
        await record_failure(session, exchange, _without_exception(params))

    config.on_request_start[:] = [start_if_recorded]
    config.on_request_end[:] = [end_honestly]
    config.on_request_exception[:] = [end_silently]
    return config


def _without_exception(
    params: aiohttp.TraceRequestEndParams | aiohttp.TraceRequestExceptionParams,
) -> aiohttp.TraceRequestExceptionParams:
    """Parameters with which the instrumentation ends the span and adds nothing."""
    no_exception: Any = None
    return aiohttp.TraceRequestExceptionParams(
        params.method, params.url, params.headers, no_exception
    )


def _nothing_records() -> bool:
    """Whether neither this program nor its caller traces."""
    silent = trace.ProxyTracerProvider | trace.NoOpTracerProvider
    return (
        isinstance(spans.active_provider(), silent)
        and not trace.get_current_span().get_span_context().is_valid
    )


def _without_query(url: URL) -> str:
    return str(url.with_query(None).with_fragment(None))


class _ProviderOfTheRun(trace.TracerProvider):
    """Makes tracers whose spans go to the provider that is active when they start."""

    def get_tracer(self, *scope: Any, **more: Any) -> trace.Tracer:
        return _TracerOfTheRun(scope, more)


class _TracerOfTheRun(trace.Tracer):
    def __init__(self, scope: tuple[Any, ...], more: dict[str, Any]) -> None:
        self._scope = scope
        self._more = more
        self._provider: trace.TracerProvider | None = None
        self._tracer: trace.Tracer = trace.NoOpTracer()

    def start_span(self, *args: Any, **options: Any) -> trace.Span:
        return self._active().start_span(*args, **options)

    def start_as_current_span(self, *args: Any, **options: Any) -> Any:
        return self._active().start_as_current_span(*args, **options)

    def _active(self) -> trace.Tracer:
        provider = spans.active_provider()
        if provider is not self._provider:  # making a tracer takes as long as making a span
            self._provider = provider
            self._tracer = provider.get_tracer(*self._scope, **self._more)
        return self._tracer

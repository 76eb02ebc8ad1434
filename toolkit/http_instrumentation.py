"""The HTTP spans of a session: OpenTelemetry's aiohttp instrumentation, kept from telling secrets.

Two things must not reach a span, and the instrumentation would let both: the query string (it holds
keys), and an exception's text (it may repeat the query).
"""

from types import SimpleNamespace
from typing import Any

import aiohttp
from opentelemetry import trace
from opentelemetry.instrumentation._semconv import _StabilityMode
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from yarl import URL

from trading_graph.otel import spans


def span_config() -> aiohttp.TraceConfig:
    """What makes a client span of every request, in the trace of the run that makes it."""
    config = create_trace_config(
        url_filter=_without_query,
        tracer_provider=_ProviderOfTheRun(),
        # Left to itself it ignores OTEL_SEMCONV_STABILITY_OPT_IN and writes the old names.
        sem_conv_opt_in_mode=_StabilityMode.HTTP,
    )
    (start,) = config.on_request_start
    (record_failure,) = config.on_request_exception

    async def start_if_recorded(
        session: aiohttp.ClientSession,
        exchange: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        # A span that nobody keeps costs a fifth of a request on loopback.
        if not _nothing_records():
            await start(session, exchange, params)

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

    config.on_request_start[:] = [start_if_recorded]
    config.on_request_exception[:] = [end_silently]
    return config


def _nothing_records() -> bool:
    """Whether neither this program nor a caller of it traces."""
    untraced = trace.ProxyTracerProvider | trace.NoOpTracerProvider
    return (
        isinstance(spans.active_provider(), untraced)
        and not trace.get_current_span().get_span_context().is_valid
    )


def _without_query(url: URL) -> str:
    return str(url.with_query(None).with_fragment(None))


class _ProviderOfTheRun(trace.TracerProvider):
    """Makes tracers whose every span goes to the provider that is active at its start."""

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

"""The spans of the pool: they tell waits, reuse and honest statuses, and no secret."""

import asyncio
import traceback

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags
from yarl import URL

from tests.toolkit.faulty_source import FaultySource
from tests.toolkit.spans_in_memory import http_spans, provider_for
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.data_attributes import DATA_OUTCOME, NOTHING
from trading_graph.toolkit.errors import HttpStatusError, NoDataError, SourceUnavailableError
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.rate_limits import HostPolicy
from trading_graph.toolkit.sources.source import fetch_span

ONCE = HostPolicy(attempts=1, breaker_failures=None)


async def test_a_request_is_one_client_span_below_its_fetch_with_wait_and_reuse(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with HttpPool() as pool, spans.run("test", provider=provider, attributes={}):
        for _ in range(2):
            with spans.fetch("test"):
                body = (await pool.get_bytes(f"{source.url}/json")).body
    fetches = [span for span in exporter.get_finished_spans() if span.name == "fetch test"]
    requests = http_spans(exporter)
    assert [request.name for request in requests] == ["GET", "GET"]
    for fetch, request, reused in zip(fetches, requests, (False, True), strict=True):
        assert request.parent == fetch.get_span_context()
        attributes = request.attributes or {}
        assert attributes["url.full"] == f"{source.url}/json"
        assert attributes["http.request.method"] == "GET"
        assert attributes["http.response.status_code"] == 200
        assert attributes["server.address"] == "127.0.0.1"
        assert attributes[semconv.POOL_REUSED] is reused
        assert semconv.WAIT_MS not in attributes, "it did not wait"
        assert not {"http.url", "http.method"} & set(attributes), "old names"
        of_fetch = fetch.attributes or {}
        assert of_fetch[semconv.RESPONSE_BYTES] == len(body)
        assert semconv.POOL_REUSED not in of_fetch


async def test_the_wait_for_a_connection_stands_on_the_span_that_waited(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """Three requests over one connection: spans overlap, and the waits tell that they queued."""
    async with (
        HttpPool(limit_per_host=1) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        await asyncio.gather(*(pool.get_json(f"{source.url}/slow?s=0.1") for _ in range(3)))
    waits, works = [], []
    for span in sorted(http_spans(exporter), key=lambda span: span.end_time or 0):
        wait_ms = (span.attributes or {}).get(semconv.WAIT_MS, 0.0)
        assert isinstance(wait_ms, float)
        assert span.end_time is not None
        assert span.start_time is not None
        waits.append(wait_ms)
        works.append((span.end_time - span.start_time) / 1e6 - wait_ms)
    assert waits[0] == 0.0
    kinds = {(span.attributes or {}).get(semconv.WAIT_KIND) for span in http_spans(exporter)}
    assert kinds == {None, "connection_pool"}, "what did not wait names no wait"
    assert waits[1] >= 0.5 * works[0]
    assert waits[2] >= 0.5 * (works[0] + works[1])
    assert min(works) > 0


async def test_unpooled_requests_have_the_same_spans(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with (
        HttpPool(pooled=False) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        await asyncio.gather(*(pool.get_json(f"{source.url}/json") for _ in range(3)))
    requests = http_spans(exporter)
    assert [(span.attributes or {})[semconv.POOL_REUSED] for span in requests] == [False] * 3


async def test_a_pool_opened_before_a_run_records_into_the_run_that_asks(
    source: FaultySource,
) -> None:
    async with HttpPool() as pool:
        await pool.get_json(f"{source.url}/json")  # under no run at all
        for _ in range(2):
            exporter = InMemorySpanExporter()
            provider = await asyncio.to_thread(provider_for, exporter)
            async with spans.run("test", provider=provider, attributes={}) as run:
                await pool.get_json(f"{source.url}/json")
            (request,) = http_spans(exporter)
            assert request.parent == run.span.get_span_context()
            assert request.instrumentation_scope is not None
            assert "aiohttp_client" in request.instrumentation_scope.name


async def test_where_instrumentation_is_suppressed_the_callers_span_stays_clean(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with HttpPool() as pool, spans.run("test", provider=provider, attributes={}):
        with spans.open_span("caller"), suppress_instrumentation():
            await pool.get_json(f"{source.url}/json")
            with pytest.raises(SourceUnavailableError):
                await pool.get_json("http://127.0.0.1:1/")
    assert not http_spans(exporter)
    (caller,) = [span for span in exporter.get_finished_spans() if span.name == "caller"]
    assert not {semconv.POOL_REUSED, semconv.WAIT_MS} & set(caller.attributes or {})
    assert caller.status.status_code is StatusCode.UNSET


async def test_failed_requests_say_cancelled_timeout_status_or_the_error(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with (
        HttpPool(total_s=0.3, default_policy=ONCE) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        task = asyncio.create_task(pool.get_json(f"{source.url}/slow?s=60"))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for url in (
            f"{source.url}/slow?s=60",
            f"{source.url}/status/503",
            "http://127.0.0.1:1/",
        ):
            with pytest.raises(SourceUnavailableError):
                await pool.get_json(url)
    requests = http_spans(exporter)
    assert [(span.attributes or {})["error.type"] for span in requests] == [
        "cancelled",
        "timeout",
        "503",
        "aiohttp.client_exceptions.ClientConnectorError",
    ]
    assert {span.status.status_code for span in requests} == {StatusCode.ERROR}


async def test_an_address_with_nothing_is_an_answer_and_the_fetch_says_what_it_means(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """404 is no error of the request; the fetch is one, unless its source has nothing to say."""

    async def ask(nothing: str) -> None:
        with fetch_span("test", "live"):
            try:
                await pool.get_json(f"{source.url}/status/404")
            except HttpStatusError:
                if nothing:
                    raise NoDataError(nothing) from None
                raise

    async with HttpPool() as pool, spans.run("test", provider=provider, attributes={}):
        with pytest.raises(NoDataError, match="nothing of it"):
            await ask("nothing of it")
        with pytest.raises(HttpStatusError):
            await ask("")
    for request in http_spans(exporter):
        assert request.status.status_code is StatusCode.UNSET
        assert request.attributes is not None
        assert request.attributes["http.response.status_code"] == 404
        assert "error.type" not in request.attributes
    found = [span for span in exporter.get_finished_spans() if span.name == "fetch test"]
    outcomes = [(span.attributes or {}).get(DATA_OUTCOME) for span in found]
    assert outcomes == [NOTHING, None]
    assert [span.status.status_code for span in found] == [StatusCode.UNSET, StatusCode.ERROR]


async def test_no_secret_of_the_query_reaches_a_span_or_a_message(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """Keys travel as query parameters; exceptions' texts would repeat them."""
    texts: list[str] = []
    secret = {"apikey": "SECRET"}
    async with (
        HttpPool(limit_per_host=1, total_s=0.5, connect_s=0.1, default_policy=ONCE) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        with spans.fetch("test"):
            await pool.get_json(f"{source.url}/json", params=secret)
        for url in (
            f"{source.url}/status/404",
            f"{source.url}/status/429",
            f"{source.url}/html",
            f"{source.url}/reset",
            f"{source.url}/broken-off",
            f"{source.url}/bytes/9000000",
            f"{source.url}/slow?s=60",
            "http://127.0.0.1:1/closed",
            "ftp://127.0.0.1/",
            "http://user:SECRET@127.0.0.1:1/closed",
        ):
            with pytest.raises(SourceUnavailableError) as caught, spans.fetch("test"):
                await pool.get_json(url, params=secret)
            texts += traceback.format_exception(caught.value, limit=0)
        holder = asyncio.create_task(pool.get_json(f"{source.url}/slow?s=0.3", params=secret))
        await asyncio.sleep(0)
        with pytest.raises(SourceUnavailableError) as caught, spans.fetch("test"):
            await pool.get_json(f"{source.url}/queued", params=secret)
        texts += traceback.format_exception(caught.value, limit=0)
        await holder
    texts += [span.to_json() for span in exporter.get_finished_spans()]
    assert len(texts) > 30
    assert [text for text in texts if "SECRET" in text] == []


async def test_trace_headers_reach_loopback_and_never_a_foreign_host(
    source: FaultySource,
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The foreign host's name leads to the loopback server, so that nothing leaves the machine."""
    port = URL(source.url).port
    foreign = f"http://foreign.example:{port}"

    async def resolve(host: str, port: int, **options: object) -> list[object]:
        assert host == "foreign.example"
        kind, protocol = options["type"], options.get("proto", 0)
        family = 2  # AF_INET
        return [(family, kind, protocol, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    token = otel_context.attach(baggage.set_baggage("user", "bob"))
    try:
        policies = {"127.0.0.1": HostPolicy(redirects_to=("foreign.example",))}
        async with (
            HttpPool(policies=policies) as pool,
            spans.run("test", provider=provider, attributes={}),
        ):
            near = await pool.get_json(f"{source.url}/headers")
            far = await pool.get_json(f"{foreign}/headers")
            sent_on = await pool.get_json(
                f"{source.url}/redirect", params={"to": f"{foreign}/headers"}
            )
    finally:
        otel_context.detach(token)

    first = http_spans(exporter)[0].get_span_context()
    assert first is not None
    assert near["traceparent"].split("-")[1:3] == [
        trace.format_trace_id(first.trace_id),
        trace.format_span_id(first.span_id),
    ]
    assert near["baggage"] == "user=bob"
    for headers in (far, sent_on):
        assert headers["host"].startswith("foreign.example")
        assert not {"traceparent", "tracestate", "baggage"} & set(headers)
    assert len(http_spans(exporter)) == 3, "a foreign request still has its span here"


async def test_where_nothing_records_a_request_makes_no_span_and_a_callers_trace_goes_on(
    source: FaultySource,
) -> None:
    caller = SpanContext(0xA, 0xB, is_remote=True, trace_flags=TraceFlags(0))
    async with HttpPool() as pool:
        headers = await pool.get_json(f"{source.url}/headers")
        assert "traceparent" not in headers
        token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(caller)))
        try:
            headers = await pool.get_json(f"{source.url}/headers")
        finally:
            otel_context.detach(token)
    assert headers["traceparent"].split("-")[1:] == [f"{0xA:032x}", f"{0xB:016x}", "00"]

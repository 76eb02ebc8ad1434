"""The HTTP pool: few connections, hard limits, typed errors, and spans that tell no secret."""

import asyncio
import gzip
import traceback
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from yarl import URL

from otel import spans
from otel.trace import semconv
from toolkit.errors import BadAnswer, DataError, HttpStatus, RateLimited, SourceUnavailable
from toolkit.host_policy import HostPolicy
from toolkit.loopback import LoopbackServer
from toolkit.pool import HttpPool

BOMB_BYTES = 50 * 2**20
BOMB = gzip.compress(bytes(BOMB_BYTES))


@dataclass
class Source:
    """A server with every fault; it counts connections and concurrent requests on its side."""

    url: str = ""
    connections: set[tuple[str, int]] = field(default_factory=set)
    at_once: int = 0
    at_once_max: int = 0

    def make_app(self) -> web.Application:
        @web.middleware
        async def count(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            assert request.transport is not None
            self.connections.add(request.transport.get_extra_info("peername"))
            self.at_once += 1
            self.at_once_max = max(self.at_once_max, self.at_once)
            try:
                return await handler(request)
            finally:
                self.at_once -= 1

        app = web.Application(middlewares=[count])
        app.router.add_get("/json", self.json)
        app.router.add_get("/slow", self.slow)
        app.router.add_get("/headers", self.headers)
        app.router.add_get("/status/{code}", self.status)
        app.router.add_get("/html", self.html)
        app.router.add_get("/truncated", self.truncated)
        app.router.add_get("/bomb", self.bomb)
        app.router.add_get("/bytes/{count}", self.bytes)
        app.router.add_get("/stalls", self.stalls)
        app.router.add_get("/reset", self.reset)
        app.router.add_get("/broken-off", self.broken_off)
        app.router.add_get("/not-gzip", self.not_gzip)
        app.router.add_get("/long-header", self.long_header)
        app.router.add_get("/redirect", self.redirect)
        app.router.add_get("/circle", self.circle)
        return app

    async def json(self, request: web.Request) -> web.Response:
        return web.json_response({"query": dict(request.query), "answer": [1, 2.5, None]})

    async def slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("s", "0.02")))
        return web.json_response("slow")

    async def headers(self, request: web.Request) -> web.Response:
        return web.json_response({name.lower(): value for name, value in request.headers.items()})

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"error": "the source's own words"},
            status=int(request.match_info["code"]),
            headers={"Retry-After": request.query.get("after", "")},
        )

    async def html(self, request: web.Request) -> web.Response:
        return web.Response(text="<html>consent, please</html>", content_type="text/html")

    async def truncated(self, request: web.Request) -> web.Response:
        return web.Response(text='{"chart": {"result": [', content_type="application/json")

    async def bomb(self, request: web.Request) -> web.Response:
        return web.Response(body=BOMB, headers={"Content-Encoding": "gzip"})

    async def bytes(self, request: web.Request) -> web.Response:
        return web.Response(body=bytes(int(request.match_info["count"])))

    async def stalls(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"[")
        await asyncio.sleep(60)
        return answer

    async def reset(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def broken_off(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"[1, 2")
        assert request.transport is not None
        request.transport.close()
        return answer

    async def not_gzip(self, request: web.Request) -> web.Response:
        return web.Response(body=b"plain text", headers={"Content-Encoding": "gzip"})

    async def long_header(self, request: web.Request) -> web.Response:
        return web.json_response("ok", headers={"X-Policy": "x" * 10_000})

    async def redirect(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    async def circle(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/circle")


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    with LoopbackServer(source.make_app) as server:
        source.url = server.url
        yield source


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def _provider(exporter: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    return _provider(exporter)


def _http_spans(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    found = [span for span in exporter.get_finished_spans() if span.kind is SpanKind.CLIENT]
    return sorted(found, key=lambda span: span.start_time or 0)


# Connections


async def test_400_concurrent_requests_use_at_most_30_connections_and_reuse_them(
    source: Source,
) -> None:
    async with HttpPool() as pool:
        answers = await asyncio.gather(*(pool.get_json(f"{source.url}/slow") for _ in range(400)))
    assert answers == ["slow"] * 400
    assert len(source.connections) == 30
    assert source.at_once_max == 30, "the connections really work side by side"
    done = pool.statistics
    assert done.requests == 400
    assert done.connections_created == 30
    assert done.reused == 370
    assert done.queued == 370
    assert done.queue_wait_ms_max > 0


async def test_requests_one_after_the_other_share_one_connection(source: Source) -> None:
    async with HttpPool() as pool:
        for _ in range(10):
            await pool.get_json(f"{source.url}/json")
    assert len(source.connections) == 1
    assert (pool.statistics.reused, pool.statistics.queued) == (9, 0)


async def test_unpooled_every_request_has_a_connection_of_its_own(source: Source) -> None:
    async with HttpPool(pooled=False) as pool:
        await asyncio.gather(*(pool.get_json(f"{source.url}/json") for _ in range(20)))
        await pool.get_json(f"{source.url}/json")
    assert len(source.connections) == 21
    assert pool.statistics.connections_created == 21
    assert pool.statistics.reused == 0


async def test_a_refused_request_leaves_its_connection_to_the_next(source: Source) -> None:
    async with HttpPool() as pool:
        for code in (404, 429, 500, 404):
            with pytest.raises(SourceUnavailable):
                await pool.get_json(f"{source.url}/status/{code}")
    assert len(source.connections) == 1


# The life of a pool


def test_making_a_pool_needs_no_event_loop() -> None:
    for pooled in (True, False):
        assert HttpPool(pooled=pooled).statistics.requests == 0


async def test_a_pool_is_used_inside_its_block_only(source: Source) -> None:
    pool = HttpPool()
    with pytest.raises(RuntimeError, match="async with"):
        await pool.get_json(f"{source.url}/json")
    async with pool:
        await pool.get_json(f"{source.url}/json")
        with pytest.raises(RuntimeError, match="open already"):
            await pool.__aenter__()
    with pytest.raises(RuntimeError, match="async with"):
        await pool.get_json(f"{source.url}/json")
    assert len(source.connections) == 1


@pytest.mark.parametrize("pooled", [True, False])
async def test_a_pool_refuses_another_event_loop(source: Source, pooled: bool) -> None:
    raised: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(pool.get_json(f"{source.url}/json"))
        except RuntimeError as error:
            raised.append(error)

    async with HttpPool(pooled=pooled) as pool:
        await asyncio.to_thread(elsewhere)
        assert await pool.get_json(f"{source.url}/json"), "it still works in its own"
    assert "another event loop" in str(raised[0])


async def test_closing_ends_every_connection_and_the_pool_opens_again(source: Source) -> None:
    pool = HttpPool()
    for _ in range(2):
        async with pool:
            await pool.get_json(f"{source.url}/json")
    assert len(source.connections) == 2
    assert pool.statistics.requests == 2


# Answers


async def test_parameters_are_encoded_and_added_to_those_in_the_url(source: Source) -> None:
    async with HttpPool() as pool:
        answer = await pool.get_json(
            URL(f"{source.url}/json?interval=1d"), params={"events": "div,splits", "s": "^G&C="}
        )
    assert answer["query"] == {"interval": "1d", "events": "div,splits", "s": "^G&C="}
    assert answer["answer"] == [1, 2.5, None]


async def test_bytes_come_with_status_headers_and_the_url_that_served_them(source: Source) -> None:
    async with HttpPool() as pool:
        answer = await pool.get_bytes(
            f"{source.url}/redirect", params={"to": "/json"}, headers={"User-Agent": "test"}
        )
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.url.path == "/json"
    assert answer.body.startswith(b"{")


async def test_header_lines_of_ten_thousand_bytes_are_read(source: Source) -> None:
    async with HttpPool() as pool:
        assert await pool.get_json(f"{source.url}/long-header") == "ok"


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(source: Source) -> None:
    async with HttpPool(default_policy=HostPolicy(max_body_bytes=100_000)) as pool:
        assert len((await pool.get_bytes(f"{source.url}/bytes/100000")).body) == 100_000
        with pytest.raises(BadAnswer, match="more than 100000 bytes"):
            await pool.get_bytes(f"{source.url}/bytes/100001")


async def test_a_gzip_bomb_is_stopped_at_the_limit_not_after_it(source: Source) -> None:
    async with HttpPool(default_policy=HostPolicy(max_body_bytes=2**20)) as pool:
        tracemalloc.start()
        try:
            with pytest.raises(BadAnswer, match=r"/bomb sent more than 1048576 bytes"):
                await pool.get_bytes(f"{source.url}/bomb")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < BOMB_BYTES / 4
        assert await pool.get_json(f"{source.url}/json"), "the pool works on"


# Errors


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/status/404", HttpStatus, r"/status/404 answered 404: .*check"),
        ("/status/400", HttpStatus, r"answered 400: .*check"),
        ("/status/401", HttpStatus, r"answered 401: .*key"),
        ("/status/304", HttpStatus, r"answered 304"),
        ("/status/500", HttpStatus, r"answered 500: try again later"),
        ("/status/503", HttpStatus, r"answered 503: try again later"),
        ("/status/429?after=7", RateLimited, r"429, too many requests: try again in 7 s"),
        ("/status/429", RateLimited, r"429, too many requests: try again later"),
        ("/html", BadAnswer, r"answered 200 with text/html.* not valid JSON"),
        ("/truncated", BadAnswer, r"answered 200 with application/json.* not valid JSON"),
        ("/reset", SourceUnavailable, r"broke off"),
        ("/broken-off", SourceUnavailable, r"broke off"),
        ("/not-gzip", SourceUnavailable, r"broke off"),
        ("/circle", SourceUnavailable, r"redirects in circles"),
    ],
)
async def test_every_fault_is_one_typed_error_that_names_host_and_path(
    source: Source, path: str, kind: type[DataError], words: str
) -> None:
    async with HttpPool() as pool:
        with pytest.raises(kind, match=words) as caught:
            await pool.get_json(f"{source.url}{path}")
        assert type(caught.value) is kind
        message = str(caught.value)
        assert message.startswith(source.url.removeprefix("http://") + path.partition("?")[0])
        assert "?" not in message
        assert message.endswith(".")
        assert "\n" not in message
        assert await pool.get_json(f"{source.url}/json"), "the pool works on"


async def test_a_status_error_carries_the_status_and_the_sources_own_words(source: Source) -> None:
    async with HttpPool() as pool:
        with pytest.raises(HttpStatus) as caught:
            await pool.get_json(f"{source.url}/status/404")
    assert caught.value.status == 404
    assert b"the source's own words" in caught.value.body


@pytest.mark.parametrize(
    ("pool", "path", "words"),
    [
        (HttpPool(sock_read_s=0.05), "/slow?s=60", "fell silent for 0.05 s"),
        (HttpPool(sock_read_s=0.05), "/stalls", "fell silent for 0.05 s"),
        (HttpPool(total_s=0.05), "/stalls", "did not finish its answer within 0.05 s"),
        (HttpPool(total_s=0.05, pooled=False), "/slow?s=60", "within 0.05 s"),
    ],
    ids=["no headers", "body stalls", "total", "total, unpooled"],
)
async def test_a_slow_source_is_a_typed_error_that_says_which_limit_it_broke(
    source: Source, pool: HttpPool, path: str, words: str
) -> None:
    async with pool:
        with pytest.raises(SourceUnavailable, match=words):
            await pool.get_json(f"{source.url}{path}")


async def test_waiting_too_long_for_a_free_connection_is_a_typed_error(source: Source) -> None:
    async with HttpPool(limit_per_host=1, connect_s=0.1) as pool:
        holder = asyncio.create_task(pool.get_json(f"{source.url}/slow?s=0.4"))
        await asyncio.sleep(0)
        with pytest.raises(SourceUnavailable, match="gave no connection in time"):
            await pool.get_json(f"{source.url}/json")
        assert pool.statistics.queued == 1, "who gives up has waited too"
        assert await holder == "slow"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/v8?key=SECRET", r"^127\.0\.0\.1:1/v8 cannot be reached \(.*\): check"),
        ("ftp://127.0.0.1/v8?key=SECRET", r"^127\.0\.0\.1/v8 cannot be asked"),
    ],
    ids=["closed port", "not http"],
)
async def test_an_address_that_cannot_work_is_a_typed_error(url: str, words: str) -> None:
    async with HttpPool() as pool:
        with pytest.raises(SourceUnavailable, match=words):
            await pool.get_json(url)


async def test_a_server_that_does_not_speak_http_is_a_bad_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, HttpPool() as pool:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BadAnswer, match="not HTTP"):
            await pool.get_json(f"http://127.0.0.1:{port}/")


async def test_the_callers_own_cancellation_and_deadline_pass_through(source: Source) -> None:
    async with HttpPool() as pool:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await pool.get_json(f"{source.url}/slow?s=60")
        assert not isinstance(caught.value, DataError)
        task = asyncio.create_task(pool.get_json(f"{source.url}/slow?s=60"))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# Spans


async def test_a_request_is_one_client_span_below_its_fetch_with_wait_and_reuse(
    source: Source, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with HttpPool() as pool, spans.run("test", provider=provider, attributes={}):
        for _ in range(2):
            with spans.fetch("test"):
                body = (await pool.get_bytes(f"{source.url}/json")).body
    fetches = [span for span in exporter.get_finished_spans() if span.name == "fetch test"]
    requests = _http_spans(exporter)
    assert [request.name for request in requests] == ["GET", "GET"]
    for fetch, request, reused in zip(fetches, requests, (False, True), strict=True):
        assert request.parent == fetch.get_span_context()
        attributes = request.attributes or {}
        assert attributes["url.full"] == f"{source.url}/json"
        assert attributes["http.request.method"] == "GET"
        assert attributes["http.response.status_code"] == 200
        assert attributes["server.address"] == "127.0.0.1"
        assert attributes[semconv.POOL_REUSED] is reused
        assert attributes[semconv.QUEUE_WAIT_MS] == 0.0
        assert not {"http.url", "http.method"} & set(attributes), "old names"
        of_fetch = fetch.attributes or {}
        assert of_fetch[semconv.RESPONSE_BYTES] == len(body)
        assert semconv.POOL_REUSED not in of_fetch


async def test_the_wait_for_a_connection_stands_on_the_span_that_waited(
    source: Source, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """Three requests over one connection: spans overlap, and the waits tell that they queued."""
    async with (
        HttpPool(limit_per_host=1) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        await asyncio.gather(*(pool.get_json(f"{source.url}/slow?s=0.1") for _ in range(3)))
    waits, works = [], []
    for span in sorted(_http_spans(exporter), key=lambda span: span.end_time or 0):
        wait_ms = (span.attributes or {})[semconv.QUEUE_WAIT_MS]
        assert isinstance(wait_ms, float)
        assert span.end_time is not None
        assert span.start_time is not None
        waits.append(wait_ms)
        works.append((span.end_time - span.start_time) / 1e6 - wait_ms)
    assert waits[0] == 0.0
    assert waits[1] >= 0.5 * works[0]
    assert waits[2] >= 0.5 * (works[0] + works[1])
    assert min(works) > 0
    assert pool.statistics.queue_wait_ms_max == max(waits)


async def test_unpooled_requests_have_the_same_spans(
    source: Source, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with (
        HttpPool(pooled=False) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        await asyncio.gather(*(pool.get_json(f"{source.url}/json") for _ in range(3)))
    found = _http_spans(exporter)
    assert [(span.attributes or {})[semconv.POOL_REUSED] for span in found] == [False] * 3


async def test_a_pool_opened_before_a_run_records_into_the_run_that_asks(source: Source) -> None:
    async with HttpPool() as pool:
        await pool.get_json(f"{source.url}/json")  # under no run at all
        for _ in range(2):
            exporter = InMemorySpanExporter()
            provider = await asyncio.to_thread(_provider, exporter)
            async with spans.run("test", provider=provider, attributes={}) as run:
                await pool.get_json(f"{source.url}/json")
            (request,) = _http_spans(exporter)
            assert request.parent == run.span.get_span_context()
            assert request.instrumentation_scope is not None
            assert "aiohttp_client" in request.instrumentation_scope.name


async def test_where_instrumentation_is_suppressed_the_callers_span_stays_clean(
    source: Source, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with HttpPool() as pool, spans.run("test", provider=provider, attributes={}):
        with spans.open_span("caller"), suppress_instrumentation():
            await pool.get_json(f"{source.url}/json")
            with pytest.raises(SourceUnavailable):
                await pool.get_json("http://127.0.0.1:1/")
    assert not _http_spans(exporter)
    (caller,) = [span for span in exporter.get_finished_spans() if span.name == "caller"]
    assert not {semconv.POOL_REUSED, semconv.QUEUE_WAIT_MS} & set(caller.attributes or {})
    assert caller.status.status_code is StatusCode.UNSET


async def test_failed_requests_say_cancelled_timeout_status_or_the_error(
    source: Source, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with (
        HttpPool(total_s=0.3) as pool,
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
            with pytest.raises(SourceUnavailable):
                await pool.get_json(url)
    found = _http_spans(exporter)
    assert [(span.attributes or {})["error.type"] for span in found] == [
        "cancelled",
        "timeout",
        "503",
        "aiohttp.client_exceptions.ClientConnectorError",
    ]
    assert {span.status.status_code for span in found} == {StatusCode.ERROR}


async def test_no_secret_of_the_query_reaches_a_span_or_a_message(
    source: Source, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """Keys travel as query parameters; exceptions' texts would repeat them."""
    told: list[str] = []
    secret = {"apikey": "SECRET"}
    async with (
        HttpPool(limit_per_host=1, total_s=0.5, connect_s=0.1) as pool,
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
            with pytest.raises(SourceUnavailable) as caught, spans.fetch("test"):
                await pool.get_json(url, params=secret)
            told += traceback.format_exception(caught.value, limit=0)
        holder = asyncio.create_task(pool.get_json(f"{source.url}/slow?s=0.3", params=secret))
        await asyncio.sleep(0)
        with pytest.raises(SourceUnavailable) as caught, spans.fetch("test"):
            await pool.get_json(f"{source.url}/queued", params=secret)
        told += traceback.format_exception(caught.value, limit=0)
        await holder
    told += [span.to_json() for span in exporter.get_finished_spans()]
    assert len(told) > 30
    assert [text for text in told if "SECRET" in text] == []


async def test_trace_headers_reach_loopback_and_never_a_foreign_host(
    source: Source,
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
        async with HttpPool() as pool, spans.run("test", provider=provider, attributes={}):
            near = await pool.get_json(f"{source.url}/headers")
            far = await pool.get_json(f"{foreign}/headers")
            sent_on = await pool.get_json(
                f"{source.url}/redirect", params={"to": f"{foreign}/headers"}
            )
    finally:
        otel_context.detach(token)

    first = _http_spans(exporter)[0].get_span_context()
    assert first is not None
    assert near["traceparent"].split("-")[1:3] == [
        trace.format_trace_id(first.trace_id),
        trace.format_span_id(first.span_id),
    ]
    assert near["baggage"] == "user=bob"
    for headers in (far, sent_on):
        assert headers["host"].startswith("foreign.example")
        assert not {"traceparent", "tracestate", "baggage"} & set(headers)
    assert len(_http_spans(exporter)) == 3, "a foreign request still has its span here"

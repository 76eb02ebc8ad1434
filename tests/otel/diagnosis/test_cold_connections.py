"""A connection a request against kept ones: real requests over TLS, to a server some way off."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial

import pytest
import trustme
from aiohttp import web

from tests.otel.diagnosis.traces import BEGIN, MS
from tests.recorded_program import trace_of
from trading_graph.otel import spans
from trading_graph.otel.diagnosis import (
    FindingKind,
    Fix,
    RankedCandidate,
    Ranking,
    RemoveWaits,
    ShortenBy,
    rank,
    simulate,
)
from trading_graph.otel.trace import Attributes, SpanTable, SpanValues, TraceBuilder, semconv
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.pool import HttpPool

FAR_S, ANSWER_S = 0.05, 0.05
TRIES = 6

Requests = Callable[[HttpPool, str], Awaitable[object]]


def make_app() -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(ANSWER_S)
        return web.Response(body=b"[1]", content_type="application/json")

    app = web.Application()
    app.router.add_get("/", answer)
    return app


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    """A server that speaks TLS, and an aiohttp that trusts it."""
    authority = trustme.CA()
    tls, trusting = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(trusting)
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    with LoopbackServer(make_app, tls=tls) as made:
        yield made


@contextlib.asynccontextmanager
async def far(server: LoopbackServer) -> AsyncIterator[str]:
    """The server's address at the end of a way that a new connection takes a while to pass."""
    port = int(server.url.rpartition(":")[2])

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(FAR_S)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as way:
        yield f"https://127.0.0.1:{way.sockets[0].getsockname()[1]}/"


async def one_by_one(pool: HttpPool, url: str) -> None:
    for number in range(5):
        await _fetched(pool, url, number)


async def at_once(pool: HttpPool, url: str) -> None:
    await asyncio.gather(*(_fetched(pool, url, number) for number in range(5)))


async def _fetched(pool: HttpPool, url: str, number: int) -> None:
    with spans.fetch(f"page {number}"):
        await pool.get_bytes(url)


def diagnosed(server: LoopbackServer, requests: Requests, *, pooled: bool) -> Ranking:
    async def program() -> None:
        async with far(server) as url, HttpPool(pooled=pooled) as pool:
            await requests(pool, url)

    trace = trace_of(program)
    return rank(trace, trace.roots[0])


def wall_of(found: Ranking) -> int:
    return found.wall_ns


def cold(found: Ranking) -> list[RankedCandidate]:
    return [
        each for each in found.candidates if each.candidate.kind is FindingKind.COLD_CONNECTIONS
    ]


@pytest.mark.idle
def test_a_connection_a_request_is_found_and_its_gain_comes_true(server: LoopbackServer) -> None:
    """A busy machine only ever adds time, so of each program the quickest run counts."""
    slow, mended = [], []
    for _ in range(TRIES):
        slow.append(diagnosed(server, one_by_one, pooled=False))
        mended.append(diagnosed(server, one_by_one, pooled=True))
        quick, quick_mended = min(slow, key=wall_of), min(mended, key=wall_of)
        (found,) = cold(quick)
        error = found.wall.likely_ns / quick_mended.wall_ns - 1
        if abs(error) <= 0.1:
            break
    assert abs(error) <= 0.1, [*map(wall_of, slow), *map(wall_of, mended)]
    finding = found.candidate
    assert len(finding.rows) == 4, "the first has to open one"
    assert {quick.trace.names[row] for row in finding.rows} == {"GET"}
    assert quick.wall_ns - found.wall.likely_ns > 4 * FAR_S * 0.9e9
    assert found.wall.high_ns > quick.wall_ns, "whether the server keeps them is not known"
    assert not finding.proven
    assert finding.place.startswith("127.0.0.1:")
    assert not cold(quick_mended)


def test_requests_that_run_at_once_need_a_connection_each(server: LoopbackServer) -> None:
    assert not cold(diagnosed(server, at_once, pooled=False))


def test_the_connect_time_is_that_of_opening_and_no_more(server: LoopbackServer) -> None:
    trace = diagnosed(server, one_by_one, pooled=True).trace
    requests = [row for row, name in enumerate(trace.names) if name == "GET"]
    first, *later = requests
    connect_ms = trace.number(first, semconv.CONNECT_MS)
    assert connect_ms is not None
    assert FAR_S * 1e3 <= connect_ms <= trace.duration[first] / 1e6 - ANSWER_S * 1e3
    assert all(semconv.CONNECT_MS not in trace.attributes(row) for row in later)


REUSED: Attributes = {semconv.POOL_REUSED: True, semconv.CONNECT_MS: None}


def requests_of(*drawn: tuple[int, int, Attributes]) -> SpanTable:
    """A run with requests to one host, from and to in milliseconds, each over a new connection."""
    builder = TraceBuilder("0" * 31 + "1")
    end = max(until for _, until, _ in drawn)
    builder.add(SpanValues(f"{1:016x}", "", "run", 1, BEGIN, BEGIN + end * MS, 0, dict))
    for number, (begin, until, more) in enumerate(drawn, start=2):
        said: Attributes = {
            "http.request.method": "GET",
            semconv.SERVER_ADDRESS: "a",
            semconv.POOL_REUSED: False,
            semconv.CONNECT_MS: 30.0,
            **more,
        }
        times = BEGIN + begin * MS, BEGIN + until * MS
        builder.add(
            SpanValues(f"{number:016x}", f"{1:016x}", "GET", 3, *times, 0, partial(dict, said))
        )
    return builder.build()


def cold_in(trace: SpanTable) -> list[RankedCandidate]:
    return cold(rank(trace, trace.roots[0]))


def test_reuse_seen_at_a_host_proves_that_it_keeps_connections() -> None:
    (unproven,) = cold_in(requests_of((0, 50, {}), (60, 110, {})))
    assert not unproven.candidate.proven
    (found,) = cold_in(requests_of((0, 50, {}), (60, 110, {}), (120, 130, REUSED)))
    assert found.candidate.proven
    assert found.wall.likely_ns == 100 * MS
    assert found.wall.high_ns == 102 * MS


def test_a_connection_that_would_have_been_closed_meanwhile_saves_nothing() -> None:
    assert cold_in(requests_of((0, 50, {}), (14_000, 14_100, {})))
    assert not cold_in(requests_of((0, 50, {}), (16_000, 16_100, {})))


def test_a_connection_serves_one_request_at_a_time() -> None:
    (found,) = cold_in(requests_of((0, 50, {}), (60, 150, {}), (61, 110, {})))
    assert not found.candidate.rows[1:]
    assert "1 of 3 requests" in found.candidate.evidence


def test_connect_and_queue_of_one_request_are_both_saved_in_either_order() -> None:
    trace = requests_of((0, 50, {}), (60, 160, {semconv.WAIT_MS: 40.0}))
    schedule = rank(trace, 0).schedule
    actions: list[Fix] = [ShortenBy(((2, 30 * MS),)), RemoveWaits(((2, 40 * MS),))]
    walls = [simulate(schedule, order).wall_ns for order in (actions, actions[::-1])]
    assert walls == [90 * MS] * 2

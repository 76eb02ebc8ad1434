"""The loopback server: it listens when `start` returns, and leaves nothing behind when it stops."""

import asyncio
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry import trace

from trading_graph.toolkit.loopback import LoopbackServer


def _app() -> web.Application:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"hello from {threading.current_thread().name}")

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits that long")

    app = web.Application()
    app.router.add_get("/", hello)
    app.router.add_get("/slow", slow)
    return app


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def test_it_answers_as_soon_as_start_returns_and_never_after_stop() -> None:
    before = set(threading.enumerate())
    with LoopbackServer(_app) as server:
        url = server.url
        assert url.startswith("http://127.0.0.1:")
        assert _get(url) == "hello from loopback-server"
        assert "loopback-server" in {thread.name for thread in set(threading.enumerate()) - before}
    with pytest.raises(urllib.error.URLError):
        _get(url)
    assert set(threading.enumerate()) <= before


def test_two_servers_run_side_by_side_on_ports_of_their_own() -> None:
    with LoopbackServer(_app) as one, LoopbackServer(_app) as two:
        assert one.url != two.url
        assert _get(one.url) == _get(two.url)


def test_it_can_be_started_again_and_stopped_twice() -> None:
    server = LoopbackServer(_app)
    for _ in range(2):
        server.start()
        assert _get(server.url)
        server.stop()
        server.stop()


def test_starting_a_running_server_is_refused() -> None:
    with LoopbackServer(_app) as server, pytest.raises(RuntimeError, match="runs already"):
        server.start()


def test_it_has_no_address_before_it_runs() -> None:
    with pytest.raises(RuntimeError, match="start it first"):
        _ = LoopbackServer(_app).url


def test_an_application_that_cannot_be_made_fails_the_start_with_its_own_error() -> None:
    def broken() -> web.Application:
        raise FileNotFoundError("no tables here")

    server = LoopbackServer(broken)
    with pytest.raises(FileNotFoundError, match="no tables here"):
        server.start()
    with pytest.raises(RuntimeError, match="start it first"):
        _ = server.url


def test_an_application_that_fails_at_its_start_up_fails_the_start() -> None:
    async def fail(app: web.Application) -> None:
        raise ValueError("bad table")

    def make() -> web.Application:
        app = _app()
        app.on_startup.append(fail)
        return app

    with pytest.raises(ValueError, match="bad table"):
        LoopbackServer(make).start()


async def test_starting_and_stopping_on_a_running_loop_is_refused_with_the_way_out() -> None:
    server = LoopbackServer(_app)
    with pytest.raises(RuntimeError, match=r"asyncio\.to_thread\(server\.start\)"):
        server.start()
    await asyncio.to_thread(server.start)
    try:
        with pytest.raises(RuntimeError, match=r"asyncio\.to_thread\(server\.stop\)"):
            server.stop()
        assert await asyncio.to_thread(_get, server.url)
    finally:
        await asyncio.to_thread(server.stop)


async def test_the_application_may_read_files_while_it_is_made(tmp_path: Path) -> None:
    """Blocking reads belong before the server's loop: there the blocking-call guard is silent."""
    table = tmp_path / "table.txt"
    await asyncio.to_thread(table.write_text, "1,2,3")
    loops: list[bool] = []

    def make() -> web.Application:
        try:
            asyncio.get_running_loop()
            loops.append(True)
        except RuntimeError:
            loops.append(False)
        assert table.read_text() == "1,2,3"
        return _app()

    server = LoopbackServer(make)
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(server.stop)
    assert loops == [False]


def test_a_request_in_flight_does_not_hold_up_the_stop() -> None:
    server = LoopbackServer(_app)
    server.start()
    failed: list[Exception] = []

    def ask() -> None:
        try:
            _get(f"{server.url}/slow")
        except Exception as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.05)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 5  # the handler would sleep for 60
    asking.join()
    assert failed


def test_no_span_of_the_program_is_current_in_the_server() -> None:
    seen: list[bool] = []

    def make() -> web.Application:
        seen.append(trace.get_current_span().get_span_context().is_valid)
        return _app()

    parent = trace.NonRecordingSpan(trace.SpanContext(1, 1, False))
    with trace.use_span(parent), LoopbackServer(make):
        assert trace.get_current_span() is parent
    assert seen == [False]

"""Received spans are sent on to another backend, which delays and loses nothing for the sender."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.jaeger_process import JaegerProcess
from tests.service.server.open_service import opened
from tests.service.server.otlp_client import export, files, root, span, until, verdict
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.server.receiving.forwarding import Forwarding

ONE = f"{1:032x}"


class Backend:
    """A backend that answers with `status` once it is `open`, and keeps the names of spans.

    With a status that redirects, `location` is where to.
    """

    def __init__(self) -> None:
        self.status = 200
        self.location = ""
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0
        self.names: list[str] = []

    async def take(self, request: web.Request) -> web.Response:
        """Take a message of OTLP JSON."""
        self.asked += 1
        await self.open.wait()
        if self.status == 200:
            for resource in (await request.json())["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    self.names += [each["name"] for each in scope["spans"]]
        return web.Response(status=self.status, headers={"Location": self.location})

    async def until_asked(self, times: int) -> None:
        """Wait until it was asked so often."""
        await until(lambda: self.asked >= times)

    async def until_named(self, count: int) -> None:
        """Wait until it has so many spans."""
        await until(lambda: len(self.names) >= count)


@contextlib.asynccontextmanager
async def served(backend: Backend) -> AsyncIterator[str]:
    """The backend on loopback; gives its URL."""
    app = web.Application()
    app.router.add_post("/v1/traces", backend.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        backend.open.set()
        await runner.cleanup()


async def test_spans_are_sent_on_without_secrets(tmp_path: Path) -> None:
    backend = Backend()
    async with (
        served(backend) as url,
        opened(tmp_path, begun=False, serve_forward_url=url) as service,
    ):
        await export(service, root(declared=2, name="sk-0123456789abcdefghij"), span(2, 1))
        await export(service, root(declared=1, trace=2, name="another"))
        await backend.until_named(3)
        assert backend.names == ["[redacted]", "span 2", "another"]


async def test_a_backend_that_hangs_or_is_down_delays_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Backend()
    backend.open.clear()
    async with (
        served(backend) as url,
        opened(tmp_path, begun=False, serve_forward_url=url) as service,
    ):
        await export(service, root(declared=1))
        await backend.until_asked(1)
        await export(service, root(declared=1, trace=2))
        await verdict(service, f"{2:032x}")
        assert set(await files(tmp_path)) == {ONE, f"{2:032x}"}, "it is taken while that one hangs"
        backend.status = 503
        backend.open.set()
        await backend.until_asked(3)
        forwarding = service.parts.receiver.forwarding
        assert forwarding is not None
        assert "503" in str(forwarding.problem)
        assert sum("wait to be sent on" in each.message for each in caplog.records) == 1
        backend.status = 200
        await backend.until_named(2)
        assert backend.names == ["span 1", "span 1"]
        assert (forwarding.problem, forwarding.lost) == (None, 0)


async def test_what_there_is_no_room_for_is_counted_and_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading_graph.service.server.receiving.forwarding._MOST_BYTES", 1_000)
    monkeypatch.setattr("trading_graph.service.server.receiving.forwarding._LAST_S", 0.01)
    forwarding = Forwarding("http://127.0.0.1:9")
    line = json.dumps({"resourceSpans": [{"schemaUrl": "x" * 270}]}, separators=(",", ":"))
    for _ in range(5):
        forwarding.put(line.encode() + b"\n")
    assert forwarding.lost == 2
    await forwarding.finish()
    assert forwarding.lost == 5
    said = [each.message for each in caplog.records if "not sent on" in each.message]
    assert len(said) == 2, "at first, and at the end"
    assert said[-1].startswith("5 messages")


@pytest.mark.parametrize("status", [pytest.param(400, marks=pytest.mark.full), 307])
async def test_what_a_backend_refuses_is_not_sent_again(tmp_path: Path, status: int) -> None:
    backend, elsewhere = Backend(), Backend()
    backend.status = status
    async with (
        served(backend) as url,
        served(elsewhere) as other_url,
        opened(tmp_path, begun=False, serve_forward_url=url) as service,
    ):
        backend.location = f"{other_url}/v1/traces"
        await export(service, root(declared=1))
        await backend.until_asked(1)
        backend.status = 200
        await export(service, root(declared=1, trace=2, name="next"))
        await backend.until_named(1)
        assert backend.names == ["next"]
    assert not elsewhere.asked, "nor where a redirect would lead it"


@pytest.mark.full
@pytest.mark.jaeger
async def test_jaeger_has_what_was_received(tmp_path: Path, jaeger: JaegerProcess) -> None:
    trace = int.from_bytes(tmp_path.name.encode()[-4:] + b"forwarding", "big")
    async with opened(tmp_path, begun=False, serve_forward_url=jaeger.otlp_http_url) as service:
        await export(service, root(declared=2, trace=trace), span(2, 1, trace))
        query = JaegerQuery(jaeger.query_url)
        held = await asyncio.to_thread(query.complete, f"{trace:032x}")
        assert held is not None
        assert sorted(held.names) == ["span 1", "span 2"]

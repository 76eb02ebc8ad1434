"""A run's trace file, and the export to a backend that may be missing."""

import asyncio
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.patience import PATIENCE_S
from trading_graph.otel import spans
from trading_graph.otel.errors import TraceError
from trading_graph.otel.export import Telemetry, TraceFile, set_up
from trading_graph.otel.sources import read
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.loopback import LoopbackServer


async def _record(telemetry: Telemetry, path: Path, agents: int) -> str:
    trace_file = await asyncio.to_thread(TraceFile, path, telemetry.redactor)
    async with spans.run("w", provider=telemetry.provider, attributes={}) as run:
        run.recording.listen(trace_file)
        for number in range(agents):
            with spans.agent(f"agent {number}"):
                pass
    await asyncio.to_thread(trace_file.close)
    return run.run_id


@pytest.fixture
def refused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


async def test_the_file_holds_every_span_when_no_backend_is_there(
    tmp_path: Path, refused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{refused_port}")
    telemetry = set_up("test", "0")
    run_id = await _record(telemetry, tmp_path / "trace.jsonl", agents=1500)
    await asyncio.to_thread(telemetry.shutdown)
    (trace,) = await asyncio.to_thread(read, tmp_path / "trace.jsonl")
    assert trace.trace_id == run_id
    (root,) = trace.roots
    assert trace.attributes(root)[semconv.SPANS_STARTED] == len(trace) == 1501
    assert trace.orphans == []
    (delivery,) = telemetry.deliveries
    assert delivery.lost == 1501
    assert delivery.delivered == 0


async def test_a_missing_backend_costs_less_than_the_sdks_own_retries(
    tmp_path: Path, refused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flush and shutdown together take less than the first back-off of the SDK's exporter (1 s)."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{refused_port}")
    telemetry = set_up("test", "0")
    await _record(telemetry, tmp_path / "trace.jsonl", agents=3)
    started = time.monotonic()
    assert await asyncio.to_thread(telemetry.flush)
    assert await asyncio.to_thread(telemetry.shutdown)
    assert time.monotonic() - started < 1


async def test_spans_reach_the_endpoint_that_the_standard_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    headers: list[str | None] = []

    async def take(request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        headers.append(request.headers.get("x-team"))
        names.extend(
            span.name
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        )
        return web.Response()

    def make_app() -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/traces", take)
        return app

    server = LoopbackServer(make_app)
    await asyncio.to_thread(server.start)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue")
    telemetry = await asyncio.to_thread(set_up, "test", "0")
    await _record(telemetry, tmp_path / "trace.jsonl", agents=2)
    await asyncio.to_thread(telemetry.shutdown)
    await asyncio.to_thread(server.stop)
    assert sorted(names) == ["invoke_agent agent 0", "invoke_agent agent 1", "invoke_workflow w"]
    assert set(headers) == {"blue"}


async def test_the_exporter_can_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    telemetry = set_up("test", "0")
    await _record(telemetry, tmp_path / "trace.jsonl", agents=1)
    assert telemetry.deliveries == ()
    (trace,) = await asyncio.to_thread(read, tmp_path / "trace.jsonl")
    assert len(trace) == 2


async def test_a_disabled_sdk_records_nothing_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    telemetry = set_up("test", "0")
    async with spans.run("w", provider=telemetry.provider, attributes={}) as run:
        with spans.agent("a"):
            pass
    assert run.trace_id is None
    await asyncio.to_thread(telemetry.shutdown)


def test_a_file_that_is_not_a_trace_is_refused_in_one_sentence(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.json"
    for content in (b"", b"\x00\xff\xfe", b"[1, 2]", b'{"resourceSpans": [{"scopeSpans": 7}]}'):
        rubbish.write_bytes(content)
        with pytest.raises(TraceError, match=r"rubbish\.json.* is (empty|no trace)") as raised:
            read(rubbish)
        assert "\n" not in str(raised.value)
    with pytest.raises(TraceError, match="cannot be read"):
        read(tmp_path / "missing.json")


async def test_what_a_full_disk_does_not_take_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    telemetry = set_up("test", "0")
    path = tmp_path / "trace.jsonl"
    trace_file = await asyncio.to_thread(TraceFile, path, telemetry.redactor)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with spans.run("w", provider=telemetry.provider, attributes={}) as run:
        run.recording.listen(trace_file)
        with spans.agent("before"):
            pass
        await asyncio.to_thread(_wait_for, lambda: path.stat().st_size > 0)
        # The file takes the beginning of a line, and no more.
        size = (await asyncio.to_thread(path.stat)).st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, hard))
        try:
            with spans.agent("meanwhile"):
                pass
            await asyncio.to_thread(_wait_for, lambda: "wait in memory" in caplog.text)
            assert len(await asyncio.to_thread(path.read_bytes)) == size
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        with spans.agent("after"):
            pass
    assert await asyncio.to_thread(trace_file.close)
    (trace,) = await asyncio.to_thread(read, path)
    assert sorted(trace.names) == [
        "invoke_agent after",
        "invoke_agent before",
        "invoke_agent meanwhile",
        "invoke_workflow w",
    ]


async def test_a_trace_that_never_gets_room_is_not_called_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    telemetry = set_up("test", "0")
    trace_file = await asyncio.to_thread(TraceFile, tmp_path / "trace.jsonl", telemetry.redactor)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, hard))
    try:
        async with spans.run("w", provider=telemetry.provider, attributes={}) as run:
            run.recording.listen(trace_file)
        assert not await asyncio.to_thread(trace_file.close)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert await asyncio.to_thread((tmp_path / "trace.jsonl").read_bytes) == b""


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)

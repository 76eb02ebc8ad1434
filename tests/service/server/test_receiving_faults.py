"""Bodies that mean harm, overload and killed processes: nothing is lost that was answered."""

import asyncio
import contextlib
import gzip
import json
import signal
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.patience import PATIENCE_S
from tests.service.server.open_service import Service, opened
from tests.service.server.otlp_client import (
    JSON,
    PROTOBUF,
    document,
    export,
    files,
    message,
    post,
    root,
    span,
    verdict,
)
from tests.service.server.serve_process import Serving, serving

ONE = f"{1:032x}"


REFUSED = [
    (b"\x0a", PROTOBUF, "identity", 400),
    (b"\x0a\xff\xff\xff\xff\x0f", PROTOBUF, "identity", 400),
    (b"\xff" * 40, PROTOBUF, "identity", 400),
    (b"not json", JSON, "identity", 400),
    (b'{"resourceSpans": 1}', JSON, "identity", 400),
    (b'{"resourceSpans": [{"scopeSpans": [{"spans": ["a"]}]}]}', JSON, "identity", 400),
    (b"[" * 100_000, JSON, "identity", 400),
    (b'"\xed\xa0\x80"', JSON, "identity", 400),
    (b"plain", PROTOBUF, "gzip", 400),
    (gzip.compress(b"{}" * 1000)[:-9], JSON, "gzip", 400),
    (gzip.compress(b"") * 1000, JSON, "gzip", 400),
    (b"plain", JSON, "deflate", 400),
    (gzip.compress(bytes(2**26)), PROTOBUF, "gzip", 413),
    (zlib.compress(bytes(2**26)), JSON, "deflate", 413),
    (bytes(9 * 2**20), PROTOBUF, "identity", 413),
    (b"{}", JSON, "br", 415),
    (b"{}", "text/plain", "identity", 415),
]


async def test_a_body_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False) as service:
        for body, content_type, encoding, status in REFUSED:
            got, answer, headers = await post(service, body, content_type, encoding)
            assert got == status, (body[:40], answer)
            expected = PROTOBUF if content_type == PROTOBUF else JSON
            assert headers["Content-Type"].startswith(expected)
            assert len(answer) > 40, "it says what is wrong"
        assert not await files(tmp_path)
        await export(service, root(declared=1))
        await verdict(service, ONE)


@pytest.mark.full
async def test_values_nested_too_deep_are_rejected(tmp_path: Path) -> None:
    value: dict[str, object] = {"stringValue": "x"}
    for _ in range(200):
        value = {"arrayValue": {"values": [value]}}
    async with opened(tmp_path, begun=False) as service:
        deep = root(declared=1)
        deep["attributes"].append({"key": "deep", "value": value})
        answer = await export(service, deep, root(declared=1, trace=2))
        assert answer["partialSuccess"]["rejectedSpans"] == "1"
        assert "nested" in answer["partialSuccess"]["errorMessage"]
        assert set(await files(tmp_path)) == {f"{2:032x}"}


@pytest.mark.full
async def test_many_small_requests_of_one_client_are_all_taken(tmp_path: Path) -> None:
    async with opened(
        tmp_path, begun=False, serve_requests_per_s=1, serve_burst=5, serve_settle_s=0.1
    ) as service:
        sent = [root(), *(span(number, 1) for number in range(2, 202))]
        await asyncio.gather(*(export(service, each) for each in sent))
        judged = await document_of(service, 201)
        assert judged["complete"]


async def document_of(service: Service, spans: int) -> dict[str, object]:
    """The verdict once it is on so many spans; the store is asked, which counts no requests."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            stored = await service.parts.store.verdict(ONE)
            judged = json.loads(stored.document) if stored else {"spans": 0}
            if judged["spans"] == spans:
                return dict(judged)
            await asyncio.sleep(0.02)


@pytest.mark.full
@pytest.mark.alone
async def test_past_what_may_wait_a_sender_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_settle_s=1.5) as service:
        receiver = service.parts.receiver
        await export(service, root(declared=1, trace=3))
        await verdict(service, f"{3:032x}")  # a judge is there
        receiver.limits = replace(receiver.limits, waiting=30)
        spans = [root(trace=1), *(span(number, 1) for number in range(2, 40))]
        await export(service, *spans)
        body = json.dumps(message(root(declared=1, trace=2))).encode()
        status, answer, headers = await post(service, body, JSON)
        assert status == 429
        seconds = int(headers["Retry-After"])
        assert f"{seconds} s" in answer.decode()
        assert f"{2:032x}" not in await files(tmp_path)
        for _ in range(3):
            await asyncio.sleep(seconds)
            status, answer, headers = await post(service, body, JSON)
            if status == 200:
                break
            seconds = int(headers["Retry-After"])
        assert status == 200, answer
        await verdict(service, f"{2:032x}")
        assert len((await files(tmp_path))[ONE]) == 39, "what was taken before is not dropped"


async def test_what_waits_for_missing_spans_makes_room(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_settle_s=0.1) as service:
        receiver = service.parts.receiver
        receiver.limits = replace(receiver.limits, waiting=30)
        await export(service, *(span(number, 1) for number in range(2, 40)))  # its root is missing
        body = json.dumps(message(root(declared=1, trace=2))).encode()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status, _, headers = await post(service, body, JSON)
                if status == 200:
                    break
                assert int(headers["Retry-After"]) < 600, "it is not waited for its root"
                await asyncio.sleep(0.1)
        assert (await document(service, ONE))["complete"] is False
        before = (await verdict(service, ONE))["judged"]
        await export(service, root())
        await verdict(service, ONE, before)
        judged = await document(service, ONE)
        assert (judged["complete"], judged["spans"]) == (True, 39)


@pytest.mark.full
async def test_bodies_that_are_read_at_once_are_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False) as service:
        receiver = service.parts.receiver
        receiver.limits = replace(receiver.limits, bodies=1000)
        address = urlsplit(service.url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        head = f"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\n"
        writer.write(f"{head}Content-Length: 900\r\n\r\n".encode())
        body = json.dumps(message(root(declared=1))).encode()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status, _, headers = await post(service, body, JSON)
                if status == 429:
                    break
        assert headers["Retry-After"] == "1"
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        async with asyncio.timeout(PATIENCE_S):
            while status != 200:
                status, _, _ = await post(service, body, JSON)


def test_a_killed_service_loses_nothing_that_it_answered(tmp_path: Path) -> None:
    """Several clients send while the process is killed; the next one judges all of it."""
    taken = _send_and_kill(tmp_path)
    assert len(taken) > 10
    kept = asyncio.run(files(tmp_path))
    for trace_id, count in taken.items():
        assert len(kept.get(trace_id, [])) >= count
    growing = next(tmp_path.glob("runs/received/growing/*"))
    with growing.open("ab") as file:
        file.write(b'{"resourceSpans":[{"scope')  # a line that the kill cut off
    # Without a root a trace is waited for longer.
    ended = {key for key in taken if any("parentSpanId" not in each for each in kept[key])}
    assert len(ended) > 10
    asyncio.run(_start_again(tmp_path, ended))


def _send_and_kill(folder: Path) -> dict[str, int]:
    """How many spans of each trace were answered with 200 until the service was killed."""
    with serving(folder, TRADING_GRAPH_SERVE_SETTLE_S="3600") as service:
        return asyncio.run(_send_until_killed(service))


async def _send_until_killed(service: Serving) -> dict[str, int]:
    taken: dict[str, int] = {}
    async with aiohttp.ClientSession(service.url) as http:

        async def send(client: int) -> None:
            for number in range(1, 10_000):
                trace = client * 10_000 + number // 3
                each = span(number, 1, trace) if number % 3 else root(trace=trace)
                body = json.dumps(message(each))
                kind = {"Content-Type": JSON}
                async with http.post("/v1/traces", data=body, headers=kind) as answer:
                    if answer.status == 200:
                        key = f"{trace:032x}"
                        taken[key] = taken.get(key, 0) + 1

        clients = [asyncio.create_task(send(client)) for client in range(1, 5)]
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if sum(taken.values()) >= 100:
                    break
                await asyncio.sleep(0.01)
        service.process.send_signal(signal.SIGKILL)
        ended = await asyncio.gather(*clients, return_exceptions=True)
        assert all(isinstance(each, aiohttp.ClientError | OSError) for each in ended)
    return taken


async def _start_again(folder: Path, expected: set[str]) -> None:
    async with opened(folder, begun=False) as service:
        await _all_judged(service.url, expected)


async def _all_judged(url: str, expected: set[str]) -> None:
    found = set[str]()
    async with aiohttp.ClientSession(url) as http, asyncio.timeout(PATIENCE_S):
        while not expected <= found:
            async with http.get("/v1/verdicts?limit=200") as answer:
                listed = (await answer.json())["verdicts"]
            found = {each["id"] for each in listed}
            await asyncio.sleep(0.1)


@pytest.mark.full
async def test_a_judge_that_dies_is_replaced_and_the_trace_kept_as_unjudged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "trading_graph.service.server.receiving.judges._PROGRAM"
    async with opened(tmp_path, begun=False) as service:
        with monkeypatch.context() as patch:
            patch.setattr(program, "raise SystemExit(9)")
            await export(service, root(declared=1))
            judged = await document(service, ONE)
            assert (judged["complete"], judged["passed"]) == (False, None)
            assert "terminal" in judged["missing"][0]
        await export(service, root(declared=1, trace=2))
        assert (await document(service, f"{2:032x}"))["complete"]


async def test_grpc_is_named_in_the_log_with_the_line_to_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, begun=False) as service:
        said = await asyncio.to_thread(_export_over_grpc, service.url)
        line = "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
        assert [record for record in caplog.records if line in record.message]
        assert line in said, "the exporter shows what it was told"
        await export(service, root(declared=1))


OVER_GRPC = """\
import grpc, sys
channel = grpc.insecure_channel(sys.argv[1])
try:
    channel.unary_unary("/opentelemetry.TraceService/Export")(b"", timeout=90)
except grpc.RpcError as error:
    print(error.details())
"""


def _export_over_grpc(url: str) -> str:
    # In a process of its own: gRPC does not live with a fork of its process.
    done = subprocess.run(
        [sys.executable, "-c", OVER_GRPC, urlsplit(url).netloc],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stdout

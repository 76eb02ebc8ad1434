"""`trading-graph serve` as people start it and as a supervisor stops it."""

import http.client
import json
import signal
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.held_model import HeldModel
from tests.jaeger_process import JaegerProcess
from tests.otlp_receiver import OtlpReceiver
from tests.patience import PATIENCE_S
from tests.service.server.serve_process import refused, serving
from trading_graph.service.server.access import digest
from trading_graph.toolkit.loopback import LoopbackServer

TOKEN = "a-token-of-the-test"
WITH_TOKEN: dict[str, Any] = {"TRADING_GRAPH_SERVE_TOKEN_SHA256": json.dumps([digest(TOKEN)])}


def ask(url: str, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    try:
        sent = None if body is None else json.dumps(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, sent, {**kind, **headers})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None
    finally:
        connection.close()


def over(url: str, run_id: str, **headers: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        _, run = ask(url, "GET", f"/v1/runs/{run_id}", **headers)
        if run["state"] in ("done", "failed", "cancelled"):
            return run
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_says_where_it_is_and_what_it_uses_and_a_signal_ends_it(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        assert ask(service.url, "GET", "/healthz") == (200, {"status": "ok"})
        status, run = ask(service.url, "POST", "/v1/runs", {"symbol": "AAPL"})
        assert status == 202
        assert over(service.url, run["id"])["state"] == "done"
        service.process.send_signal(signal.SIGTERM)
        assert service.ended() == 0, service.talk
    assert any("model: offline rules" in line and "simulated" in line for line in service.talk)
    assert not any("Traceback" in line for line in service.talk)
    assert (tmp_path / "runs" / run["id"] / "decision.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_can_be_stopped_the_moment_it_says_where_it_is(
    tmp_path: Path, number: signal.Signals
) -> None:
    with serving(tmp_path) as service:
        service.process.send_signal(number)
        assert service.ended() == 0


def test_a_signal_lets_what_runs_end_and_keeps_what_waits(tmp_path: Path) -> None:
    env: dict[str, Any] = {
        "TRADING_GRAPH_SERVE_RUNS_AT_ONCE": "1",
        "TRADING_GRAPH_SERVE_DRAIN_S": "600",
    }
    model = HeldModel(latency_s=0.05)
    model.hold("trader")
    with (
        LoopbackServer(model.make_app) as models,
        serving(tmp_path, model_url=models.url, **env) as service,
    ):
        _, first = ask(service.url, "POST", "/v1/runs", {"symbol": "AAPL"})
        _, second = ask(service.url, "POST", "/v1/runs", {"symbol": "NVDA"})
        follower = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=PATIENCE_S)
        follower.request("GET", f"/v1/runs/{first['id']}/events")
        stream = follower.getresponse()
        stream.readline()
        while not model.received:  # Until then the first may be one that waits, too.
            time.sleep(0.01)
        service.process.send_signal(signal.SIGTERM)
        while ask(service.url, "GET", "/readyz")[0] != 503:
            time.sleep(0.01)
        assert ask(service.url, "GET", "/healthz")[0] == 200, "it answers while it drains"
        status, problem = ask(service.url, "POST", "/v1/runs", {"symbol": "MSFT"})
        assert (status, "stopping" in problem["detail"]) == (503, True)
        model.release()
        assert b'"finished"' in stream.read(), "who follows sees the end"
        follower.close()
        assert service.ended() == 0
    with serving(tmp_path, **env) as service:
        assert ask(service.url, "GET", f"/v1/runs/{first['id']}")[1]["state"] == "done"
        assert over(service.url, second["id"])["state"] == "done"
        assert len(ask(service.url, "GET", "/v1/runs")[1]["runs"]) == 2


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    env: dict[str, Any] = {
        "TRADING_GRAPH_CHAT_LATENCY_S": "30",
        "TRADING_GRAPH_SERVE_DRAIN_S": "600",
    }
    with serving(tmp_path, **env) as service:
        _, run = ask(service.url, "POST", "/v1/runs", {"symbol": "AAPL"})
        while ask(service.url, "GET", f"/v1/runs/{run['id']}")[1]["state"] != "running":
            time.sleep(0.02)
        service.process.send_signal(signal.SIGTERM)
        while ask(service.url, "GET", "/readyz")[0] != 503:
            time.sleep(0.01)
        service.process.send_signal(signal.SIGTERM)
        assert service.ended() == 0, service.talk
    quick: dict[str, Any] = {"TRADING_GRAPH_CHAT_LATENCY_S": "0.05"}
    with serving(tmp_path, **quick) as service:
        found = over(service.url, run["id"])
    assert (found["state"], found["resumed"]) == ("done", 1)


def test_an_address_that_others_reach_needs_a_token(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "somewhere.example"):
        code, said = refused(tmp_path, "--host", host)
        assert code == 2
        assert said.count("\n") == 1
        assert "no token is set" in said
        assert "--new-token" in said
    with serving(tmp_path, "--host", "0.0.0.0", **WITH_TOKEN) as service:
        url = service.url.replace("0.0.0.0", "127.0.0.1")
        assert ask(url, "GET", "/v1/runs")[0] == 401
        assert ask(url, "GET", "/v1/runs", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert ask(url, "GET", "/healthz")[0] == 200


def test_a_new_token_is_let_in(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "--host", "0.0.0.0", TRADING_GRAPH_SERVE_TOKEN_SHA256='["x"]')
    assert code == 2
    assert "TRADING_GRAPH_SERVE_TOKEN_SHA256" in said


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, said = refused(tmp_path, "--port", str(other.getsockname()[1]))
    assert code == 2
    assert said.count("\n") == 1
    assert "Address already in use; choose another with --host or --port" in said


def test_a_second_service_in_a_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path, TRADING_GRAPH_CHAT_LATENCY_S="0.2") as service:
        _, run = ask(service.url, "POST", "/v1/runs", {"symbol": "AAPL"})
        code, said = refused(tmp_path, "--port", "0")
        assert code == 3
        assert said.count("\n") == 1
        assert "Another service works in runs; stop it" in said
        found = over(service.url, run["id"])
        assert (found["state"], found["resumed"]) == ("done", 0)


@pytest.mark.jaeger
def test_a_jaeger_that_comes_and_goes_changes_nothing(
    tmp_path: Path, jaeger: JaegerProcess
) -> None:
    gate = OtlpReceiver(forward=jaeger.otlp_http_url)
    with gate.served() as url:
        env: dict[str, Any] = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "TRADING_GRAPH_JAEGER_URL": jaeger.query_url,
        }
        with serving(tmp_path, **env) as service:
            found = []
            for status in (200, 503, 200):
                gate.status = status
                asked = {"symbol": "AAPL", "analysts": ["market"]}
                _, run = ask(service.url, "POST", "/v1/runs", asked)
                found.append(over(service.url, run["id"]))
            service.process.send_signal(signal.SIGTERM)
            assert service.ended() == 0
    assert [run["state"] for run in found] == ["done"] * 3
    assert all(run["passed"] is not None for run in found)

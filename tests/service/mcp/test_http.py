"""`/mcp` of the service: the same tools over HTTP, under the service's own rules of access."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.library.traces import trace_file
from tests.patience import PATIENCE_S
from tests.service.mcp.clients import ask, http_client
from tests.service.mcp.test_stdio import CASES, SLOW
from tests.service.server.raw_http import TOKEN
from tests.service.server.serve_process import Serving, serving
from trading_graph.service.server.access import digest

RUN = "2f7483a5662db3518abb4e61b1599532"
QUESTION = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
HEADERS = {
    "Authorization": f"Bearer {TOKEN}",
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a service with one run, a slow one, and a trace that is not the service's."""
    folder = tmp_path_factory.mktemp("service")
    run = folder / "runs" / RUN
    run.mkdir(parents=True)
    shutil.copy(CASES / SLOW, run / "trace.jsonl")
    trace_file(folder, "secret.json")
    return folder


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Serving]:
    settings = {
        "TRADING_GRAPH_SERVE_TOKEN_SHA256": f'["{digest(TOKEN)}"]',
        "TRADING_GRAPH_SERVE_DRAIN_S": "0",
        "TRADING_GRAPH_SERVE_BASE_PATH": "/trading",
        "OPENAI_API_KEY": "sk-of-the-service-0123456789",
    }
    with serving(folder, **settings) as service:
        yield service
        children = children_of(service.process.pid)
        service.process.terminate()
        assert service.ended() == 0
        assert not [each for each in children if Path(f"/proc/{each}").exists()]


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(each) for task in tasks for each in (task / "children").read_text().split()]


def kill_children(pid: int) -> list[int]:
    """Kill them, none of which knows the service's key, and wait until they are gone."""
    killed = children_of(pid)
    for each in killed:
        assert b"sk-of-the-service" not in Path(f"/proc/{each}/environ").read_bytes()
        os.kill(each, signal.SIGKILL)
    while set(children_of(pid)) & set(killed):
        time.sleep(0.01)
    return killed


async def test_a_client_gets_the_reason_for_a_slow_run(service: Serving, folder: Path) -> None:
    async with http_client(f"{service.url}/trading", TOKEN) as client:
        listed = await ask(client, "list_traces")
        assert [each["trace"] for each in listed.content["traces"]] == [RUN]
        for word in ("last", RUN):
            why = await ask(client, "diagnosis", trace=word)
            assert why.content["findings"][0]["kind"] == "serial tools"
        for word in (f"{folder}/secret.json", "../secret.json", "/etc/passwd"):
            answer = await ask(client, "diagnosis", trace=word)
            assert answer.is_error
            assert "outside of" in answer.text


async def test_a_server_that_was_killed_is_started_again(service: Serving) -> None:
    async with http_client(service.url, TOKEN) as client:
        await ask(client, "verdict", trace="last")
        assert await asyncio.to_thread(kill_children, service.process.pid)
        assert not (await ask(client, "verdict", trace="last")).is_error


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": ""}, 401),
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
def test_the_rules_of_the_service_hold(
    service: Serving, change: dict[str, str], status: int
) -> None:
    answer = requests.post(
        f"{service.url}/mcp", data=QUESTION, headers=HEADERS | change, timeout=PATIENCE_S
    )
    assert answer.status_code == status, answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if status != 200:
        assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_what_is_no_question_is_refused(service: Serving) -> None:
    url = f"{service.url}/mcp"
    for method in ("GET", "DELETE"):
        assert requests.request(method, url, headers=HEADERS, timeout=PATIENCE_S).status_code == 405
    long = requests.post(url, data=b" " * 2**21, headers=HEADERS, timeout=PATIENCE_S)
    assert long.status_code == 413
    for body in (b"", b"{", b"[]", b"\xff", b'{"jsonrpc": "2.0"}'):
        answer = requests.post(url, data=body, headers=HEADERS, timeout=PATIENCE_S)
        assert 400 <= answer.status_code < 500, body

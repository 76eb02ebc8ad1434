"""LangGraph's own server: a run through its API leaves one trace, whole and right.

The server is the one that LANGGRAPH_BIN names, of an environment of its own (docs/langgraph-dev.md
says how to make one). Where nothing is named the tests are skipped; what is named has to be there.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.jaeger_process import JaegerServer, binary_or_skip, free_ports
from tests.patience import PATIENCE_S
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import Outcome, Verdict, judge

pytestmark = pytest.mark.jaeger

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 60.0
SILENT = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true"}
UNHURRIED = {"TRADING_GRAPH_CHAT_LATENCY_S": "0.4", "TRADING_GRAPH_FETCH_LATENCY_S": "0.15"}

# Python imports a module of this name on its start.
SITE = """\
import sys
from pathlib import Path
from network_guard import ForeignHostError, NetworkGuard

guard = NetworkGuard()
guard.active = True
note = Path(__file__).with_name("attempts").open("w", buffering=1)

def hear(event, args):
    try:
        guard.hear(event, args)
    except ForeignHostError as error:
        print(error, file=note)
        raise

sys.addaudithook(hear)
"""


@dataclass(frozen=True, slots=True)
class Served:
    """Two runs of a server that was stopped as soon as the second had its answer."""

    answers: tuple[dict[str, Any], ...]
    after_first: list[SpanTable]
    after_exit: list[SpanTable]
    attempts: str  # to reach a foreign host
    folder: Path


def program_or_skip() -> Path:
    """Return the `langgraph` command, or skip the test; one that is named and not there fails."""
    named = os.environ.get("LANGGRAPH_BIN")
    if not named:
        pytest.skip("LANGGRAPH_BIN names no `langgraph` command; docs/langgraph-dev.md makes one")
    if not os.access(named, os.X_OK):
        pytest.fail(f"LANGGRAPH_BIN={named} is no program", pytrace=False)
    return Path(named)


def guarded(folder: Path) -> dict[str, str]:
    """The environment in which a Python notes in `folder` which foreign hosts it reached for."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITE)
    (folder / "network_guard.py").symlink_to(ROOT / "tests" / "network_guard.py")
    return {**os.environ, "PYTHONPATH": str(folder)}


@contextmanager
def langgraph_dev(program: Path, folder: Path, env: dict[str, str]) -> Iterator[str]:
    """Serve our langgraph.json; gives the URL, and terminates the server at the end.

    The server resolves the paths of langgraph.json in the current folder, and writes there: that
    one is not the project's.
    """
    for name in ("langgraph.json", "service"):
        (folder / name).symlink_to(ROOT / name)
    (port,) = free_ports(1)
    log = folder / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [program, "dev", "--no-browser", "--no-reload", "--port", str(port)],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(url):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server did not start; its log ends: {tail(log)}")
            time.sleep(0.1)
        yield url
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=PATIENCE_S)
    finally:
        server.kill()
        server.wait()


def answers(url: str) -> bool:
    """Ask once whether the server is ready."""
    try:
        with urlopen(f"{url}/ok", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def tail(log: Path) -> str:
    """Return the last lines that the server logged."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def run(url: str) -> dict[str, Any]:
    """Ask the server for one analysis and wait for its answer."""
    asked = {"assistant_id": "trading_graph", "input": {"symbol": "NVDA", "date": "2025-11-14"}}
    request = Request(
        f"{url}/runs/wait",
        data=json.dumps(asked).encode(),
        headers={"content-type": "application/json"},
    )
    with urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run two analyses on one server, beside a Jaeger that holds nothing else."""
    program = program_or_skip()
    folder = tmp_path_factory.mktemp("langgraph")
    server = JaegerServer(binary_or_skip(), tmp_path_factory.mktemp("jaeger"))
    try:
        jaeger = server.start()
        query = JaegerQuery(jaeger.query_url)
        site = folder / "site"
        where = {"OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http_url}
        env = {**guarded(site), **SILENT, **UNHURRIED, **where}
        with langgraph_dev(program, folder, env) as url:
            first = run(url)
            query.complete(first["decision"]["trace_id"])
            after_first = traces(query)
            second = run(url)
        query.complete(second["decision"]["trace_id"])
        yield Served(
            (first, second), after_first, traces(query), (site / "attempts").read_text(), folder
        )
    finally:
        server.stop()


def traces(query: JaegerQuery) -> list[SpanTable]:
    """All traces of every service in this Jaeger, the newest first."""
    now = datetime.now(UTC) + timedelta(minutes=1)
    found = {
        trace.trace_id: trace
        for service in query.services()
        for trace in query.search(service, now - timedelta(hours=1), now)
    }
    return list(found.values())


def verdict(found: SpanTable) -> Verdict:
    """Judge the trace, which has to be complete."""
    judged = judge(found, own_gate())
    assert judged.judged, judged.missing
    return judged


def test_a_run_answers_with_its_decision_and_leaves_one_trace(served: Served) -> None:
    decision = served.answers[0]["decision"]
    assert decision["decision"]["action"] in {"BUY", "HOLD", "SELL"}
    assert decision["symbol"] == "NVDA"
    (trace,) = served.after_first
    assert trace.trace_id == decision["trace_id"]
    assert len(trace.roots) == 1
    assert trace.orphans == []


def test_its_trace_is_whole_and_the_fan_out_proven(served: Served) -> None:
    for trace in served.after_exit:
        results = {result.id: result for result in verdict(trace).checks}
        allowed = {Outcome.PASS, Outcome.NOT_APPLICABLE}
        assert {result.outcome for result in results.values()} <= allowed, results
        for check in ("start", "overlap"):
            assert results[check].grade == "proven", results[check]


def test_two_runs_leave_two_traces_even_when_the_server_stops_at_once(served: Served) -> None:
    ids = [answer["decision"]["trace_id"] for answer in served.answers]
    assert len(set(ids)) == 2
    assert {trace.trace_id for trace in served.after_exit} == set(ids)
    assert not (served.folder / "logs").exists(), "nothing had to be spooled"


def test_nothing_left_this_machine(served: Served) -> None:
    assert served.attempts == ""


def test_a_server_that_reached_out_would_be_noticed(tmp_path: Path) -> None:
    python = program_or_skip().with_name("python")
    site = tmp_path / "site"
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    done = subprocess.run([python, "-c", reach], env=guarded(site), capture_output=True)
    assert done.returncode == 1
    assert "192.0.2.1" in (site / "attempts").read_text()

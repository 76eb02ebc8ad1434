"""The service killed and started again: every run comes to its decision, nothing is made twice."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.e2e.test_kill import (
    CHAIN,
    CHAT_S,
    COMMAND,
    ENV,
    FETCH_S,
    assert_each_made_once,
    decision_in,
    trace_of,
)
from tests.patience import PATIENCE_S
from trading_graph.otel.verdict import completeness
from trading_graph.service.run.folder import FolderState, folder_state

RUN_S = CHAIN * CHAT_S + FETCH_S


class Service:
    """A `trading-graph serve` in a process of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--offline"],
            cwd=folder,
            env={**os.environ, **ENV, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), self.address

    def asked(self, path: str, body: Any = None, **headers: str) -> Any:
        request = Request(
            self.address + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", **headers},
        )
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def begin(self, key: str) -> str:
        """Start a run, and wait until it is being made."""
        run = self.asked("/v1/runs", {"symbol": "AAPL"}, **{"Idempotency-Key": key})
        while run["state"] == "queued":
            time.sleep(0.01)
            run = self.asked(run["links"]["self"])
        return str(run["id"])

    def ended(self, run_id: str) -> dict[str, Any]:
        """Wait for the end of a run."""
        run: dict[str, Any] = {"ended": None}
        deadline = time.monotonic() + PATIENCE_S
        while run["ended"] is None:
            assert time.monotonic() < deadline, run
            time.sleep(0.02)
            run = self.asked(f"/v1/runs/{run_id}")
        return run

    def stop(self, how: signal.Signals) -> int:
        self._process.send_signal(how)
        self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Service]:
    service = Service(folder, **settings)
    try:
        yield service
    finally:
        service.stop(signal.SIGKILL)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.full)])
def test_after_every_kill_every_run_comes_to_its_decision(workdir: Path, kills: int) -> None:
    chance = random.Random(11)
    runs: list[str] = []
    with serving(workdir) as service:
        undisturbed = workdir / "runs" / service.ended(service.begin("undisturbed"))["id"]
    for moment in range(kills):
        with serving(workdir) as service:
            if runs:  # the one that the last kill interrupted
                assert service.ended(runs[-1])["state"] == "done"
            runs.append(service.begin(f"run {moment}"))
            again = service.asked("/v1/runs", {"symbol": "AAPL"}, **{"Idempotency-Key": "run 0"})
            assert again["id"] == runs[0], "a key holds across restarts"
            time.sleep((moment + chance.random()) / kills * RUN_S)
    with serving(workdir) as service:
        last = service.ended(runs[-1])
        listed = service.asked("/v1/runs?limit=200")["runs"]
    assert last["state"] == "done"
    assert {run["id"] for run in listed} == {undisturbed.name, *runs}, "one record a run"
    assert sum(run["resumed"] for run in listed) >= kills // 2, "else nothing was interrupted"
    for run_id in runs:
        folder = workdir / "runs" / run_id
        assert folder_state(folder) is FolderState.OVER
        assert decision_in(folder) == decision_in(undisturbed)
        trace = trace_of(folder)
        assert completeness(trace).exact
        assert_each_made_once(trace, trace_of(undisturbed))


def test_a_service_that_is_told_to_stop_leaves_what_does_not_end_in_time(workdir: Path) -> None:
    with serving(workdir, TRADING_GRAPH_SERVE_DRAIN_S="0") as service:
        run_id = service.begin("a")
        time.sleep(RUN_S / 2)
        assert service.stop(signal.SIGTERM) == 0
    folder = workdir / "runs" / run_id
    assert folder_state(folder) is FolderState.INTERRUPTED
    with serving(workdir, TRADING_GRAPH_SERVE_DRAIN_S="0") as service:
        run = service.ended(run_id)
        events = _events(service, run_id)
    assert (run["state"], run["resumed"], run["error"]) == ("done", 1, None)
    trace = trace_of(folder)
    assert completeness(trace).exact
    kinds = {trace.attributes(row).get("error.type") for row in range(len(trace))}
    assert "cancelled" not in kinds, "nobody has cancelled it"
    assert not [each for each in events if each.get("error") == "cancelled"]
    assert [each["type"] for each in events[-2:]] == ["verdict", "finished"]


def test_a_service_that_is_told_to_stop_lets_runs_end_in_their_time(workdir: Path) -> None:
    with serving(workdir, TRADING_GRAPH_SERVE_DRAIN_S="30") as service:
        run_id = service.begin("a")
        assert service.stop(signal.SIGTERM) == 0
    assert folder_state(workdir / "runs" / run_id) is FolderState.OVER
    with serving(workdir) as service:
        run = service.asked(f"/v1/runs/{run_id}")
    assert (run["state"], run["resumed"]) == ("done", 0)


def _events(service: Service, run_id: str) -> list[dict[str, Any]]:
    with urlopen(f"{service.address}/v1/runs/{run_id}/events", timeout=PATIENCE_S) as answer:
        lines = answer.read().decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]

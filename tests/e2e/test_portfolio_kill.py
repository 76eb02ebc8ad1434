"""kill -9 in the middle of a portfolio: every ticker-day ends once, and nothing is paid twice.

What is paid is counted where it is paid: at the model's server.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.paid_model import Asked, PaidModel
from tests.patience import PATIENCE_S
from trading_graph.graph.options import ANALYSTS, DEBATERS, RISK_ANALYSTS
from trading_graph.otel.sources import read
from trading_graph.otel.trace import ERROR
from trading_graph.otel.vocabularies import Role
from trading_graph.service.cli import main
from trading_graph.service.portfolio.run_tally import run_record
from trading_graph.service.run.folder import FolderState, folder_state
from trading_graph.toolkit.loopback import LoopbackServer

COMMAND = [sys.executable, "-c", "from trading_graph.service.cli import main; main()", "portfolio"]
KEY = "sk-of-the-test-0123456789"
ENV = {
    "OTEL_TRACES_EXPORTER": "none",
    "OPENAI_API_KEY": KEY,
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.01",
}
STAGES = [
    ANALYSTS,
    DEBATERS,
    ("research_manager",),
    ("trader",),
    RISK_ANALYSTS,
    ("risk_judge",),
]
STAGE = {agent: number for number, agents in enumerate(STAGES) for agent in agents}
CALLS = {agent: 2 if agent in ANALYSTS else 1 for agent in STAGE}
CALLS_OF_RUN = sum(CALLS.values())
SIX = ("AAPL", "NVDA", "MSFT", "WMT", "META", "TSLA")


class Portfolio:
    """A portfolio whose processes a test starts and kills, and the model that they pay."""

    def __init__(self, workdir: Path, model: PaidModel, url: str) -> None:
        self.workdir = workdir
        self.model = model
        self._env = {**ENV, "OPENAI_BASE_URL": url}
        self._processes: list[subprocess.Popen[str]] = []
        self.paid: dict[Asked, int] = {}
        """What the calls of each agent were that had ended when a process was killed."""

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a process of `trading-graph portfolio`."""
        process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.workdir,
            env={**os.environ, **self._env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        self.model.client = process.pid
        return process

    def close(self) -> None:
        """End what a failed test has left."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def end(self, *words: str, code: int = 0) -> Result:
        """Call the command in this process, which has imported what takes the others seconds."""
        done = CliRunner().invoke(main, ["portfolio", *words], env=self._env)
        assert done.exit_code == code, done.output
        return done

    def kill_after(self, process: "subprocess.Popen[str]", calls: int) -> None:
        """Kill a process when the model has got so many calls, or let it end before that."""
        deadline = time.monotonic() + PATIENCE_S
        while process.poll() is None and not self.model.wait_for(calls, 0.05):
            assert time.monotonic() < deadline
        process.kill()
        process.communicate()
        self.note_what_was_brought()

    def wait_for_requests(self, number: int) -> None:
        """Wait until so many came to the model, and those that it does not answer are under way."""
        deadline = time.monotonic() + PATIENCE_S
        while self.model.received < number:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def note_what_was_brought(self) -> None:
        """Note of each agent that has ended what it was paid."""
        for folder in (self.workdir / "runs").glob("*"):
            for asked in _ended_agents(folder):
                self.paid.setdefault(asked, self.model.calls[asked])

    def status(self) -> Any:
        """The document of the portfolio."""
        return json.loads(self.end("status", "--json").stdout)

    def assert_each_ended_once(self, ticker_days: int) -> None:
        """Every ticker-day ended once, and no agent that had ended was asked again."""
        for asked, calls in self.paid.items():
            assert self.model.calls[asked] == calls, f"{asked} had ended, and was asked again"
        for run, agents in self.model.asked.items():
            stages = [STAGE[agent] for agent in agents]
            assert stages == sorted(stages), f"{run} went back to what it had done"
        document = self.status()
        assert [each["state"] for each in document["ticker_days"]] == ["done"] * ticker_days
        (progress,) = self.workdir.glob("portfolios/*/progress.jsonl")
        events = [json.loads(line) for line in progress.read_text().splitlines()]
        done = Counter(each["run_id"] for each in events if each["happening"] == "done")
        assert done == dict.fromkeys((each["run_id"] for each in document["ticker_days"]), 1)
        runs = sorted((self.workdir / "runs").iterdir())
        assert [each.name for each in runs] == sorted(done)
        assert {folder_state(each) for each in runs} == {FolderState.OVER}


def _ended_agents(folder: Path) -> Iterator[Asked]:
    """The agents of a run that ended well, by its trace as it stands in its file."""
    file = folder / "trace.jsonl"
    traces = read(file) if file.exists() else []
    if not traces:
        return
    order = folder / "order.json"
    decision = folder / "decision.json"
    if order.exists():
        request = json.loads(order.read_text())["request"]
        of = request["symbol"], request["date"]
    else:
        made = json.loads(decision.read_text())
        of = made["symbol"], made["as_of"]
    (trace,) = traces
    for row, role in enumerate(trace.roles):
        name = trace.names[row].removeprefix("invoke_agent ")
        if role is Role.AGENT and name in STAGE and trace.status[row] != ERROR:
            yield Asked(*of, name)


@contextmanager
def portfolio(workdir: Path, model: PaidModel) -> Iterator[Portfolio]:
    with LoopbackServer(model.make_app) as server:
        begun = Portfolio(workdir, model, f"{server.url}/v1")
        try:
            yield begun
        finally:
            begun.close()


def moment_of(seed: int, calls: int) -> int:
    """A random moment as a number of calls; the seed is printed, so that it can be had again."""
    print(f"seed {seed}")
    return random.Random(seed).randrange(1, calls)


def moments_of(seed: int, times: int, calls: int) -> list[int]:
    """Random moments as numbers of calls, one in each equal part of all calls."""
    print(f"seed {seed}")
    chosen = random.Random(seed)
    return [1 + int((part + chosen.random()) * (calls - 1) / times) for part in range(times)]


SEEDS = (21, 7)


def test_a_killed_portfolio_goes_on_where_it_stood(workdir: Path) -> None:
    """The same command goes on; `resume` does in the long part."""
    words = ("run", "AAPL", "NVDA", "WMT", "--dates", "2025-11-13..2025-11-14", "--at-once", "3")
    with portfolio(workdir, PaidModel(0.05)) as begun:
        moment = moment_of(SEEDS[0], 6 * CALLS_OF_RUN)
        begun.kill_after(begun.start(*words), moment)
        begun.end(*words)
        begun.assert_each_ended_once(6)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10))
def test_sixty_ticker_days_survive_a_kill_at_any_moment(workdir: Path, seed: int) -> None:
    words = ("run", *SIX, "--dates", "2025-10-27..2025-11-07", "--at-once", "12", "--yes")
    with portfolio(workdir, PaidModel(0.1)) as begun:
        moment = moment_of(seed, 60 * CALLS_OF_RUN)
        begun.kill_after(begun.start(*words), moment)
        begun.end("resume")
        begun.assert_each_ended_once(60)
        repeated = sum(begun.model.calls.values()) - 60 * CALLS_OF_RUN
        print(f"killed at call {moment} of {60 * CALLS_OF_RUN}; {repeated} calls were made again")


@pytest.mark.full
def test_sixty_ticker_days_survive_ten_kills_in_a_row(workdir: Path) -> None:
    words = ("run", *SIX, "--dates", "2025-10-27..2025-11-07", "--at-once", "12", "--yes")
    with portfolio(workdir, PaidModel(0.1)) as begun:
        for number, moment in enumerate(moments_of(SEEDS[1], 10, 60 * CALLS_OF_RUN)):
            process = begun.start(*words) if number == 0 else begun.start("resume")
            begun.kill_after(process, moment)
        begun.end("resume")
        begun.assert_each_ended_once(60)


@pytest.mark.full
def test_a_ticker_that_kills_its_process_is_parked_and_the_rest_goes_on(workdir: Path) -> None:
    """Its third try is made after all others and alone: what died with it twice is not parked."""
    model = PaidModel(0.02, poison=("NVDA", "trader"))
    words = ("run", "AAPL", "NVDA", "WMT", "--analysts", "market", "--at-once", "3")
    with portfolio(workdir, model) as begun:
        for _ in range(3):
            process = begun.start(*words)
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        begun.end(*words, code=1)
        states = {each["symbol"]: each["state"] for each in begun.status()["ticker_days"]}
        assert states == {"AAPL": "done", "NVDA": "parked", "WMT": "done"}
        calls = {asked.agent: n for asked, n in model.calls.items() if asked.symbol == "NVDA"}
        assert calls["trader"] == 3
        assert calls["market_analyst"] == 2, "paid once, in three processes"
        model.poison = None
        begun.end("resume", "--parked")
        begun.assert_each_ended_once(3)


@pytest.mark.parametrize(
    ("word", "code"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.full), (signal.SIGTERM, 143)],
)
def test_an_interrupted_portfolio_says_how_to_go_on(
    workdir: Path, word: signal.Signals, code: int
) -> None:
    words = ("run", "AAPL", "NVDA", "--analysts", "market", "--at-once", "1")
    with portfolio(workdir, PaidModel(0.02)) as begun:
        begun.model.hold("research_manager")
        process = begun.start(*words)
        begun.wait_for_requests(5)
        process.send_signal(word)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == code, err
        assert "Traceback" not in err
        document = begun.status()
        assert f"trading-graph portfolio resume {document['portfolio_id']}" in err
        assert document["state"] == "interrupted"
        assert [each["tries"] for each in document["ticker_days"]] == [0, 0], "no try is lost"
        assert document["calls"] == begun.model.received
        begun.note_what_was_brought()
        begun.model.release()
        begun.end("resume")
        begun.assert_each_ended_once(2)
        assert begun.status()["calls"] == begun.model.received


def test_another_process_cancels_and_is_refused_to_work_beside(workdir: Path) -> None:
    words = ("run", "AAPL", "NVDA", "--analysts", "market", "--at-once", "1")
    with portfolio(workdir, PaidModel(0.02)) as begun:
        begun.model.hold("research_manager")
        process = begun.start(*words)
        begun.wait_for_requests(5)
        assert begun.status()["state"] == "running"
        for beside in (words, ("resume",)):
            assert "Another process works on the portfolio" in begun.end(*beside, code=3).stderr
        cancelled = json.loads(begun.end("cancel", "--json").stdout)
        assert process.wait(PATIENCE_S) == 3
        assert cancelled["state"] == "cancelled"
        assert [each["state"] for each in cancelled["ticker_days"]] == ["cancelled"] * 2
        assert cancelled["calls"] == begun.model.received
        assert "was cancelled; go on with" in begun.end(*words, code=3).stderr
        begun.note_what_was_brought()
        begun.model.release()
        begun.end("resume")
        begun.assert_each_ended_once(2)
        assert begun.status()["calls"] == begun.model.received


def test_what_killed_and_cancelled_tries_have_used_counts(workdir: Path) -> None:
    """Their calls stand in their runs' traces only, also when nobody goes on with them."""
    words = ("run", "AAPL", "NVDA", "--analysts", "market", "--at-once", "2")
    with portfolio(workdir, PaidModel(0.02)) as begun:
        begun.model.hold("research_manager")
        process = begun.start(*words)
        begun.wait_for_requests(10)
        deadline = time.monotonic() + PATIENCE_S
        while sum(map(_recorded_calls, (workdir / "runs").iterdir())) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.communicate()
        killed = begun.status()
        assert killed["calls"] == begun.model.received == 10
        assert killed["tokens"] > 0
        cancelled = json.loads(begun.end("cancel", "--json").stdout)
        assert (cancelled["calls"], cancelled["tokens"]) == (10, killed["tokens"])
        begun.model.release()
        begun.end("resume")
        begun.assert_each_ended_once(2)
        done = begun.status()
        assert done["calls"] == begun.model.received
        assert done["tokens"] > killed["tokens"]


def _recorded_calls(run: Path) -> int:
    """How many calls a run has recorded, those included that are under way."""
    return sum(each.calls for each in run_record(run).usage)

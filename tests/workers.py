"""Workers of a database as processes that a test starts, kills and pauses, and their model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tests.e2e.test_portfolio_kill import ENV, STAGE, _ended_agents
from tests.paid_model import Asked, PaidModel
from tests.patience import PATIENCE_S, Patience
from trading_graph.service.cli import main
from trading_graph.service.portfolio.folder import find_portfolio
from trading_graph.service.run.folder import TRACE, FolderState, folder_state
from trading_graph.toolkit.loopback import LoopbackServer

PROGRAM = "from trading_graph.service.cli import main; main()"
OTHER_VERSION = (
    "import sys; from trading_graph.service.commands.worker import worker_command; "
    "worker_command(database=None, at_once=2, at_once_in_all=None, drain=0, migrate=False, "
    "rejoin=False, version='0.0.9')"
)


class House:
    """A database, the folders beside it, and the processes that work there."""

    def __init__(self, workdir: Path, model: PaidModel, url: str, database: str | None) -> None:
        self.workdir = workdir
        self.model = model
        self._env = {**ENV, "OPENAI_BASE_URL": url}
        if database is not None:
            self._env["TRADING_GRAPH_DATABASE_URL"] = database
        self._processes: list[subprocess.Popen[bytes]] = []
        self.paid: dict[Asked, int] = {}
        """What the calls of each agent were that had ended when a process was killed."""

    def start(
        self, *words: str, program: str = PROGRAM, **environment: str
    ) -> "subprocess.Popen[bytes]":
        """Start a process of `trading-graph`; what it says goes to a file."""
        talk = self.workdir / f"talk-{len(self._processes)}.txt"
        with talk.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", program, *words],
                cwd=self.workdir,
                env={**os.environ, **self._env, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)
        return process

    def worker(self, *words: str, **how: Any) -> "subprocess.Popen[bytes]":
        """Start a worker."""
        return self.start("worker", *words, **how)

    def submit(self, *words: str) -> str:
        """Submit a portfolio from this process, and return its id."""
        return self.end("portfolio", "submit", *words, "--yes").stdout.strip()

    def end(self, *words: str, code: int = 0) -> Result:
        """Call a command in this process, which has imported what takes the others seconds."""
        done = CliRunner().invoke(main, words, env=self._env)
        assert done.exit_code == code, done.output
        return done

    def report(self) -> Any:
        """What the report of the last portfolio says: decisions, ranking, back-test."""
        return json.loads(self.end("portfolio", "report", "--json").stdout)

    def report_of_one_process(self, *words: str) -> Any:
        """The same of the portfolio that this process makes alone, in folders of its own."""
        folders = {
            "TRADING_GRAPH_OUT": "alone/runs",
            "TRADING_GRAPH_PORTFOLIOS": "alone/portfolios",
        }
        self._env |= folders
        self.end("portfolio", "run", *words, "--yes")
        report = self.report()
        for name in folders:
            del self._env[name]
        return report

    def talk(self) -> str:
        """All that the processes said."""
        return "\n".join(each.read_text() for each in sorted(self.workdir.glob("talk-*.txt")))

    def wait_for_calls(self, calls: int) -> None:
        """Wait until the model has got so many calls."""
        self._wait_until(lambda: self.model.total >= calls)

    def wait_for_requests(self, number: int) -> None:
        """Wait until so many came to the model, and those that it does not answer are under way."""
        self._wait_until(lambda: self.model.received >= number)

    def wait_for_talk(self, words: str) -> None:
        """Wait until a process has said something."""
        self._wait_until(lambda: words in self.talk())

    def wait_for_end(self, process: "subprocess.Popen[bytes]") -> int:
        """Wait until a process has ended; its exit code."""
        self._wait_until(lambda: process.poll() is not None)
        return int(process.returncode)

    def _wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so, however long that takes while something goes on."""
        patience = Patience()
        while not is_so():
            assert patience.has_seen(self._what_went_on()), self.talk()
            time.sleep(0.02)

    def _what_went_on(self) -> object:
        """What changes whenever the model is asked, or a process says something."""
        return self.model.received, self.talk()

    def wait_until_none_is_suspect(self) -> None:
        """Wait until each ticker-day that died twice at the same place has ended.

        The third death there would park it, whoever killed the worker: nobody can tell.
        """
        folder = find_portfolio("last", self.workdir / "portfolios")
        order = folder.order()
        self._wait_until(
            lambda: all(
                each.is_final or not each.is_suspect for each in folder.progress(order).values()
            )
        )

    def kill(self, *processes: "subprocess.Popen[bytes]") -> None:
        """Kill processes at once, and note what had been brought by then."""
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        self.note_what_was_brought()

    def note_what_was_brought(self) -> None:
        """Note of each agent that has ended what it was paid."""
        for folder in (self.workdir / "runs").glob("*/"):
            for asked in _ended_agents(folder):
                self.paid.setdefault(asked, self.model.calls[asked])

    def status(self, portfolio_id: str = "last") -> Any:
        """The document of a portfolio."""
        return json.loads(self.end("portfolio", "status", portfolio_id, "--json").stdout)

    def wait_until_over(self, portfolio_id: str = "last") -> Any:
        """Wait until every ticker-day has ended and the portfolio has its trace.

        It may take as long as it likes, while something goes on.
        """
        patience = Patience()
        folder = find_portfolio(portfolio_id, self.workdir / "portfolios")
        while True:
            days = folder.status().ticker_days
            if all(each.is_final for each in days) and (folder.path / TRACE).exists():
                return self.status(portfolio_id)
            states = [each.state for each in days]
            assert patience.has_seen(self._what_went_on()), f"{Counter(states)}\n{self.talk()}"
            time.sleep(0.3)

    def stop(self) -> None:
        """Tell the workers to stop, and wait until they have."""
        live = [each for each in self._processes if each.poll() is None]
        for process in live:
            process.terminate()
        for process in live:
            # One that is still importing has nothing to put in order.
            assert process.wait(PATIENCE_S) in (0, -signal.SIGTERM), self.talk()

    def close(self) -> None:
        """End what a failed test has left."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()

    def assert_each_ended_once(self, document: Any, ticker_days: int) -> None:
        """Every ticker-day ended once, and no agent that had ended was asked again."""
        for asked, calls in self.paid.items():
            assert self.model.calls[asked] == calls, f"{asked} had ended, and was asked again"
        for run, agents in self.model.asked.items():
            stages = [STAGE[agent] for agent in agents]
            assert stages == sorted(stages), f"{run} went back to what it had done"
        run_ids = {each["run_id"] for each in document["ticker_days"]}
        assert [each["state"] for each in document["ticker_days"]] == ["done"] * ticker_days
        logs = self.workdir / "portfolios" / document["portfolio_id"] / "progress"
        events = [
            json.loads(line)
            for log in logs.glob("*.jsonl")
            for line in log.read_text().splitlines()
        ]
        done = Counter(each["run_id"] for each in events if each["happening"] == "done")
        assert done == dict.fromkeys(run_ids, 1)
        runs = sorted(each for each in (self.workdir / "runs").iterdir() if each.is_dir())
        assert {each.name for each in runs} == run_ids
        assert {folder_state(each) for each in runs} == {FolderState.OVER}

    def verdict(self, trace: str) -> Any:
        """The verdict on the trace of a portfolio or of a run."""
        answer = CliRunner().invoke(main, ["verify", trace, "--format", "json"], env=self._env)
        return json.loads(answer.stdout)

    def assert_traces_are_whole(self, document: Any) -> int:
        """All traces are complete and that of the portfolio passes; how many runs changed hands."""
        verdict = self.verdict(document["portfolio_id"])
        assert verdict["passed"], verdict
        runs = [self.verdict(each["run_id"]) for each in document["ticker_days"]]
        assert all(each["complete"] for each in runs), runs
        return sum(bool(each["interruptions"]) for each in runs)


@contextmanager
def house(workdir: Path, model: PaidModel, database: str | None) -> Iterator[House]:
    """A house whose model is served on loopback; its processes end with it."""
    with LoopbackServer(model.make_app) as server:
        begun = House(workdir, model, f"{server.url}/v1", database)
        try:
            yield begun
        finally:
            begun.close()

"""A portfolio that real processes make on a new PostgreSQL, and what it took of everything.

The model is the offline one, which the calling process serves and which takes `latency_s` a call.
Figures count from the first call that it gets to its last answer, so that the start of no process
is in them. Workers are there before the portfolio is submitted, and are idle for a while, which
says what a worker takes that has nothing to do.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import psycopg
from aiohttp import web

from tests.postgres import PostgresServer, find_programs
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.graph.offline_model.server import Call
from trading_graph.toolkit.loopback import LoopbackServer

ROOT = Path(__file__).resolve().parents[2]
MEASURED = "measured.json"
SYMBOLS = ("AAPL", "AMZN", "GOOGL", "META", "MSFT", "NVDA", "TSLA", "WMT")
SESSIONS = ("2025-11-11", "2025-11-12", "2025-11-13", "2025-11-14")
IDLE_S = 4.0
_PROGRAM = "from trading_graph.service.cli import main; main()"
_SAMPLE_S = 0.25
_LOOK_S = 0.1
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_TALK = "talk.txt"

_COUNTERS = """
SELECT (SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()),
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
       (SELECT coalesce(sum(n_tup_ins + n_tup_upd), 0)::bigint FROM pg_stat_user_tables
         WHERE relname IN ('checkpoints', 'checkpoint_writes', 'checkpoint_blobs'))
"""
_IN_LINE = """
SELECT min(created_at) FILTER (WHERE name = 'portfolio') / 1000.0,
       min(created_at) FILTER (WHERE name = 'ticker_day') / 1000.0,
       max(created_at) FILTER (WHERE name = 'ticker_day') / 1000.0
  FROM dbos.workflow_status
"""


class Usage(msgspec.Struct, frozen=True):
    """What was used in a stretch of time: seconds of it, of CPU by whom, and the database's counts.

    `commits` are transactions; `checkpoints` are rows written of LangGraph's tables. `connections`
    were open on average, and `most_connections` at most.
    """

    seconds: float
    programs_cpu_s: float
    database_cpu_s: float = 0.0
    commits: float = 0.0
    checkpoints: float = 0.0
    connections: float = 0.0
    most_connections: int = 0


class Measured(msgspec.Struct, frozen=True):
    """A portfolio of so many ticker-days by so many workers; 0 stands for one process alone.

    `first_call_s` is the time from when the portfolio was in line to the first call, and `line_s`
    that in which its ticker-days came into the line. `idle` is of workers with nothing to do, and
    `busy` of the portfolio.
    """

    workers: int
    at_once: int
    ticker_days: int
    latency_s: float
    calls: int
    model_cpu_s: float
    busy: Usage
    idle: Usage | None = None
    first_call_s: float = 0.0
    line_s: float = 0.0

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What was measured of the portfolio of a folder."""
        return msgspec.json.decode((folder / MEASURED).read_bytes(), type=cls)

    @property
    def cores(self) -> float:
        """How many cores were busy with it on average, the model's server and the database too."""
        used_s = self.busy.programs_cpu_s + self.busy.database_cpu_s + self.model_cpu_s
        return used_s / self.busy.seconds


class TimedModel(OfflineModel):
    """Notes when it is asked and when it has answered, and the process's CPU time by then."""

    def __init__(self, latency_s: float) -> None:
        super().__init__(latency_s)
        self.asked: list[tuple[float, float]] = []
        self.answered: list[tuple[float, float]] = []

    async def respond(self, call: Call) -> web.StreamResponse:
        """Note the times, and answer."""
        self.asked.append((time.monotonic(), time.process_time()))
        response = await super().respond(call)
        self.answered.append((time.monotonic(), time.process_time()))
        return response


@dataclass(frozen=True, slots=True)
class Sample:
    """What has been used by a time: CPU seconds, and the database's counters."""

    at: float
    programs_cpu_s: float
    database_cpu_s: float = 0.0
    connections: int = 0
    commits: int = 0
    checkpoints: int = 0


class Sampler:
    """Looks four times a second at what processes and a database have used by then."""

    def __init__(self, programs: Callable[[], Sequence[int]], database: str | None) -> None:
        self._programs = programs
        self._database = database
        self._samples: list[Sample] = []
        self.others_gone_at = 0.0
        """From when on no connections but those of workers are open."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def usage(self, begin: float, end: float) -> Usage:
        """What was used between two times; between two looks the use is taken to be even."""
        samples = self._samples
        at = [each.at for each in samples]

        def between(name: str) -> float:
            # A process that has ended has no CPU time any more.
            values = np.maximum.accumulate([getattr(each, name) for each in samples])
            return float(np.interp(end, at, values) - np.interp(begin, at, values))

        within = [each for each in samples if begin <= each.at <= end]
        connections = [each.connections for each in within if each.at >= self.others_gone_at]
        return Usage(
            end - begin,
            between("programs_cpu_s"),
            between("database_cpu_s"),
            max(between("commits") - len(within), 0.0),
            between("checkpoints"),
            sum(connections) / max(len(connections), 1),
            max(connections, default=0),
        )

    def _look(self) -> None:
        with ExitStack() as stack:
            database = None
            if self._database is not None:
                database = stack.enter_context(psycopg.connect(self._database, autocommit=True))
            while not self._over.wait(_SAMPLE_S):
                used_s = sum(map(cpu_s, self._programs()))
                self._samples.append(Sample(time.monotonic(), used_s, *_counts(database)))


def _counts(database: "psycopg.Connection[Any] | None") -> tuple[float, int, int, int]:
    """What a database has used by now, without what this session has."""
    if database is None:
        return 0.0, 0, 0, 0
    own = database.info.backend_pid
    server = _parent(own)
    pids = [server, *(each for each in _children(server) if each != own)]
    connections, commits, checkpoints = database.execute(_COUNTERS).fetchone() or (0, 0, 0)
    return sum(map(cpu_s, pids)), connections, commits, checkpoints


def cpu_s(pid: int) -> float:
    """The CPU seconds of a process and of those of its children that have ended."""
    try:
        return sum(map(int, _stat(pid)[11:15])) / _TICKS_A_SECOND
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _stat(pid: int) -> list[str]:
    """The fields of a process's `stat` from its state on: its name may have spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


class Programs:
    """Processes of `trading-graph` in a folder."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._live: list[subprocess.Popen[bytes]] = []
        self._submitters: list[subprocess.Popen[bytes]] = []

    @property
    def pids(self) -> list[int]:
        """Those that work, and not those that only submit."""
        return [each.pid for each in self._live if each not in self._submitters]

    @property
    def talk(self) -> str:
        """What they have said."""
        return (self._folder / _TALK).read_text()

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start one."""
        with (self._folder / _TALK).open("ab") as talk:
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *words],
                cwd=self._folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=talk,
            )
        self._live.append(process)
        return process

    def submit(self, *words: str) -> None:
        """Submit a portfolio."""
        submitter = self.start("portfolio", "submit", *words, "--yes")
        self._submitters.append(submitter)
        self.wait_for_end_of(submitter)

    def wait_for_end_of(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait until one has ended well."""
        self.wait_for(lambda: process.poll() is not None)
        assert process.returncode == 0, self.talk

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Wait for something that the processes do."""
        while not is_so():
            failed = [each for each in self._live if each.poll()]
            assert not failed, self.talk
            time.sleep(_LOOK_S)

    def stop(self) -> None:
        """Tell them to end, and wait until they have."""
        for process in self._live:
            process.terminate()
        for process in self._live:
            process.wait()


def make_portfolio(
    folder: Path, workers: int, ticker_days: int, at_once: int, latency_s: float
) -> Measured:
    """Let processes make a portfolio in an empty folder, which keeps what was measured."""
    model = TimedModel(latency_s)
    with LoopbackServer(model.make_app) as server, ExitStack() as stack:
        environment = {
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "OPENAI_API_KEY": "sk-of-the-bench",
            "OTEL_TRACES_EXPORTER": "none",
            "TRADING_GRAPH_FETCH_LATENCY_S": "0.05",
            "TRADING_GRAPH_MODEL_MEMORY": str(folder / "models.json"),
        }
        database = stack.enter_context(_new_database()) if workers else None
        if database is not None:
            environment["TRADING_GRAPH_DATABASE_URL"] = database
        programs = Programs(folder, environment)
        stack.callback(programs.stop)
        sampler = stack.enter_context(Sampler(lambda: programs.pids, database))
        words, pace = _words(ticker_days), ["--at-once", str(at_once)]
        idle, first_call_s, line_s = None, 0.0, 0.0
        if database is None:
            alone = programs.start("portfolio", "run", *words, *pace, "--yes")
            programs.wait_for_end_of(alone)
        else:
            for _ in range(workers):
                programs.start("worker", *pace)
            programs.wait_for(lambda: programs.talk.count(" serves ") == workers)
            began = time.monotonic()
            time.sleep(IDLE_S)
            idle = sampler.usage(began, time.monotonic())
            programs.submit(*words)
            sampler.others_gone_at = time.monotonic()
            # The trace of a portfolio is the last word of its workers.
            programs.wait_for(lambda: any(folder.glob("portfolios/*/trace.jsonl")))
        (first, cpu_before), (last, cpu_after) = model.asked[0], model.answered[-1]
        if database is not None:
            with psycopg.connect(database) as connection:
                times = connection.execute(_IN_LINE).fetchone()
            assert times is not None
            submitted, first_in_line, last_in_line = map(float, times)
            first_call_s = first + (time.time() - time.monotonic()) - submitted
            line_s = last_in_line - first_in_line
        measured = Measured(
            workers,
            at_once,
            ticker_days,
            latency_s,
            len(model.asked),
            cpu_after - cpu_before,
            sampler.usage(first, last),
            idle,
            first_call_s,
            line_s,
        )
    (folder / MEASURED).write_bytes(msgspec.json.encode(measured))
    return measured


def _words(ticker_days: int) -> list[str]:
    """The words of a portfolio of so many ticker-days, on as few sessions as they need."""
    sessions = next(
        each
        for each in range(1, len(SESSIONS) + 1)
        if not ticker_days % each and ticker_days // each <= len(SYMBOLS)
    )
    symbols = SYMBOLS[: ticker_days // sessions]
    return [*symbols, "--dates", f"{SESSIONS[-sessions]}..{SESSIONS[-1]}"]


@contextmanager
def _new_database() -> Iterator[str]:
    programs = find_programs()
    assert programs is not None, "no PostgreSQL here: apt-get install postgresql"
    server = PostgresServer(programs)
    try:
        server.start()
        yield server.new_database()
    finally:
        server.remove()

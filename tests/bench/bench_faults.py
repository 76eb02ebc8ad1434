"""A run while a backend fails: what it costs, and what is there after a replay.

    python tests/bench/bench_faults.py [FAULT ...]

Needs a Jaeger binary (deploy/install_jaeger.sh). Every line is a `trading-graph run` in a process
of its own against the real Jaeger behind a front that can fail, or against a LangSmith that does:

- run: wall time of the run's span over that of the healthy run
- exit: from the end of the run's span to the end of the process, over the healthy run's; what is
  written and judged in between is in both
- there: distinct spans in Jaeger of those in the run's file, after `trading-graph replay`
- twice: spans that Jaeger has more than once
- lines: warnings and errors in the log
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from tests.jaeger_process import JaegerProcess, JaegerServer, find_binary
from tests.otlp_receiver import OtlpReceiver
from tests.run_lives import names_of_ended
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.otel.sources import read
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.toolkit.loopback import LoopbackServer

COMMAND = [sys.executable, "-c", "from trading_graph.service.cli import main; main()"]
CHAT_S = 0.4


@dataclass(slots=True)
class Stage:
    """The backends of one run."""

    server: JaegerServer
    place: JaegerProcess
    front: OtlpReceiver
    langsmith: OtlpReceiver
    env: dict[str, str]
    folder: Path
    replay: tuple[str, ...] = ("replay",)


Fault = Callable[[Stage], None]


def healthy(stage: Stage) -> None:
    """Everything works."""


def down(stage: Stage) -> None:
    """Nobody listens, from the start."""
    stage.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"


def restarted(stage: Stage) -> None:
    """Jaeger is killed in the middle, and is back with an empty memory."""
    stage.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = stage.place.otlp_http_url
    stage.replay = ("replay", "last")

    def kill() -> None:
        while not any(map(names_of_ended, stage.folder.glob("runs/*/trace.jsonl"))):
            time.sleep(0.05)
        time.sleep(CHAT_S)
        stage.server.restart()

    Thread(target=kill, daemon=True).start()


def hung(stage: Stage) -> None:
    """It accepts, and never answers."""
    stage.front.released.clear()


def slow(stage: Stage) -> None:
    """It has the spans at once, and answers after 5 s."""
    stage.front.delay_s = 5.0


def status(code: int) -> Fault:
    """It answers with a status."""

    def fault(stage: Stage) -> None:
        stage.front.status = code

    return fault


def no_room(stage: Stage) -> None:
    """It refuses, and what it refuses cannot be kept: a file stands where the spool's folder would.

    A folder that may not be written would be none to the superuser, and a full disk needs one.
    """
    stage.front.status = 503
    (stage.folder / "logs").mkdir()
    (stage.folder / "logs/spool").touch()
    stage.replay = ("replay", "last")


def langsmith_hung(mode: dict[str, str]) -> Fault:
    """LangSmith accepts, and never answers."""

    def fault(stage: Stage) -> None:
        stage.env.update(mode)
        stage.langsmith.released.clear()

    return fault


def langsmith_status(mode: dict[str, str], code: int) -> Fault:
    """LangSmith answers with a status."""

    def fault(stage: Stage) -> None:
        stage.env.update(mode)
        stage.langsmith.status = code

    return fault


NATIVE = {"LANGSMITH_TRACING": "true"}
OTLP = {"TRADING_GRAPH_LANGSMITH": "otlp"}

FAULTS: dict[str, Fault] = {
    "healthy": healthy,
    "down from the start": down,
    "killed and restarted": restarted,
    "hung": hung,
    "slow (5 s)": slow,
    "429": status(429),
    "503": status(503),
    "400": status(400),
    "503, and no spool": no_room,
    "LangSmith otlp, healthy": lambda stage: stage.env.update(OTLP),
    "LangSmith otlp, hung": langsmith_hung(OTLP),
    "LangSmith otlp, 503": langsmith_status(OTLP, 503),
    "LangSmith native, healthy": lambda stage: stage.env.update(NATIVE),
    "LangSmith native, hung": langsmith_hung(NATIVE),
    "LangSmith native, 503": langsmith_status(NATIVE, 503),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table."""

    run_s: float
    exit_s: float
    spans: int
    there: int
    twice: int
    lines: int
    replayed: int


def measure(fault: Fault, server: JaegerServer, model_url: str) -> Measured:
    """Run with the fault, mend it, replay, and look at what is there."""
    place = server.start()
    front, langsmith = OtlpReceiver(forward=place.otlp_http_url), OtlpReceiver()
    with (
        tempfile.TemporaryDirectory() as name,
        front.served() as url,
        langsmith.served() as langsmith_url,
    ):
        folder = Path(name)
        healed = {
            **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "TRADING_GRAPH_JAEGER_URL": place.query_url,
            "OPENAI_BASE_URL": f"{model_url}/v1",
            "LANGSMITH_ENDPOINT": langsmith_url,
            "LANGSMITH_API_KEY": "ls-bench",
        }
        stage = Stage(server, place, front, langsmith, dict(healed), folder)
        fault(stage)
        ran = subprocess.run(
            [*COMMAND, "run", "AAPL", "--json"],
            cwd=folder,
            env=stage.env,
            capture_output=True,
            text=True,
            check=False,
        )
        ended_ns = time.time_ns()
        assert ran.returncode == 0, ran.stderr
        (trace,) = read(Path(folder / json.loads(ran.stdout)["folder"] / "trace.jsonl"))
        (root,) = trace.roots
        for backend in (front, langsmith):
            backend.status, backend.delay_s = 200, 0.0
            backend.released.set()
        replayed = subprocess.run(
            [*COMMAND, *stage.replay],
            cwd=folder,
            env={**healed, **({} if "LANGSMITH_TRACING" not in stage.env else NATIVE)},
            capture_output=True,
            text=True,
            check=False,
        )
        there = JaegerQuery(place.query_url).complete(trace.trace_id, timeout_s=5)
        log = (folder / "logs/trading_graph.log").read_text().splitlines()
        server.stop()
        return Measured(
            int(trace.duration[root]) / 1e9,
            (ended_ns - int(trace.end[root])) / 1e9,
            len(trace),
            len(there) if there else 0,
            there.repeated if there else 0,
            sum(" WARNING " in line or " ERROR " in line for line in log),
            replayed.returncode,
        )


@contextmanager
def model() -> Iterator[str]:
    """An OpenAI-compatible service on loopback."""
    with LoopbackServer(OfflineModel(latency_s=CHAT_S).make_app) as server:
        yield server.url


def main(asked: list[str]) -> None:
    """Print the table."""
    binary = find_binary()
    if binary is None:
        sys.exit("There is no Jaeger here: deploy/install_jaeger.sh builds one.")
    print(f"trading-graph run AAPL, {CHAT_S} s a call; Jaeger at {binary}")
    print(f"{'fault':28}{'run':>7}{'exit':>8}{'spans':>7}{'there':>7}{'twice':>7}{'lines':>7}")
    base: Measured | None = None
    with tempfile.TemporaryDirectory() as folder, model() as model_url:
        for name, fault in FAULTS.items():
            if asked and name not in asked and name != "healthy":
                continue
            found = measure(fault, JaegerServer(binary, Path(folder)), model_url)
            base = base or found
            print(
                f"{name:28}{found.run_s / base.run_s:7.3f}{found.exit_s - base.exit_s:+7.2f}s"
                f"{found.spans:7}{found.there:7}{found.twice:7}{found.lines:7}"
                + ("" if found.replayed == 0 else f"  replay: exit {found.replayed}"),
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])

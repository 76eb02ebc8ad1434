"""What the line of workers costs, and what a second worker brings.

    PYTHONPATH=. python tests/bench/bench_queue.py [--sessions 5] [--latency 2] [--at-once 4]

The same portfolio is made three times on a new PostgreSQL of Debian's and an offline model that
this process serves: by one process, by one worker, by two. Each time counts from the first call
that the model gets to the last, so that no process's start is in it. Where the calls' latency
dominates, a worker may take 3 % longer than one process, and two workers have to be 1.8 times as
fast as one.
On a busy machine the processor dominates, and the figures say little.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from aiohttp import web

from tests.postgres import PostgresServer, find_programs
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.graph.offline_model.server import Call
from trading_graph.toolkit.loopback import LoopbackServer

PROGRAM = "from trading_graph.service.cli import main; main()"
SYMBOLS = ("AAPL", "AMZN", "GOOGL", "META", "MSFT", "NVDA", "TSLA", "WMT")
SESSIONS = ("2025-11-10", "2025-11-11", "2025-11-12", "2025-11-13", "2025-11-14")


class TimedModel(OfflineModel):
    """Notes when it is asked."""

    def __init__(self, latency_s: float) -> None:
        super().__init__(latency_s)
        self.times: list[float] = []

    async def respond(self, call: Call) -> web.StreamResponse:
        """Note the time, and answer."""
        self.times.append(time.monotonic())
        return await super().respond(call)


def program(folder: Path, environment: dict[str, str], *words: str) -> "subprocess.Popen[bytes]":
    """Start a process of `trading-graph`."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "talk.txt").open("ab"),
    )


def measure(name: str, workers: int, words: list[str], at_once: int, latency_s: float) -> float:
    """The seconds of one portfolio by so many workers, or by one process."""
    model = TimedModel(latency_s)
    with (
        tempfile.TemporaryDirectory() as place,
        LoopbackServer(model.make_app) as server,
    ):
        folder = Path(place)
        environment = {
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "OPENAI_API_KEY": "sk-of-the-bench",
            "OTEL_TRACES_EXPORTER": "none",
            "TRADING_GRAPH_FETCH_LATENCY_S": "0.05",
            "TRADING_GRAPH_MODEL_MEMORY": str(folder / "models.json"),
        }
        pace = ["--at-once", str(at_once)]
        if not workers:
            code = program(folder, environment, "portfolio", "run", *words, *pace, "--yes").wait()
            assert code == 0, (folder / "talk.txt").read_text()
        else:
            programs = find_programs()
            assert programs is not None, "no PostgreSQL here: apt-get install postgresql"
            database = PostgresServer(programs)
            try:
                database.start()
                environment["TRADING_GRAPH_DATABASE_URL"] = database.new_database()
                began = time.monotonic()
                submitter = program(folder, environment, "portfolio", "submit", *words, "--yes")
                assert submitter.wait() == 0, (folder / "talk.txt").read_text()
                print(f"  submitted after {time.monotonic() - began:.1f} s, with imports")
                # A worker that comes late would count as slow.
                first = [program(folder, environment, "worker", *pace) for _ in range(workers)]
                wait_until_over(folder)
                for process in first:
                    process.terminate()
                for process in first:
                    process.wait()
            finally:
                database.remove()
        took = model.times[-1] - model.times[0] + latency_s
    print(f"{name:<12} {took:7.1f} s  {len(model.times)} calls")
    return took


def wait_until_over(folder: Path) -> None:
    """Wait for the trace of the portfolio, which is its last word."""
    done = threading.Event()
    while not list(folder.glob("portfolios/*/trace.jsonl")):
        done.wait(0.2)


def main() -> None:
    """Measure, and say whether the bars are kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=5, choices=range(1, 6))
    parser.add_argument("--latency", type=float, default=2.0)
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    words = [*SYMBOLS, "--dates", f"{SESSIONS[-options.sessions]}..{SESSIONS[-1]}"]
    names = ("one process", "one worker", "two workers")
    alone, one, two = (
        measure(name, number, words, options.at_once, options.latency)
        for number, name in enumerate(names)
    )
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"the line costs {one / alone - 1:+.1%} (at most 3 %)")
    print(f"two workers are {one / two:.2f} times as fast as one (at least 1.8)")


if __name__ == "__main__":
    main()

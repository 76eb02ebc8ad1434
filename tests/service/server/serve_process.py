"""`trading-graph serve` in a process of its own."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.patience import PATIENCE_S

COMMAND = [sys.executable, "-c", "from trading_graph.service.cli import main; main()", "serve"]
ROOT = Path(__file__).resolve().parents[3]
KEY = "sk-of-the-test-0123456789"
QUICK = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": "0.05",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.01",
    "TRADING_GRAPH_SERVE_DRAIN_S": "20",
    "PYTHONPATH": str(ROOT),
}


@dataclass(frozen=True, slots=True)
class Serving:
    """A service that has printed its address; `talk` grows with what it says on stderr."""

    process: subprocess.Popen[str]
    url: str
    talk: list[str]

    def ended(self, within_s: float = PATIENCE_S) -> int:
        """Wait for its end; gives the exit code."""
        return self.process.wait(within_s)


@contextlib.contextmanager
def serving(
    folder: Path,
    *words: str,
    before: Sequence[str] = (),
    model_url: str | None = None,
    **env: str,
) -> Iterator[Serving]:
    """Run the command in a folder, on a free port; it is killed where it has not ended.

    `before` are the words of a program that becomes it; `model_url` is a model that is not its own.
    """
    if model_url is None:
        words = ("--offline", *words)
    else:
        env = {"OPENAI_BASE_URL": f"{model_url}/v1", "OPENAI_API_KEY": KEY, **env}
    process = subprocess.Popen(
        [*before, *COMMAND, "--port", "0", *words],
        cwd=folder,
        env={**os.environ, **QUICK, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    talk: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    listener = threading.Thread(target=talk.extend, args=(process.stderr,))
    listener.start()
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), talk
        yield Serving(process, url, talk)
    finally:
        process.kill()
        process.wait()
        listener.join()
        process.stdout.close()
        process.stderr.close()


def refused(folder: Path, *words: str, **env: str) -> tuple[int, str]:
    """Run the command where it cannot serve; gives its exit code and what it says."""
    done = subprocess.run(
        [*COMMAND, "--offline", *words],
        cwd=folder,
        env={**os.environ, **QUICK, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr

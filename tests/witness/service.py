"""What the programs of the matrix ask: a source that takes its time, and a model with a script.

    python -m tests.witness.service    prints both addresses, and serves until its input ends

It is a process of its own, so that it takes no processor time and no interpreter from a program,
and it keeps the times of its work by run: what really happened does not come from the spans.
"""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.frameworks.programs.fake_openai import FakeOpenAI

ROOT = Path(__file__).resolve().parents[2]
MODEL_S = 0.1


@dataclass(frozen=True, slots=True)
class Service:
    """The addresses of a service that runs."""

    source: str
    model: str

    def work(self, run: str) -> list[tuple[float, float]]:
        """Return when the source worked for a run."""
        with urllib.request.urlopen(f"{self.source}/times/{run}", timeout=60) as answer:
            return [(begin, end) for begin, end in json.load(answer)]


class Source(ThreadingHTTPServer):
    """Answers `/weather/RUN?seconds=S` after S seconds, and `/times/RUN` with when it did."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.times: dict[str, list[tuple[float, float]]] = defaultdict(list)


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Source

    def do_GET(self) -> None:
        """Work for a while, or tell of it."""
        begin = time.monotonic()
        parts = urlsplit(self.path)
        _, what, run = parts.path.split("/")
        if what == "weather":
            time.sleep(float(parse_qs(parts.query)["seconds"][0]))
            self.server.times[run].append((begin, time.monotonic()))
        data = json.dumps(self.server.times[run]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""


@contextmanager
def service() -> Iterator[Service]:
    """Run the service in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.witness.service"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            yield Service(**json.loads(process.stdout.readline()))
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Serve until the input ends."""
    source, model = Source(), FakeOpenAI()
    model.call_s = MODEL_S
    threading.Thread(target=source.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{source.server_address[1]}"
    print(json.dumps({"source": address, "model": model.base_url}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

"""A real Jaeger for tests: found, started on free ports with memory storage, and stopped.

A pytest plugin with two fixtures: `jaeger`, one for the whole session, and `jaeger_factory`, for a
test that stops and restarts its own. The binary is the one that JAEGER_BIN names, else `jaeger` on
PATH, else the one that deploy/install_jaeger.sh put into the cache folder. Without one the tests
are skipped, or fail where TRADING_GRAPH_REQUIRE_JAEGER is 1.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

# Read on import: the guards remove the project's variables from the environment before any test.
REQUIRED = os.environ.get("TRADING_GRAPH_REQUIRE_JAEGER") == "1"
NAMED = os.environ.get("JAEGER_BIN")

CONFIG = """\
service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
  telemetry:
    metrics:
      level: none
    logs:
      level: warn
extensions:
  healthcheckv2:
    use_v2: true
    http:
      endpoint: 127.0.0.1:{health}
  jaeger_storage:
    backends:
      bounded:
        memory:
          max_traces: 5000
  jaeger_query:
    storage:
      traces: bounded
    http:
      endpoint: 127.0.0.1:{query}
    grpc:
      endpoint: 127.0.0.1:{query_grpc}
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:{otlp_grpc}
      http:
        endpoint: 127.0.0.1:{otlp_http}
exporters:
  jaeger_storage_exporter:
    trace_storage: bounded
"""

PORT_NAMES = ("health", "query", "query_grpc", "otlp_grpc", "otlp_http")


@dataclass(frozen=True, slots=True)
class JaegerProcess:
    """Where a running Jaeger listens; all addresses are on 127.0.0.1."""

    otlp_http_url: str  # the OTLP base: traces go to {otlp_http_url}/v1/traces
    otlp_grpc_url: str
    query_url: str
    version: str  # as the installer noted it, for the binary itself may not know; else "unknown"
    pid: int


class JaegerServer:
    """One Jaeger that can be stopped and started again on the same ports, with an empty memory."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary = binary
        self._ports = dict(zip(PORT_NAMES, free_ports(len(PORT_NAMES)), strict=True))
        self._config = folder / "jaeger.yaml"
        self._config.write_text(CONFIG.format(**self._ports))
        self._log = folder / "jaeger.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> JaegerProcess:
        """Start it and wait until it says that it is healthy."""
        assert not self.running, "this Jaeger runs already"
        # Jaeger traces its own queries and sends that to port 4317, whoever listens there; with
        # nobody there its exit takes ten seconds.
        environment = {**os.environ, "OTEL_TRACES_SAMPLER": "always_off"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.binary), "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        deadline = time.monotonic() + PATIENCE_S
        while not is_healthy(self._ports["health"]):
            if not self.running or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"Jaeger did not start; its log ends: {self.log_tail()}")
            time.sleep(0.02)
        return JaegerProcess(
            otlp_http_url=f"http://127.0.0.1:{self._ports['otlp_http']}",
            otlp_grpc_url=f"http://127.0.0.1:{self._ports['otlp_grpc']}",
            query_url=f"http://127.0.0.1:{self._ports['query']}",
            version=noted_version(self.binary),
            pid=self._process.pid,
        )

    def stop(self) -> None:
        """End the process; what it held in memory is gone."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> JaegerProcess:
        """Stop it and start it again at the same addresses."""
        self.stop()
        return self.start()

    def log_tail(self) -> str:
        """Return the last lines that it logged."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listened on a moment ago; held open together, so they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def is_healthy(port: int) -> bool:
    """Ask the health check once."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/status")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def find_binary() -> Path | None:
    """Return the Jaeger binary, if there is one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cached = cache / "trading-graph" / "bin" / "jaeger"
    candidates = [NAMED] if NAMED else [shutil.which("jaeger"), str(cached)]
    return next((Path(path) for path in candidates if path and os.access(path, os.X_OK)), None)


def noted_version(binary: Path) -> str:
    """Return what the installer wrote beside the binary."""
    note = binary.with_name(binary.name + ".version")
    return note.read_text().strip() if note.exists() else "unknown"


def binary_or_skip() -> Path:
    """Return the binary, or skip the test that asks (or fail it where a Jaeger is required)."""
    binary = find_binary()
    if binary is not None:
        return binary
    reason = (
        f"JAEGER_BIN={NAMED} is no program"
        if NAMED
        else "no Jaeger binary here: deploy/install_jaeger.sh builds one"
    )
    if REQUIRED:
        pytest.fail(f"{reason} (TRADING_GRAPH_REQUIRE_JAEGER=1)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JaegerProcess]:
    """Run one Jaeger for all tests of the session."""
    server = JaegerServer(binary_or_skip(), tmp_path_factory.mktemp("jaeger"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def jaeger_factory(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], JaegerServer]]:
    """Make Jaegers that the test starts, stops and restarts itself."""
    binary = binary_or_skip()
    servers: list[JaegerServer] = []

    def make() -> JaegerServer:
        servers.append(JaegerServer(binary, tmp_path_factory.mktemp("jaeger")))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()

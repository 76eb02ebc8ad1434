"""A run that is stopped: its spans are ended, sent and kept; a killed one leaves what it wrote."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.otlp_receiver import OtlpReceiver
from tests.patience import PATIENCE_S
from tests.run_lives import names_of_ended
from trading_graph.otel.export import JAEGER, spool_of
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable, semconv

SPAWN = [sys.executable, "-c", "from trading_graph.service.cli import main; main()"]


def started(workdir: Path, **env: str) -> subprocess.Popen[str]:
    """A run in a process of its own, once spans of it have ended."""
    process = subprocess.Popen(
        [*SPAWN, "run", "NVDA", "--offline"],
        cwd=workdir,
        env={**os.environ, "TRADING_GRAPH_CHAT_LATENCY_S": "2", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE_S
    while not any(map(names_of_ended, workdir.glob("runs/*/trace.jsonl"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def trace_of(workdir: Path) -> SpanTable:
    (file,) = workdir.glob("runs/*/trace.jsonl")
    (trace,) = read(file)
    return trace


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "Interrupted."), (signal.SIGTERM, 143, "Terminated.")],
)
def test_a_signal_ends_every_span_and_loses_none(
    workdir: Path, number: signal.Signals, code: int, said: str
) -> None:
    backend = OtlpReceiver()
    with backend.served() as url:
        process = started(workdir, OTEL_EXPORTER_OTLP_ENDPOINT=url)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, stderr
    assert said in stderr
    assert "Traceback" not in stderr
    trace = trace_of(workdir)
    (run,) = trace.roots
    assert trace.attributes(run)[semconv.ERROR_TYPE] == "cancelled"
    assert trace.attributes(run)[semconv.SPANS_STARTED] == len(trace)
    assert sorted(backend.names) == sorted(trace.names)


def test_a_signal_while_the_backend_hangs_spools_what_it_did_not_take(workdir: Path) -> None:
    backend = OtlpReceiver()
    backend.released.clear()
    with backend.served() as url:
        process = started(workdir, OTEL_EXPORTER_OTLP_ENDPOINT=url)
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 143
    assert spool_of(workdir / "logs" / "spool", JAEGER).spans == len(trace_of(workdir))


def test_a_killed_run_leaves_a_file_that_can_be_read(workdir: Path) -> None:
    process = started(workdir, OTEL_TRACES_EXPORTER="none")
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    trace = trace_of(workdir)
    assert len(trace)
    assert "invoke_workflow trading_graph" not in trace.names, "it never ended"
    judged = subprocess.run(
        [*SPAWN, "verify", "last"],
        cwd=workdir,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert judged.returncode == 3
    assert "Traceback" not in judged.stderr

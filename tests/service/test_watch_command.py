"""`trading-graph verify --watch` as a person and as a pipeline meet it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.jaeger_process import JaegerProcess, JaegerServer
from tests.patience import PATIENCE_S
from tests.service.foreign_program import ForeignProgram, id_of, send
from tests.service.test_verify_command import trading_graph

GATE = """
version = 1
[sets.all]
name = ["*"]
[[checks]]
id = "few"
title = "At most three spans"
relation = "count"
set = "all"
at_most = 3
"""


PROGRAM = "from trading_graph.service.cli import main; main()"


class Watching:
    """A watch in a process of its own; its lines as they come."""

    def __init__(self, service: str, query_url: str, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "verify", "--watch", service, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TRADING_GRAPH_JAEGER_URL": query_url},
        )
        assert self.process.stderr is not None
        assert self.process.stderr.readline().startswith(f"Watching {service}")

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """The exit code and what was said at the end."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err


@contextmanager
def watching(service: str, query_url: str, *words: str) -> Iterator[Watching]:
    watch = Watching(service, query_url, *words)
    try:
        yield watch
    finally:
        if watch.process.poll() is None:
            watch.process.kill()
        watch.process.communicate()


@pytest.fixture
def gate(workdir: Path) -> str:
    (workdir / "gate.toml").write_text(GATE)
    return str(workdir / "gate.toml")


@pytest.mark.jaeger
def test_a_line_a_trace_and_the_exit_code_says_whether_one_failed(
    gate: str, jaeger: JaegerProcess
) -> None:
    program = ForeignProgram()
    with watching(program.service, jaeger.query_url, "--gate", gate) as watch:
        good, bad = program.trace(declared=3), program.trace(5, declared=6)
        send(good, jaeger.otlp_http_url)
        line = watch.line()
        assert id_of(good) in line
        assert "root" in line
        assert line.endswith("  passed\n")
        send(bad, jaeger.otlp_http_url)
        assert f"{id_of(bad)}  root" in (line := watch.line())
        assert "failed: At most three spans" in line
        code, said = watch.stop()
    assert code == 1
    assert "2 judged: 1 passed, 1 failed, 0 without a verdict." in said


@pytest.mark.jaeger
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_as_passed_where_all_have(
    gate: str, jaeger: JaegerProcess, number: int
) -> None:
    program = ForeignProgram()
    with watching(program.service, jaeger.query_url, "--gate", gate, "--format", "json") as watch:
        spans = program.trace(declared=3)
        send(spans, jaeger.otlp_http_url)
        document = json.loads(watch.line())
        assert document["service"] == program.service
        assert document["name"] == "root"
        assert document["verdict"]["trace_id"] == id_of(spans)
        assert watch.stop(number)[0] == 0


@pytest.mark.jaeger
def test_it_ends_by_itself_and_too_few_are_not_enough(gate: str, jaeger: JaegerProcess) -> None:
    program = ForeignProgram()
    words = ("--gate", gate, "--count")
    with watching(program.service, jaeger.query_url, *words, "1", "--for", "30") as watch:
        send(program.trace(declared=3), jaeger.otlp_http_url)
        assert watch.ended()[0] == 0
    with watching(program.service, jaeger.query_url, *words, "1", "--for", "0.5") as watch:
        code, said = watch.ended()
    assert code == 3
    assert "0 judged" in said


@pytest.mark.jaeger
def test_a_jaeger_that_comes_back_is_watched_on(
    gate: str, jaeger_factory: Callable[[], JaegerServer]
) -> None:
    server, program = jaeger_factory(), ForeignProgram()
    url = server.start().query_url
    server.stop()
    with watching(program.service, url, "--gate", gate, "--count", "1") as watch:
        assert watch.process.stderr is not None
        assert "does not answer" in watch.process.stderr.readline()
        send(program.trace(declared=3), server.start().otlp_http_url)
        assert watch.line().endswith("passed\n")
        code, said = watch.ended()
    assert code == 0
    assert said.startswith("Jaeger answers again.")


@pytest.mark.parametrize(
    "words",
    [
        ("verify",),
        ("verify", "last", "--watch", "s"),
        ("verify", "last", "--count", "1"),
        ("verify", "--watch", "s", "--format", "junit"),
        ("verify", "--watch", "s", "--from", "file"),
        ("verify", "--watch", "s", "--id", "x"),
        ("verify", "--watch", "s", "--gate", "/nowhere"),
    ],
)
def test_what_makes_no_sense_is_usage(workdir: Path, words: tuple[str, ...]) -> None:
    assert trading_graph(*words).exit_code == 2

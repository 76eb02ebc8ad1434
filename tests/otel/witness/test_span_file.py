"""The file of spans stays readable, whatever happens to the process that writes it."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from tests.patience import PATIENCE_S
from tests.recording import ROOT
from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.files.span_lines import to_line
from trading_graph.otel.sources import read
from trading_graph.otel.trace import Trace
from trading_graph.otel.witness.span_file import SpanFile

PROGRAM = """
import os, resource, signal, sys
from pathlib import Path
from opentelemetry.sdk.trace import TracerProvider
from trading_graph.otel.witness.span_file import SpanFile

file = SpanFile(Path("spans.jsonl"))
tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")

def end(name, **attributes):
    span = tracer.start_span(name, attributes=attributes)
    span.end()
    file.write(span)
"""


def ended(name: str, **attributes: str) -> ReadableSpan:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span(name)
    span.set_attributes(attributes)
    span.end()
    assert isinstance(span, ReadableSpan)
    return span


def run(folder: Path, program: str) -> int:
    """Run a program that ends spans; returns its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def names(file: Path) -> list[str]:
    return sorted(span.name for table in read(file) for span in Trace(table))


def test_a_line_is_what_the_one_writer_writes(tmp_path: Path) -> None:
    file, span = SpanFile(tmp_path / "spans.jsonl"), ended("call", model="m")
    file.write(span)
    content = file.path.read_bytes()
    assert content == to_line([span])
    (again,) = from_lines(content, "the file")
    assert (again.name, again.attributes) == ("call", {"model": "m"})
    assert file.path.stat().st_mode & 0o077 == 0, "spans may hold prompts"


def test_there_is_no_file_before_a_span_ends(tmp_path: Path) -> None:
    assert not SpanFile(tmp_path / "spans.jsonl").path.exists()


@pytest.mark.parametrize(
    ("end", "code"),
    [("os._exit(7)", 7), ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL)],
)
def test_it_is_complete_when_the_process_dies(tmp_path: Path, end: str, code: int) -> None:
    assert run(tmp_path, f"for n in range(50): end(str(n))\n{end}") == code
    assert len(names(tmp_path / "spans.jsonl")) == 50


def test_a_forked_child_writes_a_file_of_its_own(tmp_path: Path) -> None:
    program = 'end("parent")\nif os.fork() == 0:\n    end("child")\n    os._exit(0)\nos.wait()\n'
    assert run(tmp_path, program + 'end("parent again")') == 0
    found = {tuple(names(file)) for file in tmp_path.glob("spans*.jsonl")}
    assert found == {("child",), ("parent", "parent again")}


def test_spans_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    file, span = SpanFile(tmp_path / "spans.jsonl"), ended("call", text="x" * 5000)

    def write() -> None:
        for _ in range(100):
            file.write(span)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.failures == 0
    assert file.path.read_bytes() == to_line([span]) * 800


def test_a_file_of_the_program_with_its_number_gets_no_span(tmp_path: Path) -> None:
    """A daemon closes all descriptors, and opens others."""
    closing = 'end("before")\nos.closerange(3, 200)\n'
    opening = 'theirs = [os.open("theirs", os.O_CREAT | os.O_WRONLY) for _ in range(50)]\n'
    assert run(tmp_path, closing + opening + 'end("after")') == 0
    assert (tmp_path / "theirs").read_bytes() == b""
    assert names(tmp_path / "spans.jsonl") == ["after", "before"]


def test_the_program_may_change_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = SpanFile(Path("spans.jsonl"))
    monkeypatch.chdir("/")
    file.write(ended("call"))
    assert names(tmp_path / "spans.jsonl") == ["call"]


def test_errors_are_counted_and_said_once(tmp_path: Path) -> None:
    said: list[Exception] = []
    file = SpanFile(tmp_path / "gone" / "spans.jsonl", said.append)
    for _ in range(3):
        file.write(ended("call"))
    assert file.failures == 3
    assert [type(each) for each in said] == [FileNotFoundError]


def test_a_span_that_is_no_json_is_left_out(tmp_path: Path) -> None:
    file = SpanFile(tmp_path / "spans.jsonl")
    file.write(ended("lone \ud800 surrogate"))
    file.write(ended("call"))
    assert (file.failures, names(file.path)) == (1, ["call"])


def test_a_full_disk_leaves_what_can_be_read(tmp_path: Path) -> None:
    """The write that is cut off is the last one, also where there is room again afterwards."""
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
    program = (
        'end("whole")\nsize = file.path.stat().st_size + 100\n'
        + limit
        + 'end("cut off")\nsize = resource.RLIM_INFINITY\n'
        + limit
        + 'end("after")\nsys.exit(file.failures)'
    )
    assert run(tmp_path, program) == 2
    assert not (tmp_path / "spans.jsonl").read_bytes().endswith(b"\n")
    assert names(tmp_path / "spans.jsonl") == ["whole"]

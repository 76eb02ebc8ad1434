"""Runs a program of the matrix with the witness on, and reads the trace that it leaves."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import trading_graph as tg
from tests.built_wheel import OUTSIDE
from tests.frameworks.environments import python_of
from tests.frameworks.programs.workload import at_once
from tests.witness.cells import Cell, Shape
from tests.witness.service import ROOT, Service

RUN_S = 120.0
TRIES = 3
"""Where a machine stands still for a while, a program does something else than its cell says."""

FOREIGN = ("PYTHON", "PYTEST", "VIRTUAL_ENV", "OTEL_", "LANGSMITH_", "LANGCHAIN_", "COVERAGE")
BUSY = "while True: pass"
RECORD = ("record", "--instrument", "none", "--out")
COMMAND = "from trading_graph.service.cli import main; main()"


class Way(StrEnum):
    """How the witness comes into a program."""

    INSTALL = "install"
    RECORD = "record"


@dataclass(frozen=True)
class Run:
    """What one run of a cell left: its trace, and how many requests the source saw at once."""

    cell: Cell
    trace: tg.Trace
    at_once: int

    @property
    def is_true_to_its_cell(self) -> bool:
        """Whether the source saw what the cell says."""
        return self.cell.truth.at_once in (None, self.at_once)


@cache
def interpreter(shape: Shape) -> Path:
    """Return the interpreter of a shape's environment; raises EnvironmentFailed."""
    base = find_python(shape.python) if shape.python else Path(sys.executable)
    return python_of(shape.environment, OUTSIDE, suite="witness", base=base)


def find_python(version: str) -> Path:
    """Return an interpreter of a version that really starts, from PATH or from pyenv."""
    words = ["-c", "import sys; print(sys._base_executable)"]
    kept = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    for command in (f"python{version}", *map(str, kept)):
        try:
            done = subprocess.run([command, *words], capture_output=True, text=True)
        except FileNotFoundError:
            continue
        if done.returncode == 0:
            return Path(done.stdout.strip())
    raise LookupError(f"there is no Python {version} here")


def run(cell: Cell, folder: Path, service: Service, way: Way, python: Path | None = None) -> Run:
    """Run a cell's program; again, where the machine made something else of it.

    `python` is an interpreter that has its packages, in place of the environment's.
    """
    for _ in range(TRIES):
        made = run_once(cell, folder, service, way, python or interpreter(cell.shape))
        if made.is_true_to_its_cell:
            break
    return made


def run_once(cell: Cell, folder: Path, service: Service, way: Way, python: Path) -> Run:
    """Run a cell's program; raises RuntimeError with its last words if it fails."""
    name = uuid.uuid4().hex
    file = folder / f"{name}.jsonl"
    program = [str(python), str(cell.shape.program), cell.pathology, "--run", name]
    program += ["--source", service.source, "--model", service.model]
    program += ["--instrumentor", cell.shape.instrumentor]
    if way is Way.INSTALL:
        words = [*program, "--span-file", str(file)]
    else:
        words = [sys.executable, "-c", COMMAND, *RECORD, str(file), "--", *program]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    with busy_processes(cell.busy):
        done = subprocess.run(
            words,
            cwd=folder,
            env=kept | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=RUN_S,
        )
    # What `record` returns may be its verdict; a traceback is never right.
    failed = done.returncode and (way is Way.INSTALL or "Traceback" in done.stderr)
    if failed or not file.exists():
        raise RuntimeError(f"{cell} failed: {done.stderr.strip()[-800:]}")
    return Run(cell, performed(tg.read(file)), at_once(service.work(name)))


def performed(traces: list[tg.Trace]) -> tg.Trace:
    """Choose the trace of what counts: the last with several spans, after that of the rehearsal."""
    several = [each for each in traces if len(each) > 3]
    return max(several or traces, key=lambda trace: min(span.start_ns for span in trace))


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Let processes take all the processor time that they get."""
    made = [subprocess.Popen([sys.executable, "-S", "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for each in made:
            each.kill()
            each.wait()

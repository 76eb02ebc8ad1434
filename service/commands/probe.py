"""`trading-graph probe`: run a program several times with delays, and say who waits for whom."""

import os
import shutil
import signal
import sys
import tempfile
import time
from asyncio import CancelledError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from trading_graph.otel.probe.runs import ChangedStructureError
from trading_graph.otel.probe.session import PLAIN, ProbeSession
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.durations import brief
from trading_graph.service.errors import NotProbedError
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.probing.program_runs import ProgramRuns
from trading_graph.service.probing.summary import ProbeText
from trading_graph.service.recording.program import command_of

_NODE = "::"
"""What the id of a pytest test has in it."""


def probe_command(
    *,
    program: tuple[str, ...],
    runs: int,
    timeout: float | None,
    out: str | None,
    instrument: str,
    spans: str | None,
    as_json: bool,
) -> ExitCode:
    """Probe the program, write its dependencies, and return the exit code."""
    command = _command_of(program)
    file = Path(out) if out else _default_file()
    talk = Console(stderr=True)
    with _terminable(), _folder_beside(file) as folder:
        program_runs = ProgramRuns(command, instrument, spans, timeout, folder)
        session, plain_file = _probe(program, program_runs, runs, talk)
        dependencies = session.result()
        text = encode(dependencies) + "\n"
        partial = folder / "dependencies"
        partial.write_text(text, encoding="utf-8")
        trace_file = file.with_suffix(".trace.jsonl")
        os.replace(plain_file, trace_file)
        os.replace(partial, file)
    if as_json:
        sys.stdout.write(text)
    else:
        Console(highlight=False, emoji=False).print(ProbeText(dependencies))
    if program_runs.traces > 1:
        _say(
            talk,
            f"The program leaves {program_runs.traces} traces; the largest is probed: "
            f"{program_runs.name}.",
        )
    _say(talk, f"Written: {file}, and an undisturbed run: {trace_file}")
    which = f" --id {session.base.trace.trace_id}" if program_runs.traces > 1 else ""
    diagnose = f"trading-graph diagnose {trace_file}{which} --dependencies {file}"
    _say(talk, f"What each fix gains: {diagnose}")
    return ExitCode.OK


def _probe(
    program: tuple[str, ...], program_runs: ProgramRuns, count: int, talk: Console
) -> tuple[ProbeSession, Path]:
    """All runs, and the trace file of an undisturbed one."""
    session, files = ProbeSession(program, count), list[Path]()
    total_s = 0.0
    with _progress(talk, count) as advance:
        for number in range(1, count + 1):
            run, file = program_runs.make(session.next_plan)
            try:
                session.add(run)
            except ChangedStructureError as error:
                raise NotProbedError(_not_repeatable(number, error)) from None
            files.append(file)
            total_s += float(run.trace.duration[run.run]) / 1e9
            advance(number, total_s)
    return session, files[session.made.index(session.base)]


def _not_repeatable(number: int, error: ChangedStructureError) -> str:
    if number <= PLAIN:
        return (
            f"The program is not repeatable: run {number} {error}. Probe one that does the same "
            "each time: with recorded answers, a fixed seed, a temperature of 0."
        )
    return (
        f"The program changes with its pace: run {number}, in which spans were held, {error}. Look "
        "for a timeout or a race."
    )


@contextmanager
def _progress(talk: Console, count: int) -> Iterator[Any]:
    """What is called after each run, with its number and the time of all so far."""
    if not talk.is_terminal:
        yield lambda number, total_s: _say(
            talk, f"Run {number} of {count}, {brief(total_s / number)} each so far."
        )
        return
    columns = TextColumn("run {task.completed} of {task.total}"), BarColumn(), TimeElapsedColumn()
    began = time.monotonic()
    with Progress(*columns, TextColumn("{task.description}"), console=talk, transient=True) as bar:
        task = bar.add_task("", total=count)

        def advance(number: int, _: float) -> None:
            left_s = (time.monotonic() - began) / number * (count - number)
            bar.update(task, completed=number, description=f"about {brief(left_s)} left")

        yield advance


def _command_of(words: Sequence[str]) -> list[str]:
    """The command that the words name; the id of a test is one for pytest."""
    if not words:
        raise click.UsageError("name the program after --: trading-graph probe -- python app.py")
    name, node, _ = words[0].partition(_NODE)
    if node and Path(name).exists():
        return command_of(["-m", "pytest", *words])
    return command_of(words)


def _default_file() -> Path:
    return Path(f"dependencies-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.json")


@contextmanager
def _folder_beside(file: Path) -> Iterator[Path]:
    """A folder for the runs, which is gone afterwards; raises OSError where none can be made."""
    try:
        folder = tempfile.mkdtemp(
            prefix=f"{file.name}.", suffix=".runs", dir=file.absolute().parent
        )
    except OSError as error:
        error.filename = str(file)
        raise
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that the program is stopped too."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise CancelledError

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(talk: Console, sentence: str) -> None:
    talk.print(escape(sentence), highlight=False, soft_wrap=True)

"""Runs a program again and again under the witness, each time with a plan of what is held."""

import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from trading_graph.otel.errors import TraceError
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.probe.plan import Plan
from trading_graph.otel.probe.runs import ProbeRun, path_numbers
from trading_graph.otel.probe.session import PLAIN
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import completeness
from trading_graph.otel.vocabularies import witness
from trading_graph.otel.witness import start
from trading_graph.otel.witness.delays import PLAN
from trading_graph.service.errors import NotProbedError
from trading_graph.service.recording import sentences
from trading_graph.service.recording.folder import Recording, recording_to

FIRST_S = 600.0
"""What the first run may take, where no time is given."""

TIMES_FIRST, MORE_S = 3, 30.0
"""What each further run may take: so many times the first one, and so much more."""

_SAID = 300
_TERM_S = 5.0

MakePlan = Callable[[str, int], Plan]


@dataclass
class ProgramRuns:
    """The runs of one command; `timeout_s` is what any of them may take, where it is given."""

    command: Sequence[str]
    instrument: str
    spans: str | None
    timeout_s: float | None
    folder: Path
    """Where the trace of each run is written."""
    first_s: float = 0.0
    count: int = 0
    name: str = ""
    """The name of the span of the run, which is looked for in further runs."""
    traces: int = 0
    """How many traces the first run left; one of them is probed."""
    activity: str = ""
    """The task in which that one began, which tells it from others of its name."""

    def make(self, make_plan: MakePlan) -> tuple[ProbeRun, Path]:
        """Run the program once, and read what it left; raises NotProbedError."""
        self.count += 1
        token = secrets.token_hex(8)
        plan = make_plan(token, os.getpid())
        file = self.folder / f"run-{self.count}.jsonl"
        with recording_to(file) as recording:
            environment = recording.environment(self.instrument, self.spans)
            environment[start.DELAYS] = token
            Path(environment[start.OUT], PLAN).write_text(plan.to_json(), encoding="utf-8")
            began = time.monotonic()
            self._run(environment)
            if self.count == 1:
                self.first_s = time.monotonic() - began
            recorded = recording.collect()
        return self._read(recorded, plan), file

    def _run(self, environment: dict[str, str]) -> None:
        limit_s = self.timeout_s or FIRST_S
        if self.timeout_s is None and self.count > 1:
            limit_s = TIMES_FIRST * self.first_s + MORE_S
        with tempfile.TemporaryFile() as output:
            code = _finish(self.command, environment, output.fileno(), limit_s)
            if code == 0:
                return
            last_words = _last_words(output.fileno())
        if code is None:
            raise NotProbedError(
                f"Run {self.count} had not ended after {limit_s:.0f} s, and was stopped; probe a "
                "program that ends by itself, or give it longer with --timeout."
            )
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        note = "" if self.count <= PLAIN else " Its spans were held: it may not bear to be slower."
        raise NotProbedError(
            f"The program ended {how} in run {self.count}, so it cannot be probed"
            f"{f' (its last words: {last_words})' if last_words else ''}.{note}"
        )

    @pause_collection()
    def _read(self, recording: Recording, plan: Plan) -> ProbeRun:
        if not recording.spans and self.count > 1:
            raise NotProbedError(
                f"The program is not repeatable: run {self.count} made no spans, as the first one "
                "did. Probe one that does its work anew each time, and not what is left of it."
            )
        if not recording.spans:
            is_watched = sentences.is_watched(recording.processes, with_libraries=True)
            raise NotProbedError(
                (None if is_watched else sentences.cannot_import(recording.processes))
                or (sentences.NO_SIGN_OF_LIFE if not recording.processes else None)
                or sentences.no_spans(
                    recording.processes,
                    failed=False,
                    is_disabled=os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true",
                    makes_tasks=self.spans == "tasks",
                    instrument=self.instrument,
                )
            )
        # The largest one; of those of one size that of the first task, as in every run.
        traces = sorted(
            read(recording.file), key=lambda each: (-len(each), path_numbers(_activity(each)))
        )
        candidates = [each for each in traces if self.name in ("", _name(each))]
        if not candidates:
            raise NotProbedError(
                f"The program is not repeatable: run {self.count} has no trace of {self.name!r}, "
                "as the first one has."
            )
        trace = next(
            (each for each in candidates if _activity(each) == self.activity), candidates[0]
        )
        if not self.name:
            self.name, self.activity, self.traces = _name(trace), _activity(trace), len(traces)
        whole = completeness(trace)
        if whole.run is None or not whole.complete:
            raise TraceError(f"Run {self.count} cannot be judged. {' '.join(whole.missing)}")
        return ProbeRun(trace, whole.run, plan)


def _name(trace: SpanTable) -> str:
    run = completeness(trace).run
    return "" if run is None else trace.names[run]


def _activity(trace: SpanTable) -> str:
    run = completeness(trace).run
    return "" if run is None else str(trace.attributes(run).get(witness.ACTIVITY, ""))


def _finish(
    command: Sequence[str], environment: dict[str, str], output: int, limit_s: float
) -> int | None:
    """The exit code of a command, negative for a signal; None where it had to be stopped.

    It gets no input, and a session of its own, so that what it started is stopped with it.
    """
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise click.UsageError(f"{command[0]} cannot be executed: {error.strerror}") from None
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a program that has not ended, with all that it started."""
    if process.poll() is not None:
        return
    for number, patience_s in ((signal.SIGTERM, _TERM_S), (signal.SIGKILL, None)):
        os.killpg(process.pid, number)
        try:
            process.wait(patience_s)
            return
        except subprocess.TimeoutExpired:
            continue


def _last_words(output: int) -> str:
    """The last line that a program wrote, on one line."""
    size = os.lseek(output, 0, os.SEEK_END)
    os.lseek(output, max(size - 4096, 0), os.SEEK_SET)
    lines = os.read(output, 4096).decode(errors="replace").splitlines()
    said = (" ".join(each.split()) for each in reversed(lines))
    return next(filter(None, said), "")[:_SAID]

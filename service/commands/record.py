"""`trading-graph record`: run a program with the witness, and judge the traces that it leaves.

What judges is imported when the program has ended: the program need not wait for it.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from trading_graph.otel.errors import TraceError
from trading_graph.otel.witness.process_notes import NotedProcess
from trading_graph.service.exit_codes import ErrorKind, ExitCode, fail
from trading_graph.service.lazy_import import load
from trading_graph.service.recording import sentences
from trading_graph.service.recording.folder import Recording, recording_to
from trading_graph.service.recording.program import command_of, run_program

if TYPE_CHECKING:
    from trading_graph.service.recording.judgement import Judgement


def record_command(
    *,
    program: tuple[str, ...],
    gate: str | None,
    out: str | None,
    instrument: str,
    spans: str | None,
    as_json: bool,
) -> int:
    """Run the program, print the verdict, and return the program's exit code, or the verdict's."""
    command = command_of(program)
    _check(gate)
    talk = Console(stderr=True)
    with recording_to(Path(out) if out else _default_file()) as folder:

        def look() -> None:
            processes = folder.processes()
            if sentence := _unwatched(processes, is_watched=sentences.is_watched(processes)):
                _say(talk, sentence)

        code = run_program(command, folder.environment(instrument, spans), look)
        recording = folder.collect()
    for sentence in sentences.faults(recording.processes):
        _say(talk, sentence)
    judged = _judge(recording, talk, gate, instrument, spans, as_json=as_json, code=code)
    if code:
        _say(talk, f"The program ended with exit code {code}, and so does this command.")
    return code or judged


def _default_file() -> Path:
    return Path(f"trace-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl")


def _check(gate: str | None) -> None:
    """Raise GateError for a gate with an error, before the program runs."""
    if gate is not None:
        # Not above: without a gate the program can start at once.
        load("otel.verdict.gate:Gate").from_file(Path(gate))


def _unwatched(processes: Sequence[NotedProcess], *, is_watched: bool) -> str | None:
    """Why nothing of the program is recorded; None where the witness waits for spans."""
    if not processes:
        return sentences.NO_SIGN_OF_LIFE
    return None if is_watched else sentences.cannot_import(processes)


def _judge(
    recording: Recording,
    talk: Console,
    gate: str | None,
    instrument: str,
    spans: str | None,
    *,
    as_json: bool,
    code: int,
) -> ExitCode:
    """Print the verdict on what was recorded, or why nothing was."""
    if not recording.spans:
        sentence = _why_no_spans(recording, instrument, spans, code)
        return fail(sentence, ErrorKind.RUN, exit_code=code or None)
    try:
        # Not above: it takes as long to import as some programs run.
        judgement: Judgement = load("service.recording.judgement:Judgement").of(recording, gate)
    except TraceError as error:
        return fail(str(error), ErrorKind.TRACE, exit_code=code or None)
    _say(talk, judgement.summary)
    judgement.show(talk)
    if as_json:
        sys.stdout.write(judgement.as_json(code) + "\n")
    return judgement.code


def _why_no_spans(recording: Recording, instrument: str, spans: str | None, code: int) -> str:
    processes = recording.processes
    is_watched = sentences.is_watched(processes, with_libraries=True)
    return _unwatched(processes, is_watched=is_watched) or sentences.no_spans(
        processes,
        failed=code != 0,
        is_disabled=os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true",
        makes_tasks=spans == "tasks",
        instrument=instrument,
    )


def _say(talk: Console, sentence: str) -> None:
    talk.print(escape(sentence), highlight=False, soft_wrap=True)

"""`trading-graph replay`: spans that a backend did not accept are sent again, each once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from trading_graph.otel.errors import ExporterSettingsError, TraceError
from trading_graph.otel.export import ReplayResult
from trading_graph.otel.files import from_lines
from trading_graph.otel.redaction import Redactor, process_redactor
from trading_graph.service.errors import SettingsError
from trading_graph.service.exit_codes import ErrorKind, ExitCode, fail
from trading_graph.service.langsmith import langsmith_mode, langsmith_target
from trading_graph.service.replay import ReplayTarget, targets
from trading_graph.service.settings import read_settings
from trading_graph.service.trace_source import trace_file


@dataclass(slots=True)
class _Total:
    """What became of all batches for one backend."""

    sent: int = 0
    present: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, done: ReplayResult) -> None:
        self.sent += done.sent
        self.present += done.present
        self.refused += done.refused
        if done.unreadable:
            self.faults.append(done.unreadable)


def replay_command(*, runs: Sequence[str], everything: bool) -> ExitCode:
    """Replay the spool or the named runs, and return the exit code."""
    talk, redactor = Console(stderr=True), process_redactor()
    try:
        settings = read_settings()
        redactor = process_redactor(settings.secrets)
        # In a mode other than `otlp` LangSmith has no place for our spans.
        langsmith = langsmith_target(settings, langsmith_mode(settings, offline=False))
        files = [trace_file(run, settings) for run in runs]
        backends = targets(settings, langsmith, ask=not everything)
        done = [_replay(target, files, talk, redactor) for target in backends]
    except KeyboardInterrupt:
        return _fail(
            talk, redactor, "Interrupted; what was not sent waits on.", ExitCode.INTERRUPTED
        )
    except (SettingsError, ExporterSettingsError) as error:
        return _fail(talk, redactor, str(error), ExitCode.USAGE)
    except TraceError as error:
        return _fail(talk, redactor, str(error), ExitCode.NOT_DONE)
    except OSError as error:
        sentence = f"Cannot read or write {error.filename}: {error.strerror}."
        return _fail(talk, redactor, sentence, ExitCode.NOT_DONE)
    return ExitCode.OK if all(done) else ExitCode.NOT_DONE


def _replay(target: ReplayTarget, files: Sequence[Path], talk: Console, redactor: Redactor) -> bool:
    """Replay to one backend and print the result; true when nothing is left to send."""
    total = _Total()
    try:
        if files:
            spans = [span for file in files for span in from_lines(file.read_bytes(), str(file))]
            _follow(target, target.replay.spans(spans), len(spans), total, talk)
        elif target.spool.batches():
            with target.spool.lock() as mine:
                if not mine:
                    sentence = f"{target.name}: another process is sending its spool; wait for it."
                    _fail(talk, redactor, sentence, ExitCode.NOT_DONE)
                    return False
                batches = target.replay.spool(target.spool)
                _follow(target, batches, target.spool.spans, total, talk)
    except TraceError as error:
        total.faults.append(f"{error} `--all` sends everything without asking what is there.")
    out = Console(highlight=False, soft_wrap=True)
    already = f", {total.present} were there already" if total.present else ""
    out.print(f"{target.name} at {target.replay.endpoint}: {total.sent} spans sent{already}.")
    remaining = total.refused if files else target.spool.spans
    if remaining:
        refused = "it does not take them" if total.refused else "they could not be sent"
        out.print(f"{target.name}: {remaining} spans wait on; {refused}.")
    if not files and (evicted := target.spool.evictions):
        out.print(
            f"{target.name}: {evicted} spans had to make room in {target.spool.folder} since the "
            "last replay; the runs' own files have them: trading-graph replay RUN"
        )
        target.spool.reset_evictions()
    for fault in total.faults:
        _fail(talk, redactor, fault, ExitCode.NOT_DONE)
    return not remaining and not total.faults


def _follow(
    target: ReplayTarget, batches: Iterable[ReplayResult], spans: int, total: _Total, talk: Console
) -> None:
    with Progress(console=talk, transient=True) as progress:
        task = progress.add_task(f"to {target.name}", total=spans)
        for done in batches:
            total.add(done)
            progress.advance(task, done.sent + done.present)


def _fail(talk: Console, redactor: Redactor, sentence: str, code: ExitCode) -> ExitCode:
    return fail(talk, redactor.text(sentence), code, ErrorKind.TRACE)

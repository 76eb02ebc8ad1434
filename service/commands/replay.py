"""`trading-graph replay`: spans that a backend did not accept are sent again, each once."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from trading_graph.otel.errors import TraceError
from trading_graph.otel.export import ReplayResult
from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.redaction import Redactor
from trading_graph.service.exit_codes import ErrorKind, ExitCode, fail
from trading_graph.service.langsmith import langsmith_mode, langsmith_target
from trading_graph.service.replay import ReplayTarget, targets
from trading_graph.service.settings import read_settings
from trading_graph.service.trace_source import trace_file


def replay_command(*, runs: Sequence[str], everything: bool) -> ExitCode:
    """Replay the spool or the named runs, and return the exit code."""
    talk, settings = Console(stderr=True), read_settings()
    # In a mode other than `otlp` LangSmith has no place for our spans.
    langsmith = langsmith_target(settings, langsmith_mode(settings, offline=False))
    try:
        files = [trace_file(run, settings) for run in runs]
        backends = targets(settings, langsmith, ask=not everything)
        done = [_replay(target, files, talk, settings.redactor) for target in backends]
    except KeyboardInterrupt:
        return fail("Interrupted; what was not sent waits on.", ErrorKind.INTERRUPTED)
    except OSError as error:
        sentence = f"Cannot read or write {error.filename}: {error.strerror}."
        raise TraceError(sentence) from error
    return ExitCode.OK if all(done) else ExitCode.NOT_DONE


def _replay(target: ReplayTarget, files: Sequence[Path], talk: Console, redactor: Redactor) -> bool:
    """Replay to one backend and print the result; true when nothing is left to send."""
    done: list[ReplayResult] = []
    faults = []
    try:
        if files:
            spans = [span for file in files for span in from_lines(file.read_bytes(), str(file))]
            done.extend(_with_bar(target, target.replay.spans(spans), len(spans), talk))
        elif target.spool.batches():
            with target.spool.lock() as mine:
                if not mine:
                    sentence = f"{target.name}: another process is sending its spool; wait for it."
                    fail(redactor.text(sentence), ErrorKind.TRACE)
                    return False
                batches = target.replay.spool(target.spool)
                done.extend(_with_bar(target, batches, target.spool.spans, talk))
    except TraceError as error:
        faults.append(f"{error} `--all` sends everything without asking what is there.")
    refused, present = sum(each.refused for each in done), sum(each.present for each in done)
    out = Console(highlight=False, soft_wrap=True)
    already = f", {present} were there already" if present else ""
    sent = sum(each.sent for each in done)
    out.print(f"{target.name} at {target.replay.endpoint}: {sent} spans sent{already}.")
    remaining = refused if files else target.spool.spans
    if remaining:
        why = "it does not take them" if refused else "they could not be sent"
        out.print(f"{target.name}: {remaining} spans wait on; {why}.")
    if not files and (evicted := target.spool.evictions):
        out.print(
            f"{target.name}: {evicted} spans had to make room in {target.spool.folder} since the "
            "last replay; the runs' own files have them: trading-graph replay RUN"
        )
        target.spool.reset_evictions()
    faults += [each.unreadable for each in done if each.unreadable]
    for fault in faults:
        fail(redactor.text(fault), ErrorKind.TRACE)
    return not remaining and not faults


def _with_bar(
    target: ReplayTarget, batches: Iterable[ReplayResult], spans: int, talk: Console
) -> Iterator[ReplayResult]:
    """The batches as they are sent, with a progress bar."""
    with Progress(console=talk, transient=True) as progress:
        task = progress.add_task(f"to {target.name}", total=spans)
        for done in batches:
            progress.advance(task, done.sent + done.present)
            yield done

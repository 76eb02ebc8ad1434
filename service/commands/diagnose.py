"""`trading-graph diagnose`: where the time of a trace went, as a report or an export."""

import os
import sys
from io import StringIO
from pathlib import Path

import click
from rich.console import Console

from trading_graph.graph.gate import default_gate
from trading_graph.otel.diagnosis import Diagnosis, Standing, diagnose, ranking_of
from trading_graph.otel.gc_pause import last_work
from trading_graph.otel.report.diagnosis import DiagnosisText, diagnosis_json
from trading_graph.otel.report.folded import folded
from trading_graph.otel.report.perfetto import perfetto
from trading_graph.otel.report.verdict import VerdictText
from trading_graph.otel.verdict import Gate, Verdict
from trading_graph.service.commands.where_to_fix import with_places
from trading_graph.service.exit_codes import ErrorKind, ExitCode, print_error
from trading_graph.service.trace_source import find_trace


@last_work()
def diagnose_command(
    *,
    trace: tuple[str, ...],
    target: float | None,
    source: str | None,
    id: str | None,
    format: str | None,
    gate: str | None,
    seen: tuple[str, ...],
    export: str | None,
    out: str | None,
) -> ExitCode:
    """Diagnose a trace, print or write it, and return the exit code."""
    if format and export:
        raise click.UsageError("--format is for the report and --export is instead of it; give one")
    form = export or format or "text"
    talk = Console(stderr=True)
    own = Gate.from_file(Path(gate)) if gate else None
    others = [find_trace((word,), source) for word in seen]
    table = find_trace(trace, source, id)
    diagnosis = diagnose(table, own or default_gate(table), target, id, others)
    if not isinstance(diagnosis, Diagnosis):
        # On stderr: stdout is for the report, which may be JSON.
        talk.print(VerdictText(diagnosis), highlight=False)
        if form == "json":
            print_error(_without_verdict(diagnosis), ErrorKind.INCOMPLETE_TRACE)
        return ExitCode.NOT_DONE
    diagnosis = with_places(diagnosis)
    if out is None:
        _print(diagnosis, form)
    else:
        _write(Path(out), _text(diagnosis, form))
        talk.print(f"Written: {out}", highlight=False, soft_wrap=True)
    kept = diagnosis.target.standing in (Standing.INSIDE, Standing.NONE)
    return ExitCode.OK if kept else ExitCode.CHECK_FAILED


def _without_verdict(verdict: Verdict) -> str:
    missing = " ".join(verdict.missing)
    return f"No verdict on trace {verdict.trace.id}: it is not complete. {missing}"


def _print(diagnosis: Diagnosis, form: str) -> None:
    if form == "text":
        Console(file=sys.stdout, highlight=False, emoji=False).print(DiagnosisText(diagnosis))
    else:
        sys.stdout.write(_text(diagnosis, form))


def _text(diagnosis: Diagnosis, form: str) -> str:
    """The report or export; it ends with a newline."""
    match form:
        case "text":
            buffer = StringIO()
            console = Console(file=buffer, highlight=False, emoji=False, width=100)
            console.print(DiagnosisText(diagnosis))
            return buffer.getvalue()
        case "json":
            return diagnosis_json(diagnosis) + "\n"
        case "markdown" | "html":
            # Not above: it brings Jinja2, which the other forms do without.
            from trading_graph.otel.report.page import diagnosis_markdown, page

            return page(diagnosis) if form == "html" else diagnosis_markdown(diagnosis)
        case "perfetto":
            return perfetto(ranking_of(diagnosis)) + "\n"
        case "folded":
            return folded(ranking_of(diagnosis).path)
        case _:
            # Not above: it brings OpenTelemetry's SDK, which the reports do without.
            from trading_graph.otel.report.simulated_otlp import simulated_otlp

            return simulated_otlp(ranking_of(diagnosis))


def _write(path: Path, text: str) -> None:
    """Write the file whole or not at all; raises OSError with its name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)

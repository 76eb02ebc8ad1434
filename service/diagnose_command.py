"""`trading-graph diagnose`: a trace, a target, a report or an export, an exit code."""

import os
import sys
from pathlib import Path

from rich.console import Console

from trading_graph.otel.collection import collection_paused
from trading_graph.otel.diagnosis import Diagnosis, Standing, diagnose, ranking_of
from trading_graph.otel.errors import TraceError
from trading_graph.service.errors import BadSettings
from trading_graph.service.exit_codes import ExitCode, fail
from trading_graph.service.trace_source import find_trace
from trading_graph.service.where_to_fix import with_places


@collection_paused()
def diagnose_command(
    words: tuple[str, ...],
    source: str | None,
    id: str | None,
    target: float,
    form: str,
    out: str | None,
    also: tuple[str, ...] = (),
) -> int:
    """Diagnose a trace, print or write it, and return the exit code; faults go to stderr.

    `form` is a format of the report or the name of an export; `also` names more runs.
    """
    talk = Console(stderr=True)
    try:
        others = [find_trace((word,), source) for word in also]
        found = diagnose(find_trace(words, source, id), target, id, others)
    except BadSettings as error:
        return fail(talk, str(error), ExitCode.USAGE)
    except TraceError as error:
        return fail(talk, str(error), ExitCode.NOT_DONE)
    if not isinstance(found, Diagnosis):
        from trading_graph.otel.report.verdict_text import VerdictText

        # On stderr: where a report is asked for as JSON, nothing else may come.
        talk.print(VerdictText(found), highlight=False)
        return ExitCode.NOT_DONE
    found = with_places(found)
    if out is None:
        _print(found, form)
    else:
        try:
            _write(Path(out), _text(found, form))
        except OSError as error:
            return fail(talk, f"{out} cannot be written: {error.strerror}.", ExitCode.USAGE)
        talk.print(f"Written: {out}", highlight=False, soft_wrap=True)
    inside = found.target.standing is Standing.INSIDE
    return ExitCode.OK if inside else ExitCode.CHECK_FAILED


def _print(found: Diagnosis, form: str) -> None:
    if form == "text":
        from trading_graph.otel.report.diagnosis_text import DiagnosisText

        Console(file=sys.stdout, highlight=False, emoji=False).print(DiagnosisText(found))
    else:
        sys.stdout.write(_text(found, form))


def _text(found: Diagnosis, form: str) -> str:
    """The report or export; it ends with a newline. Each imports only what it needs."""
    if form == "text":
        from io import StringIO

        from trading_graph.otel.report.diagnosis_text import DiagnosisText

        page = StringIO()
        Console(file=page, highlight=False, emoji=False, width=100).print(DiagnosisText(found))
        return page.getvalue()
    if form == "markdown":
        from trading_graph.otel.report.diagnosis_markdown import diagnosis_markdown

        return diagnosis_markdown(found)
    if form == "json":
        from trading_graph.otel.report.diagnosis_json import diagnosis_json

        return diagnosis_json(found) + "\n"
    if form == "html":
        from trading_graph.otel.report.page import page as html

        return html(found)
    if form == "perfetto":
        from trading_graph.otel.report.perfetto import perfetto

        return perfetto(ranking_of(found)) + "\n"
    if form == "folded":
        from trading_graph.otel.report.folded import folded

        return folded(ranking_of(found).path)
    from trading_graph.otel.report.simulated_otlp import simulated_otlp

    return simulated_otlp(ranking_of(found))


def _write(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

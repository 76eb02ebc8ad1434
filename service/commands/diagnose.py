"""`trading-graph diagnose`: where the time of a trace went, as a report or an export."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path

import click
import msgspec
from rich.console import Console

from trading_graph.graph.gate import default_gate
from trading_graph.otel.diagnosis import Diagnosis, FindingKind, Standing, diagnose, ranking_of
from trading_graph.otel.gc_pause import last_work
from trading_graph.otel.report.diagnosis import DiagnosisText, diagnosis_json
from trading_graph.otel.report.exports import folded, perfetto
from trading_graph.otel.report.verdict import VerdictText
from trading_graph.otel.verdict import Gate, Verdict
from trading_graph.service.exit_codes import ErrorKind, ExitCode, print_error
from trading_graph.service.trace_source import find_trace
from trading_graph.toolkit.data_attributes import AS_OF, SYMBOL


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


PLACES: Mapping[FindingKind, str] = {
    FindingKind.SERIAL_FAN_OUT: "graph/dispatcher.py sends all at once unless --dispatch "
    "sequential asks it not to.",
    FindingKind.SERIAL_TOOLS: "graph/tool_calls.py runs them at once unless --tools sequential "
    "asks it not to.",
    FindingKind.SERIAL_CALLS: "a tool in toolkit/tools/ can ask toolkit/market_data.py for all at "
    "once.",
    FindingKind.BLOCKED_LOOP: "tools are in toolkit/tools/; CPU work belongs into "
    "asyncio.to_thread.",
    FindingKind.DUPLICATES: "toolkit/cache.py caches and shares requests unless --no-cache asks "
    "it not to.",
    FindingKind.QUEUE: "the limits are in toolkit/pool.py and toolkit/rate_limits.py; those of a "
    "model are its service's own and TRADING_GRAPH_REQUESTS_PER_MINUTE.",
    FindingKind.COLD_CONNECTIONS: "toolkit/pool.py keeps one session for a run unless --no-pool "
    "asks it not to.",
    FindingKind.TURNS: "--analyst-turns 2 is the least, and the default.",
    FindingKind.RETRIES: "graph/chat/retries.py says which errors are retried and how often.",
    FindingKind.TOKENS: "prompts are in graph/prompts.py.",
}


def with_places(diagnosis: Diagnosis) -> Diagnosis:
    """The diagnosis with what only this program knows of its own runs.

    Its title, the place of each change, and the commands that watch the next runs.
    """
    attributes = diagnosis.run.attributes
    symbol, as_of = attributes.get(SYMBOL), attributes.get(AS_OF)
    if symbol is None:
        return diagnosis
    return replace(
        diagnosis,
        title=f"{symbol} as of {as_of}",
        findings=tuple(
            msgspec.structs.replace(each, here=PLACES.get(each.kind, ""))
            for each in diagnosis.findings
        ),
        commands=_commands(diagnosis),
    )


def _commands(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Shell lines for the log and the next run."""
    # The id stands between quotes of a shell line, so only plain characters may stay.
    trace_id = re.sub(r"[^\w.:-]", "", diagnosis.trace.id)
    return (
        "# Watch for parallel execution patterns",
        'grep "⏱️" logs/trading_graph.log | tail -20',
        "",
        "# Check analyst start times",
        "grep \"START\" logs/trading_graph.log | awk '{print $1, $2, $3, $NF}'",
        "",
        "# Monitor total runtime",
        'grep "Total execution time" logs/trading_graph.log',
        "",
        "# What the log says of this run",
        f'grep "{trace_id}" logs/trading_graph.log',
        "",
        "# Judge and diagnose the next run",
        "trading-graph verify last",
        f"trading-graph diagnose last --target {diagnosis.target.limit_s:g}",
    )

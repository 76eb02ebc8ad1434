"""`trading-graph diagnose`: where the time of a trace went, as a report or an export."""

import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import click
import msgspec
from rich.console import Console

from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.diagnosis import (
    Diagnosis,
    Finding,
    FindingKind,
    Standing,
    diagnose,
    ranking_of,
)
from trading_graph.otel.gc_pause import last_work
from trading_graph.otel.report.diagnosis import DiagnosisText, diagnosis_json
from trading_graph.otel.report.documents.diagnosis import diagnosis_document
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.documents.span_details import view_export
from trading_graph.otel.report.documents.trace_view import what_if_document
from trading_graph.otel.report.exports import folded, perfetto
from trading_graph.otel.report.verdict import VerdictText
from trading_graph.otel.trace import SpanTable, Trace
from trading_graph.otel.trace.dependencies import Dependencies
from trading_graph.otel.trace.parts import Part
from trading_graph.otel.verdict import Gate, Verdict
from trading_graph.otel.visible import visible_line
from trading_graph.service.exit_codes import ErrorKind, ExitCode, print_error
from trading_graph.service.lazy_import import load
from trading_graph.service.portfolio.attributes import NAME, PORTFOLIO_ID
from trading_graph.service.portfolio.linked_runs import show_linked_runs
from trading_graph.service.trace_source import (
    find_trace,
    find_traces,
    head_of,
    read_dependencies,
    runs_folder,
)
from trading_graph.toolkit.data_attributes import AS_OF, SYMBOL


@last_work()
def diagnose_command(
    *,
    trace: tuple[str, ...],
    target: float | None,
    source: str | None,
    id: str | None,
    root: str | None,
    forest: bool,
    join: bool,
    each: bool,
    format: str | None,
    gate: str | None,
    seen: tuple[str, ...],
    dependencies: str | None,
    export: str | None,
    fix: tuple[int, ...],
    out: str | None,
) -> ExitCode:
    """Diagnose a trace, print or write it, and return the exit code."""
    if format and export:
        raise click.UsageError("--format is for the report and --export is instead of it; give one")
    if bool(fix) != (export == "what-if"):
        raise click.UsageError("--fix and --export what-if go together; give both")
    form = export or format or "text"
    talk = Console(stderr=True)
    own = Gate.from_file(Path(gate)) if gate else None
    part = Part(root, forest)
    order = read_dependencies(dependencies)
    others = [find_trace((word,), source) for word in seen]
    if each:
        if id or out or form not in ("text", "json"):
            raise click.UsageError(
                "--each is instead of --id and --out, with --format text or json"
            )
        return _diagnose_each(
            find_traces(trace, source, part, join), own, target, others, order, form
        )
    table = find_trace(trace, source, id, part, join)
    diagnosis = diagnose(table, own or default_gate(table), target, id, others, order)
    if isinstance(diagnosis, Diagnosis):
        diagnosis = with_places(diagnosis)
    if form == "view":
        # A trace without a verdict has a view too.
        _put(encode(view_export(Trace(table), diagnosis), indent=None) + "\n", out, talk)
        return _code_of(diagnosis)
    if not isinstance(diagnosis, Diagnosis):
        # On stderr: stdout is for the report, which may be JSON.
        talk.print(VerdictText(diagnosis), highlight=False)
        if form == "json":
            print_error(without_verdict(diagnosis), ErrorKind.INCOMPLETE_TRACE)
        return ExitCode.NOT_DONE
    if form == "what-if":
        _put(_what_if(table, diagnosis, fix), out, talk)
        return _code_of(diagnosis)
    if out is None:
        _print(diagnosis, form)
        if form == "text" and PORTFOLIO_ID in table.keys:
            show_linked_runs(
                table, runs_folder(), Console(file=sys.stdout, highlight=False, emoji=False)
            )
    else:
        _put(_text(diagnosis, form), out, talk)
    return _code_of(diagnosis)


def _put(text: str, out: str | None, talk: Console) -> None:
    """Print a text, or write it to a file and say so."""
    if out is None:
        sys.stdout.write(text)
    else:
        _write(Path(out), text)
        talk.print(f"Written: {out}", highlight=False, soft_wrap=True)


def _what_if(table: SpanTable, diagnosis: Diagnosis, fix: Sequence[int]) -> str:
    try:
        document = what_if_document(Trace(table), diagnosis, fix)
    except LookupError as error:
        raise click.UsageError(f"{error.args[0]} Name such with --fix.") from None
    return encode(document, indent=None) + "\n"


def _diagnose_each(
    tables: Sequence[SpanTable],
    gate: Gate | None,
    target: float | None,
    seen: Sequence[SpanTable],
    order: Dependencies | None,
    form: str,
) -> ExitCode:
    """Diagnose every trace of a source: a line each with the first finding, and a summary."""
    codes, without = Counter[ExitCode](), 0
    for table in tables:
        result = diagnose(table, gate or default_gate(table), target, None, seen, order)
        codes[_code_of(result)] += 1
        without += isinstance(result, Diagnosis) and result.target.standing is Standing.NONE
        if form == "text":
            click.echo(visible_line(f"{head_of(table)}  {_in_short(result)}"))
        elif isinstance(result, Diagnosis):
            click.echo(encode(diagnosis_document(with_places(result)), indent=None))
        else:
            print_error(without_verdict(result), ErrorKind.INCOMPLETE_TRACE)
    click.echo(
        f"{len(tables)} diagnosed: {codes[ExitCode.OK] - without} inside the target, "
        f"{codes[ExitCode.CHECK_FAILED]} over it, "
        + (f"{without} without one, " if without else "")
        + f"{codes[ExitCode.NOT_DONE]} could not be judged.",
        err=form == "json",
    )
    return max(codes, key=lambda code: (code is ExitCode.CHECK_FAILED, code))


def _code_of(result: Diagnosis | Verdict) -> ExitCode:
    if not isinstance(result, Diagnosis):
        return ExitCode.NOT_DONE
    is_inside = result.target.standing in (Standing.INSIDE, Standing.NONE)
    return ExitCode.OK if is_inside else ExitCode.CHECK_FAILED


def _in_short(result: Diagnosis | Verdict) -> str:
    """The first finding in a line."""
    if not isinstance(result, Diagnosis):
        return f"not judged: {result.missing[0]}"
    first = next(iter(result.findings), None)
    if first is None:
        return "no change was found that would make it faster"
    gain = f"{first.gain.low_s:.3f} to {first.gain.high_s:.3f} s"
    only_if = f", only if {first.only_if}" if first.only_if else ""
    return f"{first.kind} in {first.place}: gains {gain}{only_if}"


def without_verdict(verdict: Verdict) -> str:
    """Why there is no diagnosis of a trace."""
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
            render = "page" if form == "html" else "diagnosis_markdown"
            return str(load(f"otel.report.page:{render}")(diagnosis))
        case "perfetto":
            return perfetto(ranking_of(diagnosis)) + "\n"
        case "folded":
            return folded(ranking_of(diagnosis).path)
        case _:
            # Not above: it brings OpenTelemetry's SDK, which the reports do without.
            return str(load("otel.report.simulated_otlp:simulated_otlp")(ranking_of(diagnosis)))


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
    FindingKind.RATE_LIMIT: "TRADING_GRAPH_REQUESTS_PER_MINUTE and TRADING_GRAPH_TOKENS_PER_MINUTE "
    "say what the model's service grants.",
    FindingKind.COLD_CONNECTIONS: "toolkit/pool.py keeps one session for a run unless --no-pool "
    "asks it not to.",
    FindingKind.TURNS: "--analyst-turns 2 is the least, and the default.",
    FindingKind.RETRIES: "graph/chat/retries.py says which errors are retried and how often.",
    FindingKind.TOKENS: "prompts are in graph/prompts.py.",
}


OF_PORTFOLIOS: Mapping[FindingKind, str] = {
    FindingKind.RATE_LIMIT: "portfolio run --model-rpm and --model-tpm say what the model's "
    "service grants.",
    FindingKind.LIMIT: "portfolio run --at-once.",
    FindingKind.STRAGGLER: "trading-graph diagnose with the id of its run.",
}


def with_places(diagnosis: Diagnosis) -> Diagnosis:
    """The diagnosis with what only this program knows of its own runs and portfolios.

    Its title, the place of each change, and the commands that watch the next runs.
    """
    attributes = diagnosis.run.attributes
    if PORTFOLIO_ID in attributes:
        return replace(
            diagnosis,
            title=f"portfolio {attributes.get(NAME) or diagnosis.trace.id}",
            findings=_placed(diagnosis, OF_PORTFOLIOS),
        )
    symbol, as_of = attributes.get(SYMBOL), attributes.get(AS_OF)
    if symbol is None:
        return diagnosis
    return replace(
        diagnosis,
        title=f"{symbol} as of {as_of}",
        findings=_placed(diagnosis, PLACES),
        commands=_commands(diagnosis),
    )


def _placed(diagnosis: Diagnosis, places: Mapping[FindingKind, str]) -> tuple[Finding, ...]:
    return tuple(
        msgspec.structs.replace(each, here=places.get(each.kind, "")) for each in diagnosis.findings
    )


def _commands(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Shell lines for the log and the next run."""
    # The id stands between quotes of a shell line, so only plain characters may stay.
    trace_id = re.sub(r"[^\w.:-]", "", diagnosis.trace.id)
    limit_s = diagnosis.target.limit_s
    target = "" if limit_s is None else f" --target {limit_s:g}"
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
        f"trading-graph diagnose last{target}",
    )

"""`trading-graph verify`: judge a trace, or with --watch the traces of a service."""

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.errors import TraceError
from trading_graph.otel.gc_pause import last_work
from trading_graph.otel.report import VerdictText, as_github, as_json, as_junit, as_markdown
from trading_graph.otel.report.documents.document import Document, encode
from trading_graph.otel.report.documents.verdict import VerdictJson, verdict_document
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.dependencies import Dependencies
from trading_graph.otel.trace.parts import Part
from trading_graph.otel.verdict import Gate, Verdict, judge, with_target
from trading_graph.otel.visible import visible_line
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.portfolio.attributes import PORTFOLIO_ID
from trading_graph.service.portfolio.linked_runs import show_linked_runs
from trading_graph.service.trace_source import (
    configured_jaeger,
    find_trace,
    find_traces,
    head_of,
    read_dependencies,
    runs_folder,
)
from trading_graph.service.watching import PollBackoff, SettledTrace, TraceWatch

FORMATS = {"markdown": as_markdown, "json": as_json, "junit": as_junit, "github": as_github}
_WHOLE_FORMATS = FORMATS.keys() - {"json"}
"""The formats of one verdict alone, which a line each does not have."""


class Demands:
    """What is asked of each trace: a gate, or the default one; a time; and proof, if strict.

    Raises GateError for a gate file with an error.
    """

    def __init__(self, gate: str | None, target_s: float | None, strict: bool) -> None:
        self._gate = Gate.from_file(Path(gate)) if gate else None
        self._target_s = target_s
        self._strict = strict

    def gate(self, trace: SpanTable) -> Gate:
        """The gate for a trace."""
        gate = with_target(self._gate or default_gate(trace), self._target_s)
        return gate.with_proof() if self._strict else gate


def verify_command(
    *,
    trace: tuple[str, ...],
    source: str | None,
    id: str | None,
    root: str | None,
    forest: bool,
    join: bool,
    each: bool,
    watch: str | None,
    seconds: float | None,
    count: int | None,
    gate: str | None,
    target: float | None,
    strict: bool,
    seen: tuple[str, ...],
    dependencies: str | None,
    format: str,
) -> ExitCode:
    """Judge a trace, or the traces of a service that is watched, and return the exit code."""
    demands = Demands(gate, target, strict)
    order = read_dependencies(dependencies)
    if watch is None:
        if not trace:
            raise click.UsageError("name a TRACE, or a service with --watch")
        if seconds is not None or count is not None:
            raise click.UsageError("--for and --count end a watch; give --watch SERVICE as well")
        part = Part(root, forest)
        if each:
            if id or format not in ("text", "json"):
                raise click.UsageError("--each is instead of --id, with --format text or json")
            return _verify_each(trace, source, demands, seen, order, format, part, join)
        return _verify(trace, source, id, demands, seen, order, format, part, join)
    parts = root or forest or join or each or dependencies
    if trace or id or seen or parts or source not in (None, "jaeger") or format in _WHOLE_FORMATS:
        raise click.UsageError(
            "--watch is of Jaeger, instead of TRACE, --from, --id, --root, --forest, --join, "
            "--each, --seen and --dependencies, with --format text or json"
        )
    return _watch(watch, demands, format, seconds, count)


@last_work()
def _verify(
    words: tuple[str, ...],
    source: str | None,
    id: str | None,
    demands: Demands,
    seen: tuple[str, ...],
    order: Dependencies | None,
    format: str,
    part: Part,
    join: bool,
) -> ExitCode:
    """Judge one trace."""
    table = find_trace(words, source, id, part, join)
    others = [find_trace((word,), source) for word in seen]
    verdict = judge(table, demands.gate(table), id, others, order)
    if format == "text":
        console = Console(file=sys.stdout, highlight=False, emoji=False)
        console.print(VerdictText(verdict))
        if PORTFOLIO_ID in table.keys:
            show_linked_runs(table, runs_folder(), console)
    else:
        sys.stdout.write(FORMATS[format](verdict) + "\n")
    return code_of(verdict)


@last_work()
def _verify_each(
    words: tuple[str, ...],
    source: str | None,
    demands: Demands,
    seen: tuple[str, ...],
    order: Dependencies | None,
    format: str,
    part: Part,
    join: bool,
) -> ExitCode:
    """Judge every trace of a source: a line each, and a summary."""
    others = [find_trace((word,), source) for word in seen]
    codes = Counter[ExitCode]()
    for table in find_traces(words, source, part, join):
        verdict = judge(table, demands.gate(table), None, others, order)
        codes[code_of(verdict)] += 1
        if format == "json":
            click.echo(encode(verdict_document(verdict), indent=None))
        else:
            click.echo(visible_line(f"{head_of(table)}  {outcome_of(verdict)}"))
    click.echo(_summary(codes) + ".", err=format == "json")
    return code_of_all(codes, 1)


def code_of(verdict: Verdict) -> ExitCode:
    """How a command ends that was to judge one trace."""
    if not verdict.judged:
        return ExitCode.NOT_DONE
    return ExitCode.OK if verdict.passed else ExitCode.CHECK_FAILED


def _watch(
    service: str, demands: Demands, format: str, seconds: float | None, count: int | None
) -> ExitCode:
    """Judge the traces that arrive, until a signal or until there are enough.

    One that fails decides the exit code, then one without a verdict; too few pass no gate.
    """
    talk, jaeger = Console(stderr=True), configured_jaeger()
    watch, codes = TraceWatch(jaeger, service, time.time()), Counter[ExitCode]()
    _say(talk, f"Watching {service} in Jaeger at {jaeger.base_url}; stop with Ctrl-C.")
    try:
        with _sigterm_as_interrupt():
            deadline = None if seconds is None else time.monotonic() + seconds
            for arrived in _arriving(watch, talk, deadline):
                verdict = judge(arrived.trace, demands.gate(arrived.trace))
                codes[code_of(verdict)] += 1
                line = (
                    _object(service, arrived, verdict)
                    if format == "json"
                    else _line(arrived, verdict)
                )
                click.echo(line)
                if codes.total() == count:
                    break
    except KeyboardInterrupt:
        pass  # a watch ends like this
    pending = f", {watch.pending} had not settled" if watch.pending else ""
    _say(talk, f"{_summary(codes)}{pending}.")
    return code_of_all(codes, count or 1)


def _summary(codes: Mapping[ExitCode, int]) -> str:
    return (
        f"{sum(codes.values())} judged: {codes[ExitCode.OK]} passed, "
        f"{codes[ExitCode.CHECK_FAILED]} failed, {codes[ExitCode.NOT_DONE]} without a verdict"
    )


def code_of_all(codes: Mapping[ExitCode, int], least: int) -> ExitCode:
    """How a command ends that judged several traces: one that fails decides, then one without."""
    if codes[ExitCode.CHECK_FAILED]:
        return ExitCode.CHECK_FAILED
    enough = sum(codes.values()) >= least
    return ExitCode.OK if enough and not codes[ExitCode.NOT_DONE] else ExitCode.NOT_DONE


def _arriving(watch: TraceWatch, talk: Console, deadline: float | None) -> Iterator[SettledTrace]:
    patience = PollBackoff()
    while True:
        try:
            arrived = watch.poll()
        except TraceError as error:
            if patience.note_failure(str(error)):
                _say(talk, f"{error} Trying again until it does.")
        else:
            if patience.note_success():
                _say(talk, "Jaeger answers again.")
            for each in arrived:
                watch.mark_done(each.trace.trace_id)
                yield each
        remaining_s = None if deadline is None else deadline - time.monotonic()
        if remaining_s is not None and remaining_s <= 0:
            return
        time.sleep(patience.wait_s if remaining_s is None else min(remaining_s, patience.wait_s))


def _line(arrived: SettledTrace, verdict: Verdict) -> str:
    started = datetime.fromtimestamp(arrived.started).astimezone()
    took = "-" if arrived.seconds is None else f"{arrived.seconds:.2f} s"
    head = f"{started:%Y-%m-%d %H:%M:%S}  {arrived.trace.trace_id}  {arrived.name}  {took}"
    return f"{head}  {outcome_of(verdict)}"


def outcome_of(verdict: Verdict) -> str:
    """A verdict in a few words."""
    if not verdict.judged:
        return f"no verdict: {next(iter((*verdict.missing, verdict.unrecognised)))}"
    failed = next(iter(verdict.failures), None)
    return "passed" if failed is None else f"failed: {failed.title}: {failed.measured}"


class WatchedVerdictJson(Document, frozen=True, kw_only=True):
    """A line of a watch: the verdict on a trace that arrived, and what was run when."""

    service: str
    name: str
    started: str
    seconds: float | None
    verdict: VerdictJson


def _object(service: str, arrived: SettledTrace, verdict: Verdict) -> str:
    document = WatchedVerdictJson(
        service=service,
        name=arrived.name,
        started=datetime.fromtimestamp(arrived.started, UTC).isoformat(),
        seconds=arrived.seconds,
        verdict=verdict_document(verdict),
    )
    return encode(document, indent=None)


def _say(talk: Console, sentence: str) -> None:
    talk.print(escape(sentence), highlight=False, soft_wrap=True)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end a watch too: a background job of a shell gets no Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

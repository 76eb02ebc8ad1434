"""The judge as a library: reads traces, judges them, diagnoses them, compares them.

These are the functions of `trading_graph` itself. Every failure is a `JudgeError`, with the
sentence that the command line prints.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel import diagnosis as core
from trading_graph.otel.diagnosis import Comparison, Diagnosis
from trading_graph.otel.errors import JudgeError
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.otel.sources.trace_files import parse
from trading_graph.otel.sources.trace_files import read as read_files
from trading_graph.otel.trace import SpanTable, Trace, parts, table_of
from trading_graph.otel.trace.dependencies import Dependencies
from trading_graph.otel.verdict import Gate, Verdict
from trading_graph.otel.verdict import judge as judge_table

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_JAEGER_PATH = re.compile(r"(?P<base>.*)/(trace|api/traces|api/v3/traces)/(?P<id>[0-9a-fA-F-]+)/?")


def read(
    source: "str | os.PathLike[str] | bytes | Iterable[ReadableSpan]",
    *,
    root: str | None = None,
    forest: bool = False,
    join: bool = False,
) -> list[Trace]:
    """Read the traces of a file, of a trace's address in Jaeger, of bytes, or of the SDK's spans.

    An address is that of the trace's page or of Jaeger's API; the call blocks until the trace is
    there. docs/traces.md lists the formats of files. `join` takes the traces of one run together,
    `forest` the trees of one trace, and `root` only what is below a span, by its id or its name.
    Raises JudgeError, also if there is no trace.
    """
    if isinstance(source, bytes):
        tables, origin = parse(source, "The content"), "the content"
    elif isinstance(source, str) and source.startswith(("http://", "https://")):
        tables, origin = _from_jaeger(source), source
    elif isinstance(source, str | os.PathLike):
        tables, origin = read_files(Path(source)), str(source)
    else:
        tables, origin = _from_memory(source), "the spans"
    if not tables:
        raise JudgeError(f"There is no trace in {origin}.")
    if join:
        tables = [parts.join(group) for group in parts.runs(tables)]
    part = parts.Part(root, forest)
    return [Trace(part.of(table, origin)) for table in tables]


def judge(
    trace: Trace,
    gate: Gate | None = None,
    *,
    seen: Iterable[Trace] = (),
    dependencies: Dependencies | None = None,
    run_id: str | None = None,
) -> Verdict:
    """Judge a trace by a gate, or else by what can be asked of any program.

    The verdict on an incomplete trace has no checks, and its `judged` is false. `seen` are more
    runs of the same program: what ran at once in one of them does not need each other.
    `dependencies` are who waits for whom in it, as `trading-graph probe` wrote them: give
    `Dependencies.from_json` the content of its file. `run_id` selects one of several runs.
    """
    table, others = table_of(trace), [table_of(other) for other in seen]
    return judge_table(table, gate or default_gate(table), run_id, others, dependencies)


def diagnose(
    trace: Trace,
    target_s: float | None = None,
    *,
    gate: Gate | None = None,
    seen: Iterable[Trace] = (),
    dependencies: Dependencies | None = None,
    run_id: str | None = None,
) -> Diagnosis:
    """Say where the time of a trace went, and what each fix would gain.

    `target_s` is the time that the run may take, in seconds; the default is the gate's limit, if it
    has one. `seen` are more runs of the same program: what ran at once in one of them does not need
    each other. `dependencies` are as of `judge`. Raises JudgeError if the trace is not complete.
    """
    table, others = table_of(trace), [table_of(other) for other in seen]
    gate = gate or default_gate(table)
    diagnosis = core.diagnose(table, gate, target_s, run_id, others, dependencies)
    if isinstance(diagnosis, Verdict):
        raise JudgeError(" ".join(diagnosis.missing))
    return diagnosis


def compare(
    before: Trace | Iterable[Trace],
    after: Trace | Iterable[Trace],
    *,
    tolerance: float | None = None,
    dependencies: Dependencies | None = None,
) -> Comparison:
    """Say what changed between two runs, or between two sets of runs of one program.

    `tolerance` is the share of the baseline's duration by which the new runs may take longer, such
    as 0.05 for 5 %; the default is the greater of 5 % and three times the baseline's own median
    deviation. `dependencies` are as of `judge`. Raises JudgeError if a trace is not complete, if a
    set is compared with a single run, if a set contains a run twice, or if the two sides are of
    different programs.
    """
    base, new = _side(before), _side(after)
    if flaw := core.set_flaw(len(base), len(new)):
        raise JudgeError(flaw)
    (runs, missing), (new_runs, more_missing) = core.complete_runs(base), core.complete_runs(new)
    if missing or more_missing:
        raise JudgeError(" ".join([*missing, *more_missing]))
    if flaw := core.repetition(runs) or core.repetition(new_runs):
        raise JudgeError(flaw)
    comparison = core.compare(runs, new_runs, tolerance, dependencies)
    if comparison is None:
        raise JudgeError(core.NOTHING_SHARED)
    return comparison


def _side(traces: Trace | Iterable[Trace]) -> list[tuple[str, SpanTable, str | None]]:
    side = [traces] if isinstance(traces, Trace) else list(traces)
    return [(f"trace {each.id}", table_of(each), None) for each in side]


def _from_jaeger(address: str) -> list[SpanTable]:
    parts = urlsplit(address)
    match = _JAEGER_PATH.fullmatch(parts.path)
    if match is None:
        raise JudgeError(
            f"The address {address} names no trace; give that of its page in Jaeger, such as "
            "http://localhost:16686/trace/ID."
        )
    jaeger = JaegerQuery(f"{parts.scheme}://{parts.netloc}{match['base']}")
    trace_id = match["id"].replace("-", "").lower()
    if jaeger.trace(trace_id) is None:
        raise JudgeError(f"Jaeger at {jaeger.base_url} has no trace {trace_id}.")
    table = jaeger.complete(trace_id)
    return [] if table is None else [table]


def _from_memory(spans: "Iterable[ReadableSpan]") -> list[SpanTable]:
    # The SDK is heavy, and only spans in memory need it.
    from trading_graph.otel.sources.in_memory import from_spans

    return from_spans(spans)

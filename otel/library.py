"""The judge as a library: read traces, judge them, diagnose them, compare them.

These are the functions of `trading_graph` itself. Whatever cannot be done is a `JudgeError`, with
the sentence that the command line prints.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trading_graph.otel import diagnosis as core
from trading_graph.otel.diagnosis import Comparison, Diagnosis
from trading_graph.otel.errors import JudgeError
from trading_graph.otel.sources.document import parse
from trading_graph.otel.sources.document import read as read_files
from trading_graph.otel.trace import SpanTable, Trace, table_of
from trading_graph.otel.verdict import Gate, Verdict, default_gate
from trading_graph.otel.verdict import judge as judge_table

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_JAEGER_PATH = re.compile(r"(?P<base>.*)/(trace|api/traces|api/v3/traces)/(?P<id>[0-9a-fA-F-]+)/?")


def read(source: "str | os.PathLike[str] | bytes | Iterable[ReadableSpan]") -> list[Trace]:
    """Read the traces of a file, of a trace's address in Jaeger, of bytes, or of the SDK's spans.

    An address is that of the trace's page or of Jaeger's API; asking for it blocks. What forms a
    file may have is in docs/traces.md. Raises JudgeError, also where there is no trace.
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
    return [Trace(table) for table in tables]


def judge(trace: Trace, gate: Gate | None = None, *, run_id: str | None = None) -> Verdict:
    """Judge a trace by a gate, the default one where none is given.

    A trace that is not complete has a verdict without checks: `verdict.judged` is false. `run_id`
    picks one of several runs.
    """
    return judge_table(table_of(trace), gate or default_gate(), run_id)


def diagnose(
    trace: Trace,
    target_s: float | None = None,
    *,
    also: Iterable[Trace] = (),
    run_id: str | None = None,
) -> Diagnosis:
    """Say where the time of a trace went, and what each fix would gain.

    `target_s` is what the run may take, in seconds; without one it is the default gate's limit.
    `also` are more runs of the same program: an order that one of them breaks is no dependency.
    Raises JudgeError where the trace is not complete.
    """
    others = [table_of(other) for other in also]
    found = core.diagnose(table_of(trace), target_s, run_id, others)
    if isinstance(found, Verdict):
        raise JudgeError(" ".join(found.missing))
    return found


def compare(
    before: Trace | Iterable[Trace],
    after: Trace | Iterable[Trace],
    *,
    tolerance: float | None = None,
) -> Comparison:
    """Say what moved between two runs, or between two sets of runs of one program.

    `tolerance` is the share of the baseline's duration by which the new runs may take longer, 0.05
    for 5 %; without one it is the greater of that and three times the baseline's own median
    deviation. Raises JudgeError where a trace is not complete, where a set stands against a single
    run, where a set holds one run twice, and where the two sides are of different programs.
    """
    base, new = _side(before), _side(after)
    if flaw := core.set_flaw(len(base), len(new)):
        raise JudgeError(flaw)
    (runs, missing), (new_runs, more_missing) = core.complete_runs(base), core.complete_runs(new)
    if missing or more_missing:
        raise JudgeError(" ".join([*missing, *more_missing]))
    if flaw := core.repetition(runs) or core.repetition(new_runs):
        raise JudgeError(flaw)
    found = core.compare(runs, new_runs, tolerance)
    if found is None:
        raise JudgeError(core.NOTHING_SHARED)
    return found


def _side(traces: Trace | Iterable[Trace]) -> list[tuple[str, SpanTable, str | None]]:
    given = [traces] if isinstance(traces, Trace) else list(traces)
    return [(f"trace {each.id}", table_of(each), None) for each in given]


def _from_jaeger(address: str) -> list[SpanTable]:
    from trading_graph.otel.sources.jaeger import JaegerQuery

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
    found = jaeger.complete(trace_id)
    return [] if found is None else [found]


def _from_memory(spans: "Iterable[ReadableSpan]") -> list[SpanTable]:
    from opentelemetry.sdk.trace import ReadableSpan

    from trading_graph.otel.sources.memory import from_spans

    given = list(spans)
    for each in given:
        if not isinstance(each, ReadableSpan):
            raise JudgeError(
                f"Among the spans is a {type(each).__name__}, which is no span of the "
                "OpenTelemetry SDK."
            )
    return from_spans(given)

"""Real programs, recorded: run on an event loop of their own, their spans read back as a trace."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from trading_graph.otel import spans
from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.otel.spans import RecordingProcessor
from trading_graph.otel.trace import SpanTable, profile
from trading_graph.otel.verdict import CheckResult, Gate, judge

Program = Callable[[], Awaitable[object]]

GATE = Gate.from_toml(
    """
    version = 1

    [sets.dispatcher]
    role = "dispatch"

    [sets.agents]
    role = "agent"

    [sets.tools]
    role = "tool"

    [sets.all]
    name = ["*"]

    [[checks]]
    id = "start"
    title = "Agents start with their dispatcher"
    relation = "starts_within"
    set = "agents"
    after = "dispatcher"
    limit_s = 0.15

    [[checks]]
    id = "agents"
    title = "Agents overlap"
    relation = "overlap"
    set = "agents"

    [[checks]]
    id = "turns"
    title = "Tools of a turn run at once"
    relation = "leaf_parallelism"
    set = "tools"
    group_by = ["parent", "trading.turn.index"]

    [[checks]]
    id = "tools"
    title = "Tools of an agent run at once"
    relation = "leaf_parallelism"
    set = "tools"
    group_by = ["parent"]

    [[checks]]
    id = "errors"
    title = "No errors"
    relation = "no_errors"
    set = "all"
    """,
    "the tests' gate",
)


def record(program: Program, sampler: Sampler = ALWAYS_ON) -> list[ReadableSpan]:
    """Run a program under a run's span and return what had ended by its end.

    In a thread, so that it may block its loop: the guards watch the main thread's.
    """
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler)
    provider.add_span_processor(RecordingProcessor(_raise))
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def whole() -> list[ReadableSpan]:
        async with spans.run("program", provider=provider, attributes={}):
            await program()
        return list(exporter.get_finished_spans())

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, whole()).result()


def trace_of(program: Program) -> SpanTable:
    """The trace of a program."""
    (trace,) = from_spans(record(program))
    return trace


def results(trace: SpanTable) -> dict[str, CheckResult]:
    """What the gate says, by check."""
    verdict = judge(trace, GATE)
    assert verdict.judged, verdict.missing
    return {result.id: result for result in verdict.checks}


def looks_parallel(trace: SpanTable, prefix: str = "invoke_agent ") -> bool:
    """What a naive check sees: spans that start together and overlap on the whole."""
    rows = trace.rows(prefix)
    starts = [int(trace.start[row]) for row in rows]
    ends = [int(trace.end[row]) for row in rows]
    return max(starts) < min(ends) and profile(trace, rows).average >= 2


def spin(seconds: float) -> None:
    """Use the CPU in pure Python."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _raise(error: BaseException) -> None:
    raise error

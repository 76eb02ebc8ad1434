"""Making spans: honest statuses, ids, counts, CPU time, loop lag."""

import asyncio
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from trading_graph.otel import spans
from trading_graph.otel.spans import UUIDv7IdGenerator, uuid7
from trading_graph.otel.spans.recording import RecordingProcessor
from trading_graph.otel.trace import semconv
from trading_graph.otel.vocabularies import witness


def _raise(error: BaseException) -> None:
    raise error


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider(id_generator=UUIDv7IdGenerator(), shutdown_on_exit=False)
    provider.add_span_processor(RecordingProcessor(_raise))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def span_of(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    (match,) = [span for span in exporter.get_finished_spans() if span.name == name]
    return match


def attribute(exporter: InMemorySpanExporter, name: str, key: str) -> object:
    return (span_of(exporter, name).attributes or {}).get(key)


async def test_run_id_and_trace_id_are_one_uuid_of_version_7(provider: TracerProvider) -> None:
    before = time.time_ns() // 1_000_000
    async with spans.run("w", provider=provider, attributes={}) as run:
        inner = trace.get_current_span().get_span_context().trace_id
    assert run.run_id == run.trace_id == f"{inner:032x}"
    run_uuid = uuid.UUID(run.run_id)
    assert (run_uuid.version, run_uuid.variant) == (7, uuid.RFC_4122)
    assert before <= run_uuid.int >> 80 <= time.time_ns() // 1_000_000


async def test_an_id_that_was_given_away_before_is_the_runs_and_its_traces(
    provider: TracerProvider,
) -> None:
    id = uuid7()
    async with spans.run("w", provider=provider, attributes={}, run_id=id) as run:
        pass
    assert run.run_id == run.trace_id == id.hex


async def test_two_runs_have_different_traces_even_when_nested_roots_are_opened(
    provider: TracerProvider,
) -> None:
    """Only the run's own span takes the dictated id."""
    ids = set()
    for _ in range(2):
        async with spans.run("w", provider=provider, attributes={}) as run:
            ids.add(run.trace_id)
            root = run.recording.tracer.start_span("other", context=Context())
            ids.add(f"{root.get_span_context().trace_id:032x}")
            root.end()
    assert len(ids) == 4


async def test_under_a_caller_the_trace_is_the_callers_and_the_run_id_its_own(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    caller = trace.SpanContext(1 << 100, 77, is_remote=True, trace_flags=trace.TraceFlags(1))
    parent = trace.set_span_in_context(trace.NonRecordingSpan(caller))
    async with spans.run("w", provider=provider, attributes={}, parent=parent) as run:
        pass
    assert run.trace_id == f"{1 << 100:032x}"
    assert run.run_id != run.trace_id
    root = span_of(exporter, "invoke_workflow w")
    assert root.parent is not None
    assert root.parent.span_id == 77


async def test_the_run_declares_exactly_the_spans_that_were_started(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with spans.run("w", provider=provider, attributes={}):
        with spans.dispatch("analysts", fanout=2):
            pass

        async def branch(name: str) -> None:
            with spans.agent(name):
                await asyncio.to_thread(in_thread)

        def in_thread() -> None:
            with spans.fetch("source"):
                pass

        await asyncio.gather(branch("a"), branch("b"))
    with spans.open_span("after the run"):
        pass
    assert attribute(exporter, "invoke_workflow w", semconv.SPANS_STARTED) == 6


async def test_a_span_left_open_is_declared_but_missing(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """A span that never ends is never exported; the count tells the reader."""
    async with spans.run("w", provider=provider, attributes={}) as run:
        run.recording.tracer.start_span("leaked")
    count = attribute(exporter, "invoke_workflow w", semconv.SPANS_STARTED)
    assert count == 1 + len(exporter.get_finished_spans())


async def test_cancelled_work_says_so(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with spans.run("w", provider=provider, attributes={}):

        async def work() -> None:
            with spans.agent("a"):
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    span = span_of(exporter, "invoke_agent a")
    assert span.status.status_code is StatusCode.ERROR
    assert attribute(exporter, span.name, semconv.ERROR_TYPE) == "cancelled"
    assert not span.events


async def test_a_timeout_says_timeout_outside_and_cancelled_inside(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with spans.run("w", provider=provider, attributes={}):
        with pytest.raises(TimeoutError):
            await _chat_past_its_budget()
    assert attribute(exporter, "invoke_agent a", semconv.ERROR_TYPE) == "timeout"
    assert attribute(exporter, "chat m", semconv.ERROR_TYPE) == "cancelled"


def test_control_flow_is_no_error(
    provider: TracerProvider, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupt(Exception):
        pass

    monkeypatch.setattr("trading_graph.otel.spans.span._control_flow", ())
    spans.register_control_flow(Interrupt)
    monkeypatch.setattr(
        "trading_graph.otel.spans.span.active_tracer", lambda: provider.get_tracer("t")
    )
    with pytest.raises(Interrupt), spans.open_span("interrupted"):
        raise Interrupt
    with pytest.raises(ValueError, match="no"), spans.open_span("failed"):
        raise ValueError("no")
    assert span_of(exporter, "interrupted").status.status_code is StatusCode.UNSET
    assert span_of(exporter, "failed").status.status_code is StatusCode.ERROR
    assert attribute(exporter, "failed", semconv.ERROR_TYPE) == "ValueError"


async def test_an_agent_links_to_its_dispatcher(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with spans.run("w", provider=provider, attributes={}):
        with spans.dispatch("analysts", fanout=1) as dispatcher:
            pass
        with spans.agent("a", dispatcher=dispatcher.get_span_context()):
            pass
    (link,) = span_of(exporter, "invoke_agent a").links
    assert link.context.span_id == dispatcher.get_span_context().span_id


async def test_an_unsampled_run_works_and_has_no_trace_id(exporter: InMemorySpanExporter) -> None:
    provider = TracerProvider(
        sampler=ALWAYS_OFF, resource=Resource.get_empty(), shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with spans.run("w", provider=provider, attributes={}) as run:
        with spans.agent("a"):
            pass
    assert run.trace_id is None
    assert exporter.get_finished_spans() == ()


async def test_a_listener_that_fails_does_not_break_the_run(
    exporter: InMemorySpanExporter,
) -> None:
    faults: list[BaseException] = []
    provider = TracerProvider(resource=Resource.get_empty(), shutdown_on_exit=False)
    provider.add_span_processor(RecordingProcessor(faults.append))
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    class Broken:
        def on_start(self, span: ReadableSpan) -> None:
            raise RuntimeError("broken")

        def on_end(self, span: ReadableSpan) -> None:
            raise RuntimeError("broken")

    async with spans.run("w", provider=provider, attributes={}) as run:
        run.recording.listen(Broken())
        with spans.agent("a"):
            pass
    assert len(exporter.get_finished_spans()) == 2
    assert len(faults) == 3


async def test_a_span_tells_how_long_it_blocked_the_loop(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """Times alone cannot show a span that awaits and then blocks; the innocent one has less lag."""
    blocked_s = 0.15
    async with spans.run("w", provider=provider, attributes={}):
        with spans.agent("before"):
            await asyncio.sleep(0.03)
        with spans.agent("guilty"):
            await asyncio.sleep(0.03)
            _block(blocked_s)
    guilty = attribute(exporter, "invoke_agent guilty", semconv.LOOP_LAG_MAX_MS)
    before = attribute(exporter, "invoke_agent before", semconv.LOOP_LAG_MAX_MS)
    root = attribute(exporter, "invoke_workflow w", semconv.LOOP_LAG_MAX_MS)
    assert isinstance(guilty, float)
    assert isinstance(before, float)
    assert isinstance(root, float)
    assert guilty > blocked_s * 1e3 / 2 > before
    assert root >= guilty - 1


async def test_without_a_monitor_no_lag_is_claimed(
    provider: TracerProvider, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing watches a span outside a run, and it must not claim otherwise."""
    monkeypatch.setattr(
        "trading_graph.otel.spans.span.active_tracer", lambda: provider.get_tracer("t")
    )
    with spans.fetch("source"):
        pass
    assert attribute(exporter, "fetch source", semconv.LOOP_LAG_MAX_MS) is None


async def test_busy_threads_show_in_cpu_over_wall(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with spans.run("w", provider=provider, attributes={}):
        with spans.tool("idle", call_id="1", args_hash="a", turn=1):
            await asyncio.sleep(0.1)
        with spans.tool("busy", call_id="2", args_hash="b", turn=1):
            await asyncio.to_thread(_spin, 0.1)
    idle = attribute(exporter, "execute_tool idle", semconv.CPU_OVER_WALL)
    busy = attribute(exporter, "execute_tool busy", semconv.CPU_OVER_WALL)
    assert isinstance(idle, float)
    assert isinstance(busy, float)
    assert busy > 2 * idle


async def _chat_past_its_budget() -> None:
    with spans.agent("a"):
        async with asyncio.timeout(0.01):
            with spans.chat("m", agent="a", turn=1):
                await asyncio.sleep(60)


def _spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


# Without CPU time: the run queue of a busy machine does not count as a block.
_block = time.sleep


async def test_a_run_declares_what_it_records(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with spans.run("w", provider=provider, attributes={}):
        pass
    (declaring,) = (dict(span.attributes or {}) for span in exporter.get_finished_spans())
    assert witness.records(declaring) == set(witness.Recorded)
    assert {"rate_limit", "connection_pool"} <= witness.recorded_waits(declaring)
    assert witness.clock(declaring) is not None


async def test_spans_of_one_loop_name_it_and_those_of_a_thread_name_none(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    def in_thread() -> None:
        with spans.fetch("source"):
            pass

    async with spans.run("w", provider=provider, attributes={}):
        with spans.agent("a"):
            await asyncio.to_thread(in_thread)
    loop = attribute(exporter, "invoke_agent a", semconv.LOOP_ID)
    assert loop == attribute(exporter, "invoke_workflow w", semconv.LOOP_ID) is not None
    assert attribute(exporter, "fetch source", semconv.LOOP_ID) is None


STARVED = """
import asyncio, os, subprocess, sys, time
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from trading_graph.otel import witness

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
work = "import time\\nend = time.time() + 20\\nwhile time.time() < end: pass"
others = [subprocess.Popen([sys.executable, "-c", work]) for _ in range(2)]
os.nice(10)  # the others take most of the CPU, whatever the scheduler thinks of sleepers

async def main():
    late = 0
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("starved")
    with tracer.start_as_current_span("starved"):
        for _ in range(20):
            due = time.time_ns() + 10_000_000
            await asyncio.sleep(0.01)
            begun = time.thread_time_ns()
            while time.thread_time_ns() - begun < 5_000_000:
                pass  # who uses its share has to wait for the next
            late = max(late, time.time_ns() - due)
    await asyncio.sleep(0.1)  # the turns of the others so far are not the next block's
    with tracer.start_as_current_span("blocked"):
        time.sleep(0.3)
    lags = [span.attributes["witness.loop.lag_max_ms"] for span in exporter.get_finished_spans()]
    print(late / 1e6, *lags)

witness.install()
try:
    asyncio.run(main())
finally:
    for other in others:
        other.kill()
"""


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="no run queue's clock")
def test_a_loop_that_other_programs_starve_is_not_blocked() -> None:
    """Two programs take its CPU: it is late by their turns, and only its own sleep counts."""
    ran = subprocess.run(
        [sys.executable, "-c", STARVED], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    late_ms, starved_ms, blocked_ms = map(float, ran.stdout.split())
    # How late it is depends on the scheduler: the rest is measured against it.
    assert starved_ms < late_ms / 2
    assert blocked_ms > 300 / 2  # its own sleep

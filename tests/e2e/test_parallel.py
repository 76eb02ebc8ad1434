"""Did it really run in parallel: asserted on a trace that went to a real Jaeger and back.

Each assertion is also made on a run with sequential dispatch or tools, where it has to fail: an
assertion that cannot fail proves nothing.
"""

import asyncio
import time
from pathlib import Path

import pytest

from tests.analysis_runner import CHOICE, OPTIONS, Runner
from tests.jaeger_process import JaegerProcess
from trading_graph.graph.analysis import analyse, record_run
from trading_graph.graph.backends import open_backends
from trading_graph.graph.options import Order
from trading_graph.otel.export import set_up
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.otel.trace import SpanTable, profile, semconv

pytestmark = pytest.mark.idle(per_cpu=1)

ANALYSTS = (
    "invoke_agent market_analyst",
    "invoke_agent social_analyst",
    "invoke_agent news_analyst",
    "invoke_agent fundamentals_analyst",
)


def analysts(trace: SpanTable) -> list[int]:
    return [row for name in ANALYSTS for row in trace.rows(name)]


def assert_started_with_their_dispatcher(trace: SpanTable) -> None:
    """All analysts start within 1 s of the dispatcher's end, and before any of them has ended.

    The second half is what a second alone cannot show on simulated latencies.
    """
    (dispatcher,) = trace.rows("dispatch analysts")
    rows = analysts(trace)
    assert len(rows) == len(ANALYSTS)
    starts = [int(trace.start[row]) for row in rows]
    assert min(starts) >= trace.end[dispatcher]
    assert max(starts) - trace.end[dispatcher] < 1_000_000_000
    assert max(starts) < min(int(trace.end[row]) for row in rows)


def assert_leaves_overlap(trace: SpanTable, rows: list[int], at_least: float) -> None:
    """The work below the spans ran at once, not just the spans around it."""
    leaves = [leaf for row in rows for leaf in trace.leaves(row)]
    found = profile(trace, leaves)
    assert found.average >= at_least, f"{found.spans} leaves, {found.average:.2f} at once"


def turns_with_work(trace: SpanTable) -> list[list[int]]:
    """The tool calls of each LLM turn that fetched, where at least two of the turn's calls did."""
    groups: dict[tuple[int, int], list[int]] = {}
    for row in trace.rows("execute_tool "):
        if trace.attributes(row)[semconv.CACHE] == "miss":
            key = (int(trace.parent[row]), int(trace.attributes(row)[semconv.TURN_INDEX]))
            groups.setdefault(key, []).append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def assert_tools_of_a_turn_overlap(trace: SpanTable) -> None:
    turns = turns_with_work(trace)
    assert turns
    for rows in turns:
        # The fetches, not the tool spans: a tool span also waits for what others fetch.
        fetches = [child for row in rows for child in trace.children(row)]
        assert_leaves_overlap(trace, fetches, at_least=0.7 * len(fetches))


@pytest.mark.jaeger
async def test_through_jaeger(jaeger: JaegerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace that Jaeger gives back is complete and shows the parallelism, at leaf level too."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", jaeger.otlp_http_url)
    telemetry = await asyncio.to_thread(set_up, "trading-graph", "test")
    async with (
        open_backends(CHOICE) as backends,
        record_run(OPTIONS, backends, telemetry.provider) as run,
    ):
        await analyse(OPTIONS, backends, run)
    assert await asyncio.to_thread(telemetry.shutdown, 10)
    declared = run.recording.spans_started
    query = JaegerQuery(jaeger.query_url)
    trace = await asyncio.to_thread(query.complete, run.run_id)
    assert trace is not None
    assert len(trace) == declared
    (delivery,) = telemetry.deliveries
    assert delivery.delivered == declared
    (root,) = trace.roots
    assert trace.orphans == []
    assert trace.attributes(root)[semconv.RUN_ID] == run.run_id == trace.trace_id

    assert_started_with_their_dispatcher(trace)
    assert_leaves_overlap(trace, analysts(trace), at_least=2.5)
    assert_tools_of_a_turn_overlap(trace)


async def test_sequential_dispatch_fails_the_same_assertions(run_analysis: Runner) -> None:
    ran = await run_analysis(dispatch=Order.SEQUENTIAL)
    with pytest.raises(AssertionError):
        assert_started_with_their_dispatcher(ran.trace)
    with pytest.raises(AssertionError):
        assert_leaves_overlap(ran.trace, analysts(ran.trace), at_least=2.5)
    assert_tools_of_a_turn_overlap(ran.trace)


async def test_sequential_tools_fail_the_same_assertion(run_analysis: Runner) -> None:
    ran = await run_analysis(tools=Order.SEQUENTIAL)
    with pytest.raises(AssertionError):
        assert_tools_of_a_turn_overlap(ran.trace)
    assert_started_with_their_dispatcher(ran.trace)


async def test_sequential_dispatch_is_slower(run_analysis: Runner) -> None:
    """Four analysts and three risk analysts in a row: 13 serial calls instead of 7."""
    quick = await run_analysis()
    slow = await run_analysis(dispatch=Order.SEQUENTIAL)
    assert slow.made.seconds > 1.4 * quick.made.seconds


async def test_a_node_that_blocks_the_loop_is_caught(
    run_analysis: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its spans still overlap; the recorded lag is what gives it away."""
    stall_s = 0.2
    ran = await run_analysis(during=lambda: _spin(stall_s))
    clean = await run_analysis()
    assert _lag_ms(ran.trace) > stall_s * 1e3 / 2 > _lag_ms(clean.trace)
    assert_started_with_their_dispatcher(ran.trace)


def _lag_ms(trace: SpanTable) -> float:
    return float(trace.attributes(trace.roots[0])[semconv.LOOP_LAG_MAX_MS])


def _spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_the_assertions_refuse_a_trace_without_analysts(tmp_path: Path) -> None:
    from trading_graph.otel.trace import TraceBuilder

    empty = TraceBuilder("0" * 32).build()
    with pytest.raises((AssertionError, ValueError)):
        assert_started_with_their_dispatcher(empty)
    with pytest.raises(AssertionError):
        assert_tools_of_a_turn_overlap(empty)

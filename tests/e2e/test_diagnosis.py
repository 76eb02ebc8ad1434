"""Slow variants of the graph itself: the true cause is named first, and its fix predicted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from graph.options import Order
from otel.diagnosis import Diagnosis, Kind, diagnose
from otel.trace import Trace
from tests.analysis_runner import CHOICE, Runner
from toolkit.market_data import AsyncToolkit

SLOW = replace(CHOICE, chat_latency_s=0.5, fetch_latency_s=0.3)
WORST = 0.05


def diagnosed(trace: Trace) -> Diagnosis:
    (run,) = trace.roots
    return diagnose(trace, run)


def seconds(trace: Trace) -> float:
    return float(trace.duration[trace.roots[0]]) / 1e9


async def test_a_good_run_has_nothing_proven_to_gain(run_analysis: Runner) -> None:
    found = diagnosed((await run_analysis(choice=SLOW)).trace)
    proven = [each for each in found.findings if each.finding.proven]
    assert not proven, [each.finding.evidence for each in proven]


async def test_sequential_dispatch(run_analysis: Runner) -> None:
    slow = diagnosed((await run_analysis(choice=SLOW, dispatch=Order.SEQUENTIAL)).trace)
    first, second, *_ = slow.findings
    assert first.finding.kind is Kind.SERIAL_FAN_OUT
    assert first.finding.place == "dispatch analysts"
    assert second.finding.place == "dispatch risk_team"
    mended = seconds((await run_analysis(choice=SLOW)).trace)
    assert abs(slow.steps[-1].wall.likely_ns / 1e9 / mended - 1) <= WORST


async def test_sequential_tools(run_analysis: Runner) -> None:
    slow = diagnosed((await run_analysis(choice=SLOW, tools=Order.SEQUENTIAL)).trace)
    first = slow.findings[0]
    assert first.finding.kind is Kind.SERIAL_TOOLS
    assert first.finding.proven
    mended = seconds((await run_analysis(choice=SLOW)).trace)
    assert abs(first.wall.likely_ns / 1e9 / mended - 1) <= WORST


async def test_duplicate_fetches(run_analysis: Runner) -> None:
    """One after another, so that fetching again costs time."""
    uncached = replace(SLOW, cache=False)
    slow = diagnosed((await run_analysis(choice=uncached, tools=Order.SEQUENTIAL)).trace)
    (found,) = [each for each in slow.findings if each.finding.kind is Kind.DUPLICATES]
    assert found.finding.proven
    mended = seconds((await run_analysis(choice=SLOW, tools=Order.SEQUENTIAL)).trace)
    assert abs(found.wall.likely_ns / 1e9 / mended - 1) <= WORST


async def test_a_tool_that_blocks_the_loop(
    run_analysis: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    filings = AsyncToolkit.filings

    def slowed(pause: Callable[[], Awaitable[None]]) -> None:
        async def fetched(self: AsyncToolkit, *args: object, **more: object) -> object:
            found = await filings(self, *args, **more)  # type: ignore[arg-type]
            await pause()
            return found

        monkeypatch.setattr(AsyncToolkit, "filings", fetched)

    async def blocking() -> None:
        spin(0.4)

    async def awaiting() -> None:
        await asyncio.sleep(0.4)

    slowed(blocking)
    slow = diagnosed((await run_analysis(choice=SLOW)).trace)
    first = slow.findings[0]
    assert first.finding.kind is Kind.BLOCKED_LOOP
    slowed(awaiting)
    mended = seconds((await run_analysis(choice=SLOW)).trace)
    assert abs(first.wall.likely_ns / 1e9 / mended - 1) <= WORST


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass

"""Slow variants of the graph itself: the true cause is named first, and its fix predicted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest

from tests.analysis_runner import CHOICE, Ran, Runner
from tests.faulty_model import Fault
from trading_graph.graph.options import Order
from trading_graph.otel.diagnosis import FindingKind, Ranking, rank
from trading_graph.otel.trace import SpanTable
from trading_graph.toolkit.market_data import AsyncToolkit

pytestmark = pytest.mark.idle(per_cpu=1)

SLOW = replace(CHOICE, chat_latency_s=0.5, fetch_latency_s=0.3)
WORST = 0.05


good_runs: list[Ran] = []
"""The runs without a defect that tests have made so far; all of them compare with the same."""


async def good(run_analysis: Runner, number: int) -> Ran:
    """The run of this number without a defect."""
    while len(good_runs) <= number:
        good_runs.append(await run_analysis(choice=SLOW))
    return good_runs[number]


def diagnosed(trace: SpanTable) -> Ranking:
    (run,) = trace.roots
    return rank(trace, run)


async def comes_true(
    slow: Callable[[], Awaitable[Ran]],
    mended: Callable[[int], Awaitable[Ran]],
    predicted: Callable[[Ranking], int],
) -> Ranking:
    """Run slow and mended, which is given the number of the try, and compare with the prediction.

    Three times at most: a machine that is busy with something else disturbs one of them, a wrong
    prediction is wrong each time.
    """
    errors = []
    for number in range(3):
        found = diagnosed((await slow()).trace)
        trace = (await mended(number)).trace
        errors.append(predicted(found) / int(trace.duration[trace.roots[0]]) - 1)
        if abs(errors[-1]) <= WORST:
            return found
    raise AssertionError(f"predicted against measured: {errors}")


def first(found: Ranking) -> int:
    return found.candidates[0].wall.likely_ns


async def test_a_good_run_has_nothing_proven_to_gain(run_analysis: Runner) -> None:
    found = diagnosed((await good(run_analysis, 0)).trace)
    proven = [each for each in found.candidates if each.candidate.proven]
    assert not proven, [each.candidate.evidence for each in proven]


async def test_sequential_dispatch(run_analysis: Runner) -> None:
    found = await comes_true(
        partial(run_analysis, choice=SLOW, dispatch=Order.SEQUENTIAL),
        partial(good, run_analysis),
        lambda found: found.steps[1].wall.likely_ns,
    )
    assert [each.candidate.kind for each in found.candidates[:2]] == [
        FindingKind.SERIAL_FAN_OUT
    ] * 2
    assert [each.candidate.place for each in found.candidates[:2]] == [
        "dispatch analysts",
        "dispatch risk_team",
    ]


async def test_sequential_tools(run_analysis: Runner) -> None:
    found = await comes_true(
        partial(run_analysis, choice=SLOW, tools=Order.SEQUENTIAL),
        partial(good, run_analysis),
        first,
    )
    assert found.candidates[0].candidate.kind is FindingKind.SERIAL_TOOLS
    assert found.candidates[0].candidate.proven


async def test_duplicate_fetches(run_analysis: Runner) -> None:
    """One after another, so that fetching again costs time."""

    def duplicates(found: Ranking) -> int:
        (each,) = [
            each for each in found.candidates if each.candidate.kind is FindingKind.DUPLICATES
        ]
        assert each.candidate.proven
        return each.wall.likely_ns

    await comes_true(
        partial(run_analysis, choice=replace(SLOW, cache=False), tools=Order.SEQUENTIAL),
        lambda _: run_analysis(choice=SLOW, tools=Order.SEQUENTIAL),
        duplicates,
    )


async def test_a_call_that_was_made_again(run_analysis: Runner) -> None:
    busy = Fault("research_manager", "status", value=503, times=1)
    found = await comes_true(
        partial(run_analysis, choice=SLOW, faults=(busy,)),
        partial(good, run_analysis),
        first,
    )
    assert found.candidates[0].candidate.kind is FindingKind.RETRIES
    assert not found.candidates[0].candidate.proven


async def test_a_tool_that_blocks_the_loop(
    run_analysis: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    filings = AsyncToolkit.filings

    async def slowed(pause: Callable[[], Awaitable[None]]) -> Ran:
        async def fetched(self: AsyncToolkit, *args: object, **more: object) -> object:
            found = await filings(self, *args, **more)  # type: ignore[arg-type]
            await pause()
            return found

        monkeypatch.setattr(AsyncToolkit, "filings", fetched)
        return await run_analysis(choice=SLOW)

    async def blocking() -> None:
        spin(0.4)

    async def awaiting() -> None:
        await asyncio.sleep(0.4)

    def first_if_blocked(found: Ranking) -> int:
        # A call that began just before the block was held up at its begin or not: no span tells.
        if found.candidates[0].candidate.kind is not FindingKind.BLOCKED_LOOP:
            return 0
        return first(found)

    await comes_true(partial(slowed, blocking), lambda _: slowed(awaiting), first_if_blocked)


def spin(seconds: float) -> None:
    """Compute for so long; what other programs take of the CPU meanwhile does not count."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

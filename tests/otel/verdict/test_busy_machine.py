"""Short work on a machine that is busy with others: late loops prove nothing either way.

What members of a group do that block their loop in turn stays *serial*, however it was recorded.
"""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recorded_program import results, trace_of
from trading_graph.otel import spans
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder, semconv
from trading_graph.otel.verdict.causes import TICK_NS, Cause
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.single_flight import note_load_span

EPOCH_NS = 1_763_100_000 * 10**9
TICK_MS = TICK_NS / 1e6


def judged(lag_ms: float, *ends_ms: float) -> Parallelism:
    """The verdict on spans that start together, end as given, and say how late the loop was."""
    builder = TraceBuilder("a" * 32)
    said = {
        semconv.LOOP_LAG_MAX_MS: lag_ms,
        semconv.CPU_OVER_WALL: 0.2,
        semconv.THREAD_ID: 1,
        semconv.WAITS: ["connection_pool"],
    }
    for number, end_ms in enumerate(ends_ms):
        end = EPOCH_NS + int(end_ms * 1e6)
        name = f"tool {number}"
        builder.add(SpanValues(name, "", name, 1, EPOCH_NS, end, 0, lambda: said))
    trace: SpanTable = builder.build()
    return parallelism(trace, range(len(ends_ms)))


@pytest.mark.parametrize(
    ("lag_ms", "ends_ms"),
    [
        (36.9, (32, 91)),
        (78.9, (108, 138)),
        (35, (60, 61, 62)),
        (60, (82, 508, 881, 966, 966)),
        (90, (99, 219, 263, 308, 308)),
    ],
)
def test_a_loop_late_for_less_than_the_work_took_is_no_failure_and_no_proof(
    lag_ms: float, ends_ms: tuple[float, ...]
) -> None:
    """Shapes as in runs with answers of 50 ms beside three programs that keep two CPUs busy."""
    found = judged(lag_ms, *ends_ms)
    assert found.strength is Strength.OVERLAPPING
    assert f"the event loop was late by {lag_ms:.0f} ms" in str(found)
    assert f"the least work took {ends_ms[0]:.0f} ms" in str(found)


def test_a_loop_that_was_hardly_late_leaves_the_proof() -> None:
    assert judged(15, 60, 61, 62).strength is Strength.PROVEN
    assert judged(40, 100, 101, 102).strength is Strength.PROVEN


def test_a_loop_that_was_late_for_long_stays_suspicious() -> None:
    assert judged(120, 150, 300, 305).strength is Strength.SUSPICIOUS


@given(
    block_ms=st.integers(30, 500),
    members=st.integers(3, 8),
    waited=st.floats(0, 0.9),
    tick=st.floats(0, 1),
    at_once=st.booleans(),
)
def test_a_loop_blocked_in_turn_is_serial_whenever_its_ticks_come(
    block_ms: int, members: int, waited: float, tick: float, at_once: bool
) -> None:
    """Each member waits, then blocks. A tick between two blocks halves what is recorded."""
    wait_ms = waited * block_ms
    ends_ms = [wait_ms + block_ms * number for number in range(1, members + 1)]
    blocked_ms = block_ms * (members if at_once else 1)
    found = judged(max(blocked_ms - tick * TICK_MS, 0.55 * ends_ms[0], 20), *ends_ms)
    assert found.strength is Strength.SERIAL
    assert found.cause is Cause.BLOCKED_LOOP


UNIT_S = 0.15


async def _fetch(source: str, number: int) -> None:
    with spans.fetch(source, params={"number": str(number)}):
        await asyncio.sleep(UNIT_S)


async def _tool(name: str, in_a_row: int, at_once: int = 1) -> None:
    with spans.tool(name, call_id=name, args_hash=name, turn=1):
        for _ in range(in_a_row):
            await asyncio.gather(*(_fetch(name, number) for number in range(at_once)))


def test_tools_that_ask_twice_end_later_without_being_held() -> None:
    async def program() -> None:
        with spans.agent("news"):
            await asyncio.gather(
                _tool("macro", 1, at_once=6),
                _tool("news", 1),
                _tool("events", 2),
                _tool("insiders", 2),
            )

    found = results(trace_of(program))["turns"]
    assert found.grade == "proven"


def test_tools_that_ask_twice_through_a_semaphore_are_held() -> None:
    async def program() -> None:
        gate = asyncio.Semaphore(1)

        async def limited(number: int) -> None:
            with spans.tool(f"tool {number}", call_id=str(number), args_hash="", turn=1):
                for each in range(2):
                    with spans.fetch(f"source {number}", params={"page": str(each)}):
                        if each == 0:
                            await gate.acquire()
                        await asyncio.sleep(UNIT_S / 2)
                gate.release()

        with spans.agent("news"):
            await asyncio.gather(*(limited(number) for number in range(4)))

    found = results(trace_of(program))["turns"]
    assert found.grade.startswith("serial: a semaphore")


def test_a_tool_that_misses_but_only_joins_anothers_fetch_did_no_work_of_its_own() -> None:
    """Three tools make answers of one document: only one of them fetches it."""

    async def program() -> None:
        cache = SingleFlightCache()

        async def document() -> str:
            for page in ("list", "document"):
                with spans.fetch(page):
                    note_load_span()  # as the pool does before each request
                    await asyncio.sleep(UNIT_S)
            return "document"

        async def made_of_it() -> str:
            return await cache.get(CacheKey("document", "test"), document, ttl=60)

        async def tool(name: str) -> None:
            with spans.tool(name, call_id=name, args_hash=name, turn=1):
                await cache.get(CacheKey(name, "test"), made_of_it, ttl=60)

        with spans.agent("news"):
            await asyncio.gather(
                *(tool(name) for name in ("events", "filings", "insiders")),
                _tool("macro", 1),
                _tool("news", 1),
            )

    trace = trace_of(program)
    tools = trace.rows("execute_tool ")
    assert [trace.attributes(row).get(semconv.CACHE) for row in tools[:3]] == ["miss"] * 3
    found = parallelism(trace, tools)
    assert (found.strength, found.group.working) == (Strength.PROVEN, 3)

"""What moved between runs: properties of every comparison, and real programs that got worse."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel import spans
from otel.diagnosis import Comparison, Loss, Run, Won, compare
from otel.diagnosis.bootstrap import median_deviation, median_difference
from otel.diagnosis.call_path import CallPaths
from otel.diagnosis.call_tree import call_tree
from otel.trace import Attributes, Span, Trace, TraceBuilder
from otel.verdict import completeness
from tests.otel.diagnosis.traces import BEGIN, MS, Drawn, drawn, random_traces
from tests.recorded_program import trace_of

CALL_S = 0.15
NAMES = ("market", "social", "news")

Part = Callable[[], Awaitable[object]]


def run_of(trace: Trace) -> Run:
    found = completeness(trace)
    assert found.run is not None
    return Run(trace, found.run)


def compared(base: Sequence[Trace], new: Sequence[Trace], **options: float) -> Comparison:
    found = compare([run_of(t) for t in base], [run_of(t) for t in new], **options)
    assert found is not None
    return found


def kinds(found: Comparison) -> set[Loss]:
    return {each.kind for each in found.regressions}


async def fetch(source: str, key: str, *, fails: bool = False) -> None:
    with spans.fetch(source, params={"key": key}):
        await asyncio.sleep(CALL_S)
        if fails:
            raise TimeoutError(source)


async def tool(name: str, key: str, turn: int = 0) -> None:
    with spans.tool(name, call_id=key, args_hash=key, turn=turn):
        await fetch(name, key)


async def analyst(name: str, *, at_once: bool = True) -> None:
    with spans.agent(name):
        with spans.chat("model", agent=name, turn=0):
            await asyncio.sleep(CALL_S)
        calls = [partial(tool, "prices", f"{name}{n}") for n in range(3)]
        await all_of(calls, at_once=at_once)


async def all_of(parts: Sequence[Part], *, at_once: bool) -> None:
    if at_once:
        await asyncio.gather(*(part() for part in parts))
    else:
        for part in parts:
            await part()


async def program(
    names: Sequence[str] = NAMES,
    *,
    fan_out: bool = True,
    tools: bool = True,
    extra: Part | None = None,
) -> None:
    with spans.dispatch("analysts", fanout=len(names)):
        pass
    await all_of([partial(analyst, name, at_once=tools) for name in names], at_once=fan_out)
    if extra is not None:
        await extra()


@pytest.fixture(scope="module")
def good() -> Trace:
    return trace_of(program)


# Properties of any two traces


@given(random_traces(), random_traces())
@settings(deadline=None)
def test_the_difference_is_divided_without_a_remainder(base: Trace, new: Trace) -> None:
    found = compare([Run(base, base.roots[0])], [Run(new, new.roots[0])])
    if found is not None:
        walls = [int(trace.duration[trace.roots[0]]) for trace in (base, new)]
        assert sum(each.delta_ns for each in found.moved) == walls[1] - walls[0]
        assert found.change.delta_ns == walls[1] - walls[0]


@given(st.lists(random_traces(), min_size=2, max_size=6), st.integers(1, 5))
@settings(deadline=None, max_examples=50)
def test_of_sets_too(traces: list[Trace], cut: int) -> None:
    runs = [Run(trace, trace.roots[0]) for trace in traces]
    cut = min(cut, len(runs) - 1)
    found = compare(runs[:cut], runs[cut:])
    if found is not None:
        assert sum(each.delta_ns for each in found.moved) == found.change.delta_ns


@given(random_traces())
@settings(deadline=None)
def test_a_trace_against_itself_shows_nothing(trace: Trace) -> None:
    run = Run(trace, trace.roots[0])
    found = compare([run], [run], tolerance=0.0)
    assert found is not None
    assert found.passed
    assert not found.moved
    assert not found.improvements
    assert not any(path.changed for path in found.paths)


@given(random_traces(), random_traces())
@settings(deadline=None)
def test_changing_sides_negates(base: Trace, new: Trace) -> None:
    there = compare([Run(base, base.roots[0])], [Run(new, new.roots[0])])
    back = compare([Run(new, new.roots[0])], [Run(base, base.roots[0])])
    if there is None or back is None:
        assert there is back
        return
    assert there.change.delta_ns == -back.change.delta_ns
    assert {each.place: each.delta_ns for each in there.moved} == {
        each.place: -each.delta_ns for each in back.moved
    }
    assert {each.place for each in there.regressions} == {each.place for each in back.improvements}
    assert {p.path: (p.base, p.new) for p in there.paths} == {
        p.path: (p.new, p.base) for p in back.paths
    }


# Which span is which


def places(paths: CallPaths, trace: Trace) -> dict[str, str]:
    found = paths.places(call_tree(trace, trace.roots[0]))
    return {paths.place_text(place): trace.span_ids[row] for row, place in found.items()}


def test_a_fan_out_is_matched_by_arguments_whoever_came_first() -> None:
    async def fan_out(keys: Sequence[str]) -> None:
        await asyncio.gather(*(tool("prices", key) for key in keys))

    paths = CallPaths("program")
    found = []
    for keys in ("abc", "cab"):
        trace = trace_of(partial(fan_out, keys))
        rows = {trace.span_ids[row]: row for row in range(len(trace))}
        at = places(paths, trace)
        found.append(
            [
                trace.attributes(rows[at[f"execute_tool prices #{n}"]])["trading.tool.args_hash"]
                for n in (1, 2, 3)
            ]
        )
    assert found[0] == found[1] == ["a", "b", "c"]


def test_another_model_is_no_other_call() -> None:
    async def with_model(model: str) -> None:
        with spans.chat(model, agent="a", turn=0):
            await asyncio.sleep(CALL_S)

    found = compared([trace_of(partial(with_model, "small"))], [trace_of(partial(with_model, "b"))])
    assert Loss.LOST not in kinds(found)
    assert {path.path for path in found.paths} >= {"chat"}


def test_deep_traces_have_short_names() -> None:
    deep: Drawn = ("leaf", 0, 100, [])
    for n in range(300):
        deep = (f"level {n % 7}", 0, 100, [deep])
    trace = drawn(("run", 0, 100, [deep]))
    found = compared([trace], [trace])
    assert max(len(path.path) for path in found.paths) < 100
    assert any("…" in path.path for path in found.paths)


@pytest.mark.parametrize("shape", ["deep", "wide"])
def test_no_shape_takes_more_than_its_share(shape: str) -> None:
    def seconds(count: int) -> float:
        trace = shaped(shape, count)
        begin = time.perf_counter()
        compared([trace], [trace])
        return time.perf_counter() - begin

    seconds(100)
    assert seconds(20_000) < 30 * seconds(2_000), "ten times the spans"


def shaped(shape: str, count: int) -> Trace:
    """A chain of spans, or siblings that all ask for what another asks for."""
    builder = TraceBuilder("0" * 31 + "3")
    for n in range(1, count + 1):
        deep = shape == "deep"
        above, start = (n - 1, n) if deep else (min(n - 1, 1), n)
        end = 2 * count + (-n if deep else n - count if n > 1 else 1)
        asked: Attributes = {"trading.fetch.key": str(n // 2), "trading.operation": "fetch"}
        builder.add(
            Span(
                f"{n:016x}",
                f"{above:016x}" if above else "",
                f"fetch {n // 2}" if n > 1 else "run",
                1,
                BEGIN + start * MS,
                BEGIN + end * MS,
                0,
                partial(dict, asked if n > 1 else {}),
            )
        )
    return builder.build()


# Statistics


def walls(*milliseconds: int) -> list[Trace]:
    return [drawn(("run", 0, wall, [("call", 0, wall, [])])) for wall in milliseconds]


def test_a_single_run_is_measured_by_the_tolerance_alone() -> None:
    assert compared(walls(1000), walls(1049)).passed
    assert not compared(walls(1000), walls(1051)).passed
    assert compared(walls(1000), walls(1051), tolerance=0.06).passed
    assert not compared(walls(1000), walls(1001), tolerance=0.0).passed


def test_sets_need_the_whole_interval_beyond_the_tolerance() -> None:
    base = walls(1000, 1004, 998, 1002, 996, 1001, 999)
    slower = compared(base, walls(1200, 1205, 1198, 1201, 1199, 1203, 1202))
    assert slower.change.regressed
    assert slower.change.low_ns <= slower.change.delta_ns <= slower.change.high_ns
    scattered = compared(base, walls(1100, 900, 1150, 950, 1200, 1000, 1080))
    assert scattered.change.delta_ns > scattered.change.tolerance_ns
    assert not scattered.change.regressed


def test_a_restless_baseline_is_given_more_room() -> None:
    restless = compared(walls(1000, 900, 1100, 1050, 950), walls(*[1120] * 5))
    assert restless.change.tolerance_ns == pytest.approx(3 * 50 * MS)
    assert restless.passed
    assert not compared(walls(*[1000] * 5), walls(*[1120] * 5)).passed


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of two samples of one distribution; medians of seven are coarse, so not to the per cent."""
    draw = random.Random(7)
    trials = 100
    held = 0
    for _ in range(trials):
        one, other = ([int(draw.gauss(1e9, 5e7)) for _ in range(7)] for _ in range(2))
        low, high = median_difference(one, other)
        held += low <= 0 <= high
        back = median_difference(other, one)
        assert back == pytest.approx((-high, -low))
        assert median_difference(sorted(one), other) == (low, high)
    assert held / trials >= 0.93


def test_median_deviation() -> None:
    assert median_deviation([1, 2, 3, 4, 100]) == 1
    assert median_deviation([5]) == 0


# Real programs


def test_two_runs_of_one_program_pass(good: Trace) -> None:
    found = compared([good], [trace_of(program)], tolerance=0.5)
    assert found.passed, found.regressions
    assert not found.improvements


def test_two_sets_of_one_program_pass(good: Trace) -> None:
    again = [trace_of(program) for _ in range(5)]
    found = compared([good, *again[:2]], again[2:], tolerance=0.5)
    assert found.passed, found.regressions
    assert "fewer than 5 runs" in found.notes[0]


def test_a_fan_out_that_became_serial(good: Trace) -> None:
    slow = trace_of(partial(program, fan_out=False))
    found = compared([good], [slow], tolerance=9.0)
    assert not found.passed, "without statistics"
    assert kinds(found) == {Loss.SERIAL}
    (loss,) = found.regressions
    assert loss.place == "agents"
    assert "dispatched one after the other" in loss.evidence
    (gain,) = compared([slow], [good]).improvements
    assert gain.kind is Won.AT_ONCE


def test_tools_of_a_turn_that_became_serial(good: Trace) -> None:
    found = compared([good], [trace_of(partial(program, tools=False))], tolerance=9.0)
    assert kinds(found) == {Loss.SERIAL}
    assert len(found.regressions) == len(NAMES)
    assert {"the tools of invoke_agent news, turn 0"} <= {each.place for each in found.regressions}


def test_agents_in_supersteps_of_their_own_are_still_one_fan_out() -> None:
    """What the baseline ran at once is judged at the same places, however it is grouped now."""

    async def debate(*, at_once: bool) -> None:
        async def speaker(name: str, step: int) -> None:
            task = spans.GraphTask(node=name, step=step, task_id=name)
            with spans.agent(name, task=task), spans.chat("m", agent=name, turn=0):
                await asyncio.sleep(CALL_S)

        steps = (1, 1) if at_once else (1, 2)
        parts = [partial(speaker, n, s) for n, s in zip(("bull", "bear"), steps, strict=True)]
        await all_of(parts, at_once=at_once)

    base, new = (trace_of(partial(debate, at_once=at_once)) for at_once in (True, False))
    assert kinds(compared([base], [new], tolerance=9.0)) == {Loss.SERIAL}


def test_a_new_duplicate(good: Trace) -> None:
    again = trace_of(partial(program, extra=partial(fetch, "prices", "market0")))
    found = compared([good], [again], tolerance=9.0)
    assert kinds(found) == {Loss.DUPLICATE}
    (loss,) = found.regressions
    assert loss.place == "fetch prices"
    assert "invoke_agent market > execute_tool prices > fetch prices" in loss.evidence
    fresh = trace_of(partial(program, extra=partial(fetch, "prices", "other")))
    assert compared([good], [fresh], tolerance=9.0).passed, "a new call is no duplicate"


def test_a_lost_branch(good: Trace) -> None:
    fewer = trace_of(partial(program, NAMES[:2]))
    found = compared([good], [fewer])
    assert kinds(found) == {Loss.LOST}
    (loss,) = found.regressions
    assert loss.place == "invoke_agent news", "what is below it is not listed"
    (gain,) = compared([fewer], [good], tolerance=9.0).improvements
    assert (gain.kind, gain.place) == (Won.NEW, "invoke_agent news")


def test_a_branch_that_only_some_baseline_runs_have_is_not_missed(good: Trace) -> None:
    fewer = trace_of(partial(program, NAMES[:2]))
    found = compared([good, fewer], [fewer, fewer], tolerance=9.0)
    assert Loss.LOST not in kinds(found)


def test_one_of_several_workers_of_one_name_is_missed() -> None:
    base, new = (trace_of(partial(program, ["worker"] * count)) for count in (4, 3))
    # They ask for the same, so the duplicates fall too: that is none of this test's business.
    assert kinds(compared([base], [new], tolerance=9.0)) == {Loss.LOST}


def test_what_a_cache_made_needless_is_not_lost() -> None:
    async def cached(result: str) -> None:
        with spans.tool("prices", call_id="1", args_hash="a", turn=0) as span:
            span.set_attribute("trading.cache", result)
            if result == "miss":
                await fetch("prices", "a")

    miss, hit = (trace_of(partial(cached, result)) for result in ("miss", "hit"))
    assert compared([miss], [hit]).passed
    broken = trace_of(partial(cached, "none"))
    assert kinds(compared([miss], [broken])) == {Loss.LOST}


def test_a_new_error_shows_where_it_began(good: Trace) -> None:
    async def failing() -> None:
        try:
            with spans.tool("filings", call_id="f", args_hash="f", turn=1):
                await fetch("filings", "f", fails=True)
        except TimeoutError:
            pass

    async def sound() -> None:
        with spans.tool("filings", call_id="f", args_hash="f", turn=1):
            await fetch("filings", "f")

    base, new = (trace_of(partial(program, extra=extra)) for extra in (sound, failing))
    found = compared([base], [new], tolerance=9.0)
    assert kinds(found) == {Loss.ERROR}
    (loss,) = found.regressions
    assert loss.place == "execute_tool filings > fetch filings"
    assert "timeout" in loss.evidence
    one_of_three = compared([base, base, base], [base, new, base], tolerance=9.0)
    assert "in 1 of 3 runs" in one_of_three.regressions[0].evidence
    assert compared([new], [base], tolerance=9.0).passed


def test_programs_that_share_nothing_are_not_compared(good: Trace) -> None:
    other = drawn(("run", 0, 10, [("something else", 0, 10, [])]))
    assert compare([run_of(good)], [run_of(other)]) is None

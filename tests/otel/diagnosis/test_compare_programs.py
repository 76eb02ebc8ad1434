"""Real programs that got worse, and what a comparison says of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest

from tests.otel.diagnosis.compared import compared, run_of
from tests.otel.diagnosis.traces import drawn
from tests.recorded_program import trace_of
from trading_graph.otel import spans
from trading_graph.otel.diagnosis import Comparison, ImprovementKind, RegressionKind, compare
from trading_graph.otel.diagnosis.call_path import CallPaths
from trading_graph.otel.diagnosis.call_tree import call_tree
from trading_graph.otel.trace import SpanTable

CALL_S = 0.15
NAMES = ("market", "social", "news")

Part = Callable[[], Awaitable[object]]


def kinds(found: Comparison) -> set[RegressionKind]:
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
def good() -> SpanTable:
    return trace_of(program)


def test_two_runs_of_one_program_pass(good: SpanTable) -> None:
    found = compared([good], [trace_of(program)], tolerance=0.5)
    assert found.passed, found.regressions
    assert not found.improvements


def test_two_sets_of_one_program_pass(good: SpanTable) -> None:
    again = [trace_of(program) for _ in range(5)]
    found = compared([good, *again[:2]], again[2:], tolerance=0.5)
    assert found.passed, found.regressions
    assert "fewer than 5 runs" in found.notes[0]


def test_a_fan_out_that_became_serial(good: SpanTable) -> None:
    slow = trace_of(partial(program, fan_out=False))
    found = compared([good], [slow], tolerance=9.0)
    assert not found.passed, "without statistics"
    assert kinds(found) == {RegressionKind.SERIAL}
    (loss,) = found.regressions
    assert loss.place == "agents of invoke_workflow program"
    assert "dispatched one after the other" in loss.evidence
    (gain,) = compared([slow], [good]).improvements
    assert gain.kind is ImprovementKind.AT_ONCE


def test_tools_of_a_turn_that_became_serial(good: SpanTable) -> None:
    found = compared([good], [trace_of(partial(program, tools=False))], tolerance=9.0)
    assert kinds(found) == {RegressionKind.SERIAL}
    assert len(found.regressions) == len(NAMES)
    places = {each.place for each in found.regressions}
    assert places == {f"the tools of invoke_agent {name}, turn 1" for name in NAMES}


def test_agents_in_supersteps_of_their_own_are_still_one_fan_out() -> None:
    """What the baseline ran at once is judged at the same places, however it is grouped now."""

    async def debate(*, at_once: bool) -> None:
        async def speaker(name: str, step: int) -> None:
            task = spans.GraphPlace(node=name, step=step, task_id=name)
            with spans.agent(name, task=task), spans.chat("m", agent=name, turn=0):
                await asyncio.sleep(CALL_S)

        steps = (1, 1) if at_once else (1, 2)
        parts = [partial(speaker, n, s) for n, s in zip(("bull", "bear"), steps, strict=True)]
        await all_of(parts, at_once=at_once)

    base, new = (trace_of(partial(debate, at_once=at_once)) for at_once in (True, False))
    assert kinds(compared([base], [new], tolerance=9.0)) == {RegressionKind.SERIAL}


def test_a_new_duplicate(good: SpanTable) -> None:
    again = trace_of(partial(program, extra=partial(fetch, "prices", "market0")))
    found = compared([good], [again], tolerance=9.0)
    assert kinds(found) == {RegressionKind.DUPLICATE}
    (loss,) = found.regressions
    assert loss.place == "fetch prices"
    assert "invoke_agent market > execute_tool prices > fetch prices" in loss.evidence
    fresh = trace_of(partial(program, extra=partial(fetch, "prices", "other")))
    assert compared([good], [fresh], tolerance=9.0).passed, "a new call is no duplicate"


def test_a_lost_branch(good: SpanTable) -> None:
    fewer = trace_of(partial(program, NAMES[:2]))
    found = compared([good], [fewer])
    assert kinds(found) == {RegressionKind.LOST}
    (loss,) = found.regressions
    assert loss.place == "invoke_agent news", "what is below it is not listed"
    (gain,) = compared([fewer], [good], tolerance=9.0).improvements
    assert (gain.kind, gain.place) == (ImprovementKind.NEW, "invoke_agent news")


def test_a_branch_that_only_some_baseline_runs_have_is_not_missed(good: SpanTable) -> None:
    fewer = trace_of(partial(program, NAMES[:2]))
    found = compared([good, fewer], [fewer, fewer], tolerance=9.0)
    assert RegressionKind.LOST not in kinds(found)


def test_one_of_several_workers_of_one_name_is_missed() -> None:
    base, new = (trace_of(partial(program, ["worker"] * count)) for count in (4, 3))
    # They ask for the same, so the duplicates fall too: that is none of this test's business.
    assert kinds(compared([base], [new], tolerance=9.0)) == {RegressionKind.LOST}


def test_what_a_cache_made_needless_is_not_lost() -> None:
    async def cached(result: str) -> None:
        with spans.tool("prices", call_id="1", args_hash="a", turn=0) as span:
            span.set_attribute("trading.cache", result)
            if result == "miss":
                await fetch("prices", "a")

    miss, hit = (trace_of(partial(cached, result)) for result in ("miss", "hit"))
    assert compared([miss], [hit]).passed
    broken = trace_of(partial(cached, "none"))
    assert kinds(compared([miss], [broken])) == {RegressionKind.LOST}


def test_a_new_error_shows_where_it_began(good: SpanTable) -> None:
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
    assert kinds(found) == {RegressionKind.ERROR}
    (loss,) = found.regressions
    assert loss.place == "execute_tool filings > fetch filings"
    assert "timeout" in loss.evidence
    one_of_three = compared([base, base, base], [base, new, base], tolerance=9.0)
    assert "in 1 of 3 runs" in one_of_three.regressions[0].evidence
    assert compared([new], [base], tolerance=9.0).passed


def test_programs_that_share_nothing_are_not_compared(good: SpanTable) -> None:
    other = drawn(("run", 0, 10, [("something else", 0, 10, [])]))
    assert compare([run_of(good)], [run_of(other)]) is None


def places(paths: CallPaths, trace: SpanTable) -> dict[str, str]:
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
    assert RegressionKind.LOST not in kinds(found)
    assert {path.path for path in found.paths} >= {"chat"}

"""A blocked event loop delays what runs on it, and nothing that runs on another."""

from typing import Any

import pytest

from tests.otel.diagnosis.phases import MS, Drawing
from trading_graph.otel.diagnosis import Schedule, UnblockLoop, call_tree, simulate
from trading_graph.otel.trace.loops import loops
from trading_graph.otel.verdict.group_measures import group
from trading_graph.otel.vocabularies import Role, witness


def said(lag_ms: float, loop: int) -> dict[str, Any]:
    return {witness.LOOP_LAG_MAX_MS: lag_ms, witness.CPU_OVER_WALL: 0.01, witness.LOOP_ID: loop}


@pytest.mark.parametrize("other", [1, 2])
def test_a_block_delays_only_its_own_loop(other: int) -> None:
    """Three agents block loop 1 in turn; a long call of loop `other` ends with the last block."""
    drawing = Drawing()
    for number in range(3):
        end = 150 * (number + 1)
        agent = drawing.add(f"agent {number}", Role.AGENT, 0, end, **said(140, 1))
        drawing.add("chat", Role.LLM, max(end - 150, 10), end, agent, **said(140, 1))
    elsewhere = drawing.add("elsewhere", Role.OTHER, 0, 450, **said(0, other))
    drawing.add("long", Role.HTTP, 0, 450, elsewhere, **said(0, other))
    trace = drawing.trace(450)
    schedule = Schedule(call_tree(trace, trace.roots[0]))
    played = simulate(schedule, [UnblockLoop(())])
    length = played.length(trace.names.index("long"))
    assert (length < 100 * MS) is (other == 1)
    assert played.length(trace.names.index("chat")) <= 150 * MS


def test_members_alone_on_their_loops_cannot_hold_each_other_up() -> None:
    drawing = Drawing()
    for number in range(2):
        drawing.add("chat", Role.LLM, 0, 100, **said(90, number))
    trace = drawing.trace(100)
    assert group(trace, (1, 2)).lag_ms == 0
    assert group(trace, (1, 2)).cpu_over_wall == 0.01


def test_a_span_without_a_loop_is_on_that_of_the_span_above() -> None:
    drawing = Drawing()
    first = drawing.add("first", Role.AGENT, 0, 100, **said(0, 1))
    drawing.add("inside", Role.LLM, 0, 100, first)
    drawing.add("second", Role.AGENT, 0, 100, **said(0, 2))
    trace = drawing.trace(100)
    loop_of = loops(trace, trace.roots[0])
    assert loop_of is not None
    row = {name: at for at, name in enumerate(trace.names)}
    assert loop_of[row["inside"]] == loop_of[row["first"]] != loop_of[row["second"]]


def test_where_one_loop_is_recorded_all_may_share_it() -> None:
    drawing = Drawing()
    drawing.add("chat", Role.LLM, 0, 100, **said(0, 1))
    trace = drawing.trace(100)
    assert loops(trace, trace.roots[0]) is None

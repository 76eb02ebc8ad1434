"""What holds cost is foreseen: the first run played with them takes as long as a run with them."""

import os

import numpy as np
import pytest

from tests.otel.probe.probing import probe, undisturbed, wall_s
from tests.otel.probe.programs import Call, Chain, Gather, Limited, OwnLock, Program, Staggered
from trading_graph.otel.probe.limits import learn
from trading_graph.otel.probe.plan import Plan
from trading_graph.otel.probe.play import Played
from trading_graph.otel.probe.runs import align
from trading_graph.otel.probe.session import PLAIN, ProbeSession

HOLD_S = 0.3
TOLERANCE_S = 0.001


def calls(name: str, count: int) -> list[Call]:
    return [Call(f"{name} {number}", 0.1 + 0.01 * number) for number in range(count)]


PROGRAM = Program(
    0,
    Chain(
        [
            Call("first", 0.1),
            Gather(calls("read", 3)),
            Staggered(calls("quote", 3), 0.15),
            Limited(calls("news", 4), 1, OwnLock),
            Call("last", 0.1),
        ]
    ),
)


@pytest.fixture(scope="module")
def session() -> ProbeSession:
    return probe(PROGRAM, 8)


@pytest.mark.parametrize(
    ("name", "moves_all"),
    [("first", True), ("read 2", True), ("quote 0", False), ("news 0", True), ("last", True)],
)
def test_a_run_with_a_hold_takes_as_long_as_it_is_played(
    session: ProbeSession, name: str, moves_all: bool
) -> None:
    runs = align(session.made)
    findings = learn(runs, TOLERANCE_S)
    (span,) = [number for number, place in enumerate(runs.places) if place[-1:] == ((name, 0),)]
    holds = np.zeros((2, len(runs)))
    holds[1, span] = HOLD_S
    played = Played(findings, holds).end[:, 0]
    held = PROGRAM.trace(900, Plan("", os.getpid(), {runs.keys[span]: HOLD_S}))
    usual_s = wall_s(undisturbed(PROGRAM, {}))
    assert played[1] == pytest.approx(wall_s(held), rel=0.03)
    assert (wall_s(held) > usual_s + 0.9 * HOLD_S) is moves_all


def test_all_runs_together_take_little_longer_than_undisturbed_ones(session: ProbeSession) -> None:
    walls = [wall_s(each.trace) for each in session.made]
    assert sum(walls) / len(walls) <= 1.15 * min(walls[:PLAIN])

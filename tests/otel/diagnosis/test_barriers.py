"""The finding of a superstep barrier: who lost what, and what the run would gain without it."""

import pytest

from tests.otel.structure.graphs import Drawn, changed, drawn, recorded
from tests.otel.structure.test_barriers import LOOP, MEASURED, played
from trading_graph.otel.diagnosis import Edits, Model, Schedule, Simulation, call_tree, rank
from trading_graph.otel.diagnosis.actions import simulate
from trading_graph.otel.diagnosis.critical_path import PathClass, by_class
from trading_graph.otel.diagnosis.findings import Candidate, FindingKind
from trading_graph.otel.diagnosis.findings.barriers import barriers
from trading_graph.otel.diagnosis.ranking import RankedCandidate
from trading_graph.otel.trace import SpanTable


def finding(trace: SpanTable) -> Candidate:
    (found,) = barriers(Schedule(call_tree(trace, trace.roots[0])))
    return found


def by_kind(trace: SpanTable) -> dict[FindingKind, RankedCandidate]:
    return {each.candidate.kind: each for each in rank(trace, trace.roots[0]).candidates}


@pytest.mark.parametrize("name", MEASURED)
def test_the_simulation_gains_what_the_pairings_save(name: str) -> None:
    trace = recorded(name)
    schedule = Schedule(call_tree(trace, trace.roots[0]))
    found, pairs = finding(trace), played(trace)
    wall = schedule.tree.wall_ns
    for actions, pairing in ((found.at_best, pairs.greatest), (found.actions, pairs.median)):
        gain = wall - simulate(schedule, actions).wall_ns
        assert gain == pytest.approx(pairing.saving_ns, abs=1e-3 * wall)


def test_a_barrier_is_the_first_finding_with_nothing_sure() -> None:
    trace = recorded("analyst_tools_analyst")
    ranking = rank(trace, trace.roots[0])
    first = ranking.candidates[0]
    assert first.candidate.kind is FindingKind.BARRIER
    assert first.candidate.only_if == "no branch reads another's result of that round"
    assert first.wall.high_ns >= ranking.wall_ns, "the lower end of the gain is 0"
    assert first.wall.low_ns <= 42.06e9
    for node in ("market_analyst", "market_tools", "19.000 s", "24 ways fit"):
        assert node in first.candidate.evidence


@pytest.mark.parametrize("name", MEASURED)
def test_it_comes_first_where_nothing_else_takes_time(name: str) -> None:
    trace = recorded(name)
    found = [each.candidate for each in rank(trace, trace.roots[0]).candidates]
    # A row of nodes, of which nothing says whether they need each other, may come before.
    kinds = [each.kind for each in found if not each.is_open]
    assert kinds[0] is FindingKind.BARRIER


def test_it_is_named_even_if_most_pairings_gain_nothing() -> None:
    nodes: list[Drawn] = []
    for step, lengths in enumerate(((6, 6, 6, 1), (6, 6, 6, 1), (6, 6, 6, 9))):
        at = 6 * step
        nodes += [(f"{step} {n}", step, at, at + length) for n, length in enumerate(lengths)]
    trace = drawn(nodes)
    assert played(trace).median.saving_ns == 0
    assert played(trace).greatest.saving_ns == 3 * 10**9
    found = by_kind(trace)[FindingKind.BARRIER]
    assert found.wall.low_ns < found.wall.likely_ns


def test_without_steps_a_limit_is_named_too() -> None:
    bare = changed(recorded("analyst_tools_analyst"), attributes=lambda _: {})
    found = finding(bare)
    assert "or a limit on concurrency" in found.evidence
    assert found.only_if.startswith("no limit on concurrency")


def test_a_known_pairing_is_named() -> None:
    triggers = {"x": ["branch:b:route:x"], "y": ["branch:a:route:y"]}
    assert "Branches: a and y; b and x." in finding(drawn(LOOP, triggers)).evidence


def test_the_path_waits_at_a_barrier_only_where_every_pairing_says_so() -> None:
    def waited(trace: SpanTable) -> int:
        return by_class(Schedule(call_tree(trace, trace.roots[0])))[PathClass.BARRIER]

    triggers = {"x": ["branch:a:route:x"], "y": ["branch:b:route:y"]}
    # b ends at 1 and its tools start at 4: the path is in a meanwhile.
    assert waited(drawn(LOOP, triggers)) == 3 * 10**9
    assert waited(drawn(LOOP)) == 0


def test_played_without_changes_it_is_as_it_was() -> None:
    trace = recorded("loops")
    schedule = Schedule(call_tree(trace, trace.roots[0]))
    assert Simulation(schedule, Edits(), Model.LIKELY).wall_ns == schedule.tree.wall_ns

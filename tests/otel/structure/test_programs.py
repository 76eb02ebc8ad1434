"""Barriers of random LangGraph programs: all are named, none where there is none.

Each program runs on a virtual clock, and again with one node for each branch. What that saved is
the truth that is held against the pairings. The long set prints its counts with `-s`.
"""

from collections.abc import Sequence

import pytest

from tests.otel.structure.branching import (
    WITH,
    WITHOUT,
    Draw,
    Join,
    Program,
    Section,
    TrueBarrier,
    Visit,
    mended,
    program_s,
    true_barriers,
)
from tests.otel.structure.graphs import changed
from tests.otel.structure.langgraph_runs import run
from tests.otel.structure.virtual_clock import START_S
from trading_graph.otel.diagnosis import Schedule, call_tree, rank
from trading_graph.otel.diagnosis.actions import simulate
from trading_graph.otel.diagnosis.findings import Candidate, FindingKind
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.structure import locksteps, pairings, stage_graphs
from trading_graph.otel.trace.structure.barriers import LEAST_SHARE

NEAR_S = 1e-3
"""What may lie between two times that are the same."""

SEEDS = [range(3), pytest.param(range(3, 103), marks=[pytest.mark.full, pytest.mark.timeout(600)])]


def barriers_of(trace: SpanTable) -> list[float]:
    """When the barriers that are named were, in seconds after the run's start."""
    return [
        each.before.end_ns / 1e9 - START_S
        for lockstep in locksteps(trace)
        for each in lockstep.barriers
        if len(each.before.visits) > 1
    ]


def is_near(time_s: float, others: Sequence[float]) -> bool:
    return any(abs(time_s - other) < NEAR_S for other in others)


def counts(barrier: TrueBarrier, run_s: float) -> bool:
    """Whether several branches went on, one of which had lost what counts."""
    return len(barrier.lost_s) > 1 and max(barrier.lost_s) >= LEAST_SHARE * run_s


def findings(trace: SpanTable) -> list[Candidate]:
    found = [each.candidate for each in rank(trace, trace.roots[0]).candidates]
    return [each for each in found if each.kind is FindingKind.BARRIER]


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("family", WITH)
def test_all_barriers_are_named_and_what_was_saved_lies_within_the_pairings(
    family: str, seeds: range
) -> None:
    missed, false, outside = list[object](), list[object](), list[object]()
    every = gained = 0
    for seed in seeds:
        program = WITH[family](Draw(seed))
        trace, run_s = run(program)
        assert run_s == pytest.approx(program_s(program)), "the graph runs as it was drawn"
        _, without_s = run(mended(program))
        truth, named = list(true_barriers(program)), barriers_of(trace)
        wanted = [each for each in truth if counts(each, run_s)]
        every += len(wanted)
        missed += [(seed, each) for each in wanted if not is_near(each.at_s, named)]
        false += [(seed, at) for at in named if not is_near(at, [each.at_s for each in truth])]
        saved_s, found = run_s - without_s, findings(trace)
        if wanted and saved_s >= LEAST_SHARE * run_s:
            gained += 1
            missed += [] if found else [(seed, "no finding")]
        least_s, most_s = _least_s(trace), _most_s(trace, found)
        is_all_named = all(is_near(each.at_s, named) for each in truth)
        beside_s = 0 if is_all_named and found else LEAST_SHARE * run_s
        if not least_s - NEAR_S <= saved_s <= most_s + beside_s + NEAR_S:
            outside.append((seed, least_s, saved_s, most_s))
    print(f"{family}: {every} barriers, {len(missed)} missed, {len(false)} false, {gained} gained")
    assert every > len(seeds) / 2
    assert not missed
    assert not false
    assert not outside


def _most_s(trace: SpanTable, found: Sequence[Candidate]) -> float:
    """What all findings together gain at best."""
    schedule = Schedule(call_tree(trace, trace.roots[0]))
    actions = [action for each in found for action in each.at_best]
    return (schedule.tree.wall_ns - simulate(schedule, actions).wall_ns) / 1e9


def _least_s(trace: SpanTable) -> float:
    """What the only lockstep of a trace saves at least; of several, one may hide the other."""
    found = locksteps(trace)
    played = pairings(trace, found[0]) if len(found) == 1 else None
    is_outermost = len(found) == 1 and int(trace.parent[found[0].graph.parent]) < 0
    return played.least.saving_ns / 1e9 if played and is_outermost else 0.0


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("family", WITHOUT)
def test_none_is_named_where_there_is_none(family: str, seeds: range) -> None:
    named = []
    for seed in seeds:
        trace, _ = run(WITHOUT[family](Draw(seed)))
        if locksteps(trace):
            named.append(seed)
    print(f"{family}: {len(named)} of {len(seeds)} named")
    assert not named


def test_from_times_alone_a_limit_is_named_beside_the_barrier_of_loops() -> None:
    for seed in range(3):
        trace, _ = run(WITH["loops"](Draw(seed)))
        found = findings(changed(trace, attributes=lambda _: {}))
        assert found
        for each in found:
            assert "superstep barriers, or a limit on concurrency" in each.evidence


def test_an_answer_that_is_refused_sends_one_branch_back_to_its_own_node() -> None:
    """Of two branches one repeats its node; the other still waited for it."""
    again = (_alone("a", 4), _alone("a", 2), _alone("a tools", 1), _alone("a", 1))
    other = (_alone("b", 1), _alone("b tools", 6), _alone("b", 1))
    trace, _ = run(Program((Section((again, other)),)))
    assert [round(at) for at in barriers_of(trace)] == [4, 10, 11]


def test_branches_that_end_elsewhere_show_that_a_single_node_is_of_a_branch() -> None:
    """A join of a node and of one that ran a step before it, says that it joined nothing itself."""
    short, longer = (_alone("a", 4),), (_alone("b", 1), _alone("b2", 5))
    judge = Section(((_alone("judge", 1),),))
    joined, _ = run(Program((Section((short, longer), Join.LIST), judge)))
    assert [round(at) for at in barriers_of(joined)] == [4]
    unknown, _ = run(Program((Section((short, longer)), judge)))
    assert not barriers_of(unknown), "b2 may be what joins a and b"


def test_nodes_that_join_all_nodes_before_wait_for_no_other_branch() -> None:
    first, then = (Visit("a", 4), Visit("b", 1)), (Visit("c", 1), Visit("d", 5))
    joined, _ = run(Program((Section(((first, then),), Join.LIST),)))
    assert not locksteps(joined)


def test_whether_nodes_need_one_or_all_of_the_step_before_is_not_recorded() -> None:
    """Separate edges from each node to each, and one edge for each branch: the same trace."""
    first, then = (Visit("a", 4), Visit("b", 1)), (Visit("c", 1), Visit("d", 5))
    all_needed, _ = run(Program((Section(((first, then),)),)))
    one_each = tuple(((one,), (two,)) for one, two in zip(first, then, strict=True))
    one_needed, _ = run(Program((Section(one_each),)))
    assert stage_graphs(all_needed) == stage_graphs(one_needed)
    (finding,) = findings(all_needed)
    assert finding.only_if == "no branch reads another's result of that round"
    assert not finding.proven


def test_subgraphs_that_run_at_once_are_one_finding() -> None:
    """To mend one of two gains nothing while the other takes as long."""

    def team(name: str) -> Visit:
        first = (_alone(f"{name}1", 9), _alone(f"{name}2", 1))
        other = (_alone(f"{name}3", 1), _alone(f"{name}4", 9))
        return Visit(name, inner=Program((Section((first, other)),)))

    trace, _ = run(Program((Section((((team("a"),),), ((team("b"),),))),)))
    (finding,) = findings(trace)
    assert _most_s(trace, [finding]) == pytest.approx(8)
    assert "a1" in finding.evidence
    assert "b1" in finding.evidence


def _alone(node: str, seconds: float) -> tuple[Visit, ...]:
    return (Visit(node, seconds),)

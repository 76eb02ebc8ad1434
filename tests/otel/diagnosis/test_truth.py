"""What must hold of every diagnosis: it agrees with the checks, with the spans and with itself."""

import re
from itertools import pairwise
from statistics import median

import pytest
from hypothesis import assume, given, settings

from tests.examples import examples
from tests.otel.diagnosis.phases import MS, Phase, phases
from tests.otel.diagnosis.traces import random_traces
from trading_graph.otel.diagnosis import (
    Candidate,
    FindingKind,
    Model,
    RankedCandidate,
    Ranking,
    Schedule,
    call_tree,
    rank,
    simulate,
)
from trading_graph.otel.diagnosis.actions import with_actions
from trading_graph.otel.diagnosis.findings import find
from trading_graph.otel.diagnosis.findings.concurrency import LATE_SHARE, judged_groups
from trading_graph.otel.diagnosis.ranking import LEAST_SHARE
from trading_graph.otel.diagnosis.what_if_edits import Edits
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.structure import OVERLAP_SHARE
from trading_graph.otel.verdict import Outcome, judge
from trading_graph.otel.verdict.neutral_gate import neutral_gate

Run = tuple[SpanTable, list[Phase]]

many = settings(max_examples=examples(100))


def ranked(trace: SpanTable) -> Ranking:
    return rank(trace, trace.roots[0])


def rows_of(trace: SpanTable, phase: Phase) -> set[int]:
    return {trace.row_of[f"{each:0>16}"] for each in phase.rows}


def of_kind(ranking: Ranking, kind: FindingKind) -> list[RankedCandidate]:
    return [each for each in ranking.candidates if each.candidate.kind is kind]


def idle_ns(trace: SpanTable, row: int) -> int:
    """How long only a span and those above it ran, counted instant by instant."""
    besides = {row, *trace.ancestors(row)}
    times = sorted({at for interval in trace.intervals for at in interval})
    low, high = trace.intervals[row]
    return sum(
        after - before
        for before, after in pairwise(times)
        if low <= before < high
        and not any(
            start < after and end > before
            for at, (start, end) in enumerate(trace.intervals)
            if at not in besides
        )
    )


@given(phases())
@many
def test_what_a_check_calls_serial_is_a_finding_with_the_same_cause(run: Run) -> None:
    trace, _ = run
    candidates = find(Schedule(call_tree(trace, trace.roots[0])))
    for result in judge(trace, neutral_gate()).checks:
        if result.outcome is not Outcome.FAIL or not result.causes:
            continue
        rows = {trace.row_of[span.id] for span in result.spans}
        named = {c for each in candidates if not rows.isdisjoint(each.rows) for c in each.causes}
        assert named.issuperset(result.causes)
        assert rows.issubset(row for each in candidates for row in each.rows)


@given(phases())
@many
def test_every_group_that_fell_is_a_finding(run: Run) -> None:
    trace, _ = run
    schedule = Schedule(call_tree(trace, trace.roots[0]))
    candidates = find(schedule)
    for each in judged_groups(schedule):
        if each.fell:
            found = [c for c in candidates if not set(each.rows).isdisjoint(c.rows)]
            assert each.judgement.causes in [c.causes for c in found]


@given(phases(kinds=("limit", "limit inside"), most=1))
@many
def test_a_limit_that_is_named_is_simulated(run: Run) -> None:
    trace, (phase,) = run
    ranking = ranked(trace)
    groups = [each for each in judged_groups(ranking.schedule) if each.judgement.at_once]
    assume(groups)
    if set(groups[0].rows) != rows_of(trace, phase):
        return  # times cut it in two
    (limit,) = [c for c in find(ranking.schedule) if c.kind is FindingKind.LIMIT]
    gain = (phase.end - phase.start - phase.mended) * MS
    mended = simulate(ranking.schedule, limit.actions)
    assert ranking.wall_ns - mended.wall_ns == pytest.approx(gain, rel=0.15, abs=2 * MS)


@given(phases(kinds=("late",), most=1))
@many
def test_a_late_branch_is_called_late(run: Run) -> None:
    trace, (phase,) = run
    ranking = ranked(trace)
    rows = sorted(rows_of(trace, phase))
    late = max(rows, key=lambda row: trace.intervals[row][0])
    others = [row for row in rows if row != late]
    delay = trace.intervals[late][0] - trace.intervals[others[0]][0]
    longest = max(others, key=trace.lengths.__getitem__)
    last = trace.intervals[longest][1]
    shared = last - trace.intervals[late][0]
    assume(delay > LATE_SHARE * median(map(trace.lengths.__getitem__, rows)))
    assume(trace.intervals[late][1] > last)
    assume(shared > 1.01 * OVERLAP_SHARE * min(trace.lengths[late], trace.lengths[longest]))
    gain = phase.end - phase.start - phase.mended
    assume(gain * MS > LEAST_SHARE * ranking.wall_ns)
    (found,) = of_kind(ranking, FindingKind.LATE_BRANCH)
    assert found.candidate.rows == (late,)
    assert not of_kind(ranking, FindingKind.LIMIT)
    assert ranking.wall_ns - found.wall.likely_ns == gain * MS


@given(phases(kinds=("gap",), most=1))
@many
def test_a_gap_before_a_fan_out_moves_all_its_branches(run: Run) -> None:
    trace, (phase,) = run
    ranking = ranked(trace)
    pause = phase.end - phase.start - phase.mended
    assume(pause * MS > 0.02 * ranking.wall_ns)
    (found,) = of_kind(ranking, FindingKind.GAP)
    assert ranking.wall_ns - found.wall.likely_ns == pause * MS


@given(random_traces() | phases().map(lambda run: run[0]))
@settings(max_examples=examples(100))
def test_where_nothing_is_said_to_have_run_nothing_did(trace: SpanTable) -> None:
    for each in ranked(trace).candidates:
        said = re.match(r"Nothing that was recorded ran for ([\d.]+) s", each.candidate.evidence)
        if said:
            assert float(said[1]) <= idle_ns(trace, each.candidate.rows[0]) / 1e9 + 0.0005


@given(random_traces() | phases().map(lambda run: run[0]))
@settings(max_examples=examples(100))
def test_no_fix_leaves_less_than_the_work_that_remains(trace: SpanTable) -> None:
    ranking = ranked(trace)
    for each in ranking.candidates:
        remaining = remaining_ns(ranking.schedule, each.candidate)
        assert each.wall.likely_ns >= remaining >= 0, each.candidate
    if ranking.candidates:
        every = [a for each in ranking.candidates for a in each.candidate.actions]
        assert simulate(ranking.schedule, every, Model.FREEST).wall_ns >= 0


def remaining_ns(schedule: Schedule, candidate: Candidate) -> int:
    """The longest chain of siblings without parts that the fix of a finding does not touch.

    What takes turns at a limit does not stand in a chain.
    """
    tree = schedule.tree
    edits = with_actions(schedule, Edits(), candidate.actions)
    shorter = {*edits.lengths(tree), *(row for each in edits.sharings for row in each.rows)}
    moved = shorter | edits.like.keys() | {row for chain in edits.chains for row in chain}
    below: set[int] = set()
    for row in tree.rows:
        if row in shorter or (row != tree.run and tree.parents[row] in below):
            below.add(row)
    longest = 0
    for parent in tree.rows:
        slots = schedule.family(parent).slots
        taken = set(slots.rows if slots else ())
        chain: list[tuple[int, int]] = []
        for row in sorted(tree.children(parent), key=lambda row: (tree.start[row], tree.end[row])):
            if tree.children(row) or row in below | moved | taken or not tree.waited_for[row]:
                continue
            before = max([ns for end, ns in chain if end <= tree.start[row]], default=0)
            chain.append((tree.end[row], before + tree.duration(row)))
        longest = max([longest, *(ns for _, ns in chain)])
    return longest

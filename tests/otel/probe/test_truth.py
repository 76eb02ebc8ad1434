"""Who waits for whom in random programs of which that is known, and what their fixes give."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import median

import pytest

from tests.otel.probe.probing import probe, score, undisturbed, wall_s
from tests.otel.probe.programs import (
    KINDS,
    Call,
    Chain,
    Graph,
    Limited,
    OwnLock,
    Program,
    Staggered,
    draw,
)
from trading_graph.otel.diagnosis import FindingKind, RankedCandidate, ShortenBy, rank, simulate
from trading_graph.otel.diagnosis.findings import INDEPENDENT
from trading_graph.otel.probe.session import ProbeSession
from trading_graph.otel.witness import delays

RUNS = 12
ALL = range(50)
A_PROGRAM_OF_EACH_KIND = range(len(KINDS))
QUICK_AND_ALL = [A_PROGRAM_OF_EACH_KIND, pytest.param(ALL, marks=pytest.mark.full)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seeds", QUICK_AND_ALL)
def test_dependencies_and_limits_are_those_that_the_programs_have(seeds: range) -> None:
    sessions = [(draw(seed), probe(draw(seed), RUNS)) for seed in seeds]
    scores = [score(program.truth(), session.result()) for program, session in sessions]
    found = sum(len(each.found) for each in scores)
    true = sum(len(each.true) for each in scores)
    wrong = [each for one in scores for each in one.wrong]
    missing = [each for one in scores for each in one.missing]
    precision, recall = 1 - len(wrong) / found, 1 - len(missing) / true
    limits = [(set(one.limits), set(one.true_limits)) for one in scores]
    walls = [[wall_s(each.trace) for each in session.made] for _, session in sessions]
    longer = [sum(each) / len(each) / median(each[:2]) for each in walls]
    print(f"{true} dependencies, precision {precision:.4f}, recall {recall:.4f}")
    right = sum(len(a & b) for a, b in limits)
    print(f"{right} of {sum(len(each) for _, each in limits)} limits found")
    print(f"runs took {sum(longer) / len(longer):.2f} times as long, {max(longer):.2f} at most")
    assert precision >= 0.99, wrong
    assert recall >= 0.95, missing
    assert not [each for a, b in limits for each in a - b]
    assert right >= 0.9 * sum(len(each) for _, each in limits)


@dataclass(frozen=True)
class Checked:
    """A faster call: what was predicted, measured by slowing others, and came true."""

    program: int
    call: str
    low_s: float
    run_s: float
    high_s: float
    measured_s: float | None
    true_s: float
    by_times_s: float

    @property
    def error(self) -> float:
        return abs(self.run_s / self.true_s - 1)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_delays_show_most_dependencies_without_the_noted_awaits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What waits for many takes a run for each of them: that stays open, and nothing is wrong."""
    monkeypatch.setattr(delays, "MOST_AWAITED", 0)
    sessions = [(draw(seed), probe(draw(seed), RUNS)) for seed in ALL]
    scores = [score(program.truth(), session.result()) for program, session in sessions]
    precision = 1 - sum(len(one.wrong) for one in scores) / sum(len(one.found) for one in scores)
    recall = 1 - sum(len(one.missing) for one in scores) / sum(len(one.true) for one in scores)
    print(f"by delays alone: precision {precision:.4f}, recall {recall:.4f}")
    assert precision >= 0.99
    assert 0.8 <= recall < 1


def _faster(program: Program, session: ProbeSession) -> Iterator[Checked]:
    """The calls that matter most, each really made faster."""
    found, base = session.result(), session.base
    by_times = rank(base.trace, base.run).schedule
    for each in found.speed_ups:
        name = found.spans[each.span].path[-1]
        row = base.trace.names.index(name)
        usual_s = base.trace.lengths[row] / 1e9
        less_s = each.share * usual_s
        runs = [undisturbed(program, {name: usual_s - less_s}, 900 + at) for at in range(3)]
        yield Checked(
            program=program.seed,
            call=name,
            low_s=each.low_s,
            run_s=each.run_s,
            high_s=each.high_s,
            measured_s=each.measured_s,
            true_s=median(map(wall_s, runs)),
            by_times_s=simulate(by_times, [ShortenBy(((row, int(less_s * 1e9)),))]).wall_ns / 1e9,
        )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seeds", QUICK_AND_ALL)
def test_what_a_faster_call_gives_comes_true(seeds: range) -> None:
    checks = [
        each for seed in seeds for each in islice(_faster(draw(seed), probe(draw(seed), 10)), 3)
    ]
    errors = sorted(each.error for each in checks)
    inside = [each.low_s <= each.true_s <= each.high_s for each in checks]
    measured = [abs(each.measured_s / each.true_s - 1) for each in checks if each.measured_s]
    by_times = sorted(abs(each.by_times_s / each.true_s - 1) for each in checks)
    print(
        f"{len(checks)} faster calls: median error {median(errors):.2%}, worst {errors[-1]:.2%}, "
        f"{sum(inside)} inside the interval; of {len(measured)} measured by slowing the others "
        f"{median(measured):.2%}, worst {max(measured):.2%}; by times alone, worst "
        f"{by_times[-1]:.2%}"
    )
    assert median(errors) <= 0.02
    assert errors[-1] <= 0.05
    assert sum(inside) >= 0.9 * len(inside)
    assert len(measured) >= len(seeds) // 2
    assert median(measured) <= 0.02


@pytest.mark.parametrize("seed", range(6))
def test_a_gain_that_was_uncertain_becomes_certain_and_comes_true(seed: int) -> None:
    """Calls that a timer starts one after the other: each can start at once, and nobody knew."""
    dice = random.Random(seed)
    usual_s = dice.uniform(0.1, 0.2)
    calls = [Call(f"call {at}", usual_s * dice.uniform(0.95, 1)) for at in range(3 + seed % 2)]
    staggered = Staggered(calls, usual_s * 1.05)
    program = Program(seed, Chain([Call("first", 0.1), staggered, Call("last", 0.1)]))
    session = probe(program, 10)
    base, names = session.base, {each.name for each in calls}
    without = rank(base.trace, base.run).candidates
    known = rank(base.trace, base.run, (), session.result()).candidates
    (before,) = [each for each in without if names <= _names(session, each)]
    (after,) = [each for each in known if names == _names(session, each)]
    staggered.every_s = 0.0
    mended_s = median(wall_s(undisturbed(program, {}, 900 + at)) for at in range(3))
    wall = after.wall
    assert not before.candidate.proven
    assert before.candidate.only_if
    assert after.candidate.proven
    assert not after.candidate.only_if
    assert abs(wall.likely_ns / 1e9 / mended_s - 1) <= 0.02
    assert wall.low_ns * 0.995 <= mended_s * 1e9 <= wall.high_ns * 1.005
    assert wall.high_ns - wall.low_ns <= (before.wall.high_ns - before.wall.low_ns) / 2


def _names(session: ProbeSession, ranked: RankedCandidate) -> set[str]:
    return {session.base.trace.names[row] for row in ranked.candidate.rows}


def test_a_loop_stays_uncertain_and_says_why() -> None:
    """One task that does calls in turn may not have to, which delays cannot tell."""
    program = Program(1, Chain([Call(f"call {at}", 0.1) for at in range(3)]))
    session = probe(program, 6)
    known = rank(session.base.trace, session.base.run, (), session.result()).candidates
    (row,) = [each.candidate for each in known if each.candidate.kind is FindingKind.SERIAL_CALLS]
    assert "in turn" in row.evidence
    assert row.only_if == INDEPENDENT


def test_calls_that_take_turns_at_a_lock_of_the_programs_own_share_a_limit() -> None:
    calls = [Call(f"call {at}", 0.1) for at in range(4)]
    program = Program(2, Chain([Call("first", 0.1), Limited(calls, 1, OwnLock)]))
    session = probe(program, 10)
    known = rank(session.base.trace, session.base.run, (), session.result()).candidates
    (limit,) = [each for each in known if each.candidate.kind is FindingKind.LIMIT]
    assert _names(session, limit) == {each.name for each in calls}
    assert limit.wall.likely_ns / 1e9 == pytest.approx(0.2, rel=0.1)


def test_a_call_whose_task_awaits_another_is_no_finding() -> None:
    program = Program(3, Graph([Call(f"call {at}", 0.1) for at in range(3)], [[], [0], [1]]))
    session = probe(program, 8)
    without = rank(session.base.trace, session.base.run).candidates
    known = rank(session.base.trace, session.base.run, (), session.result()).candidates
    assert INDEPENDENT in {each.candidate.only_if for each in without}
    assert INDEPENDENT not in {each.candidate.only_if for each in known}


def test_a_dependency_that_is_not_there_is_not_found() -> None:
    """The same comparison, with the truth of another program: it has to fail."""
    program, other = draw(0), draw(8)
    found = probe(program, 8).result()
    here, wrong = score(program.truth(), found), score(other.truth(), found)
    assert not here.wrong
    assert wrong.wrong

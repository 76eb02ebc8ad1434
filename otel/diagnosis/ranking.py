"""Where a run's time went, and what each fix would gain: findings ranked by simulated gains.

A gain is an interval. Its lower end keeps every order that was observed, and is nothing where the
trace does not prove that the change is possible; its upper end keeps only what is declared. Gains
of several fixes come from playing them together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from trading_graph.otel.diagnosis.actions import Parallelise, simulate, with_actions
from trading_graph.otel.diagnosis.call_tree import CallTree, call_tree
from trading_graph.otel.diagnosis.critical_path import PathTable
from trading_graph.otel.diagnosis.dependencies import refuted
from trading_graph.otel.diagnosis.edits import Edits
from trading_graph.otel.diagnosis.findings import Candidate, FindingKind, find
from trading_graph.otel.diagnosis.schedule import Model, Schedule
from trading_graph.otel.diagnosis.simulation import Simulation
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.trace import SpanTable

NOISE = 0.02
"""By how much the time of two equal runs may differ; every predicted interval has it added."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A run's duration after a change, in nanoseconds: between low and high, likely in between."""

    low_ns: int
    likely_ns: int
    high_ns: int


@dataclass(frozen=True, slots=True)
class Played:
    """A run with some findings mended, and with only those of them that are proven (`slowest`)."""

    likely: Simulation
    freest: Simulation
    slowest: Simulation

    @property
    def wall(self) -> Prediction:
        """The run's duration."""
        likely = self.likely.wall_ns
        fast = min(likely, self.freest.wall_ns)
        slow = max(likely, self.slowest.wall_ns)
        return Prediction(int(fast * (1 - NOISE)), likely, int(slow * (1 + NOISE)))

    def mending(self, finding: Candidate) -> "Played":
        """The same run with one finding more mended: only what that changes is played."""
        schedule = self.likely.schedule
        edits = with_actions(schedule, self.likely.edits, finding.actions)
        slowest = self.slowest
        if finding.proven:
            known = slowest.edits
            # Where all so far are proven, the edits are the same.
            same = known == self.likely.edits
            proven = edits if same else with_actions(schedule, known, finding.actions)
            slowest = Simulation(schedule, proven, Model.OBSERVED, slowest)
        return Played(
            Simulation(schedule, edits, Model.LIKELY, self.likely),
            Simulation(schedule, edits, Model.FREEST, self.freest),
            slowest,
        )


def played(schedule: Schedule, findings: Iterable[Candidate]) -> Played:
    """A run with all of these findings mended."""
    nothing = Edits()
    found = Played(
        Simulation(schedule, nothing, Model.LIKELY),
        Simulation(schedule, nothing, Model.FREEST),
        Simulation(schedule, nothing, Model.OBSERVED),
    )
    for each in findings:
        found = found.mending(each)
    return found


LEAST_NS = 1_000_000
LEAST_SHARE = 0.001
"""A gain below both is none."""

SIMULATED = 60
"""So many findings are simulated, those with the most time on the critical path first."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with the duration predicted for the run when it alone is mended."""

    candidate: Candidate
    on_path_ns: int
    wall: Prediction


@dataclass(frozen=True, slots=True)
class RankedStep:
    """A candidate mended on top of those before it, and the duration predicted for all of them."""

    candidate: Candidate
    wall: Prediction


@dataclass(frozen=True)
class Ranking:
    """A run's critical path, its candidates by gain, and what mending one after another gives."""

    schedule: Schedule
    candidates: tuple[Ranked, ...]
    steps: tuple[RankedStep, ...]

    @property
    def trace(self) -> SpanTable:
        """The trace."""
        return self.schedule.tree.trace

    @property
    def run(self) -> int:
        """The row of the run's span."""
        return self.schedule.tree.run

    @property
    def wall_ns(self) -> int:
        """How long the run took."""
        return self.schedule.tree.wall_ns

    @property
    def path(self) -> PathTable:
        """Which span each instant of the run was waiting for."""
        return self.schedule.path

    def mended(self) -> Simulation:
        """The run with all steps made, as it is likely to be."""
        return simulate(self.schedule, [a for step in self.steps for a in step.candidate.actions])


@pause_collection()
def rank(trace: SpanTable, run: int, others: Sequence[CallTree] = ()) -> Ranking:
    """Find what made the run at a row slow, and predict what each fix gives.

    `others` are more runs of the same program: calls that they show in another order, or at once,
    do not need each other.
    """
    schedule = Schedule(call_tree(trace, run))
    wall_ns = schedule.tree.wall_ns
    least = max(LEAST_NS, LEAST_SHARE * wall_ns)
    spent = schedule.path.total_ns
    found = [
        (sum(spent.get(row, 0) for row in each.rows), each) for each in _weighed(schedule, others)
    ]
    found.sort(key=lambda item: -item[0])
    as_it_was = played(schedule, ())
    ranked: list[Ranked] = []
    best: tuple[Ranked, Played] | None = None
    for on_path, each in found[:SIMULATED]:
        mended = as_it_was.mending(each)
        rank = Ranked(each, min(on_path, wall_ns), mended.wall)
        if wall_ns - rank.wall.likely_ns >= least:
            ranked.append(rank)
            if best is None or _weight(rank) < _weight(best[0]):
                best = rank, mended
    ranked.sort(key=_weight)
    steps = _steps(best[1], ranked, least) if best else []
    return Ranking(schedule, tuple(ranked), tuple(steps))


def _weight(ranked: Ranked) -> tuple[int, bool]:
    return ranked.wall.likely_ns, not ranked.candidate.proven


def _weighed(schedule: Schedule, others: Sequence[CallTree]) -> list[Candidate]:
    """All findings; those that only an unknown order made uncertain, in the light of other runs."""
    weighed = []
    for each in find(schedule):
        if others and each.kind in (FindingKind.SERIAL_CALLS, FindingKind.MANY_SMALL_CALLS):
            free = all(refuted(others, schedule.tree, chain) for chain in _chains(each))
            if free:
                each = replace(each, proven=True, only_if="")
        weighed.append(each)
    return weighed


def _chains(finding: Candidate) -> list[tuple[int, ...]]:
    return [action.rows for action in finding.actions if isinstance(action, Parallelise)]


def predict(schedule: Schedule, findings: Sequence[Candidate]) -> Prediction:
    """The run's duration when all of these findings are mended."""
    return played(schedule, findings).wall


def _steps(first: Played, ranked: Sequence[Ranked], least: float) -> list[RankedStep]:
    """One finding after the other, those left out that add nothing to those before."""
    steps = [RankedStep(ranked[0].candidate, ranked[0].wall)]
    reached = first
    for each in ranked[1:]:
        mended = reached.mending(each.candidate)
        if reached.wall.likely_ns - mended.wall.likely_ns >= least:
            steps.append(RankedStep(each.candidate, mended.wall))
            reached = mended
    return steps

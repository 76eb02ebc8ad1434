"""Where a run's time went, and what each fix would gain: findings ranked by simulated gains.

A gain is an interval. Its lower end keeps every order that was observed, and is nothing where the
trace does not prove that the change is possible; its upper end keeps only what is declared. Gains
of several fixes come from playing them together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trading_graph.otel.collection import collection_paused
from trading_graph.otel.diagnosis.actions import Parallelise, simulate
from trading_graph.otel.diagnosis.call_tree import CallTree, call_tree
from trading_graph.otel.diagnosis.critical_path import CriticalPath
from trading_graph.otel.diagnosis.findings import Finding, Kind, find
from trading_graph.otel.diagnosis.precedence import refuted
from trading_graph.otel.diagnosis.prediction import Played, Prediction, played
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.diagnosis.simulation import Simulation
from trading_graph.otel.trace import Trace

LEAST_NS = 1_000_000
LEAST_SHARE = 0.001
"""A gain below both is none."""

SIMULATED = 60
"""So many findings are simulated, those with the most time on the critical path first."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A finding with the duration predicted for the run when it alone is mended."""

    finding: Finding
    on_path_ns: int
    wall: Prediction


@dataclass(frozen=True, slots=True)
class Step:
    """A finding mended on top of those before it, and the duration predicted for all together."""

    finding: Finding
    wall: Prediction


@dataclass(frozen=True)
class Diagnosis:
    """A run's critical path, its findings by gain, and what mending one after the other gives."""

    schedule: Schedule
    findings: tuple[Ranked, ...]
    steps: tuple[Step, ...]

    @property
    def trace(self) -> Trace:
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
    def path(self) -> CriticalPath:
        """Which span each instant of the run was waiting for."""
        return self.schedule.path

    def mended(self) -> Simulation:
        """The run with all steps made, as it is likely to be."""
        return simulate(self.schedule, [a for step in self.steps for a in step.finding.actions])


@collection_paused()
def diagnose(trace: Trace, run: int, others: Sequence[CallTree] = ()) -> Diagnosis:
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
    return Diagnosis(schedule, tuple(ranked), tuple(steps))


def _weight(ranked: Ranked) -> tuple[int, bool]:
    return ranked.wall.likely_ns, not ranked.finding.proven


def _weighed(schedule: Schedule, others: Sequence[CallTree]) -> list[Finding]:
    """All findings; those that only an unknown order made uncertain, in the light of other runs."""
    weighed = []
    for each in find(schedule):
        if others and each.kind in (Kind.SERIAL_CALLS, Kind.MANY_SMALL_CALLS):
            free = all(refuted(others, schedule.tree, chain) for chain in _chains(each))
            if free:
                each = replace(each, proven=True, if_only="")
        weighed.append(each)
    return weighed


def _chains(finding: Finding) -> list[tuple[int, ...]]:
    return [action.rows for action in finding.actions if isinstance(action, Parallelise)]


def predict(schedule: Schedule, findings: Sequence[Finding]) -> Prediction:
    """The run's duration when all of these findings are mended."""
    return played(schedule, findings).wall


def _steps(first: Played, ranked: Sequence[Ranked], least: float) -> list[Step]:
    """One finding after the other, those left out that add nothing to those before."""
    steps = [Step(ranked[0].finding, ranked[0].wall)]
    reached = first
    for each in ranked[1:]:
        mended = reached.mending(each.finding)
        if reached.wall.likely_ns - mended.wall.likely_ns >= least:
            steps.append(Step(each.finding, mended.wall))
            reached = mended
    return steps

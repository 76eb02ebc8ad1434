"""Where a run's time went, and what each fix would gain: findings ranked by simulated gains.

A gain is an interval. Its lower end keeps every order that was observed, and is zero where the
trace does not prove that the change is possible; its upper end keeps only what is declared. The
gain of several fixes comes from playing them together.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

import msgspec

from trading_graph.otel.diagnosis.actions import Parallelise, simulate, with_actions
from trading_graph.otel.diagnosis.call_tree import call_tree
from trading_graph.otel.diagnosis.critical_path import PathTable
from trading_graph.otel.diagnosis.findings import INDEPENDENT, Candidate, find
from trading_graph.otel.diagnosis.intervention import settle
from trading_graph.otel.diagnosis.raise_limit import RaiseLimit
from trading_graph.otel.diagnosis.schedule import Model, Schedule
from trading_graph.otel.diagnosis.simulation import Simulation
from trading_graph.otel.diagnosis.what_if_edits import Edits
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.dependencies import Dependencies, ShownOrder
from trading_graph.otel.trace.structure import SeenRun, are_independent

NOISE = 0.02
"""How much the times of two equal runs may differ; every predicted interval is widened by it."""


class Prediction(msgspec.Struct, frozen=True):
    """A run's duration after a change, in nanoseconds: between low and high, likely in between."""

    low_ns: int
    likely_ns: int
    high_ns: int


class SimulationBounds:
    """A run played again with some fixes: as is likely, in its freest order, and at its slowest.

    The slowest has only the fixes that are proven. The last two are played at first use, because a
    fix that gains nothing is known by the likely run.
    """

    def __init__(
        self,
        likely: Simulation,
        upon: "SimulationBounds | None" = None,
        fix: Candidate | None = None,
    ) -> None:
        self.likely = likely
        self._upon = upon
        self._fix = fix

    @cached_property
    def freest(self) -> Simulation:
        """The run in its freest order, where each fix may gain most."""
        schedule, upon, fix = self.likely.schedule, self._upon, self._fix
        if upon is None or fix is None:
            return Simulation(schedule, self.likely.edits, Model.FREEST)
        base, edits = upon.freest.edits, self.likely.edits
        if fix.at_best or base is not upon.likely.edits:
            edits = with_actions(schedule, base, fix.at_best or fix.actions)
        return Simulation(schedule, edits, Model.FREEST, self._nearest(edits, upon.freest, fix))

    @cached_property
    def slowest(self) -> Simulation:
        """The run in the order that was observed, with the proven fixes alone."""
        schedule, upon, fix = self.likely.schedule, self._upon, self._fix
        if upon is None or fix is None:
            return Simulation(schedule, self.likely.edits, Model.OBSERVED)
        if not fix.proven:
            return upon.slowest
        base, edits = upon.slowest.edits, self.likely.edits
        # If all fixes so far are proven, the edits are the same.
        if base != upon.likely.edits:
            edits = with_actions(schedule, base, fix.actions)
        return Simulation(schedule, edits, Model.OBSERVED, self._nearest(edits, upon.slowest, fix))

    def _nearest(self, edits: Edits, earlier: Simulation, fix: Candidate) -> Simulation:
        """What leaves least to play: the likely run with the same edits, or the run before."""
        choices = self.likely.schedule.choices
        return (
            self.likely if edits is self.likely.edits and len(choices) < len(fix.rows) else earlier
        )

    @property
    def wall(self) -> Prediction:
        """The duration of the run."""
        likely = self.likely.wall_ns
        fast = min(likely, self.freest.wall_ns)
        slow = max(likely, self.slowest.wall_ns)
        shown = self.likely.schedule.shown
        noise = NOISE if shown is None else shown.noise
        return Prediction(int(fast * (1 - noise)), likely, int(slow * (1 + noise)))

    def with_fix(self, finding: Candidate) -> "SimulationBounds":
        """The same run with one more fix; only what that changes is played."""
        schedule = self.likely.schedule
        edits = with_actions(schedule, self.likely.edits, finding.actions)
        likely = Simulation(schedule, edits, Model.LIKELY, self.likely)
        return SimulationBounds(likely, self, finding)


def replay(schedule: Schedule, findings: Iterable[Candidate]) -> SimulationBounds:
    """Play a run again with the fixes of all these findings."""
    result = SimulationBounds(Simulation(schedule, Edits(), Model.LIKELY))
    for each in findings:
        result = result.with_fix(each)
    return result


LEAST_SHARE = 0.002
"""A gain below this share of the run counts as none."""

SIMULATED = 60
"""Maximum number of findings to simulate; those with the most time on the critical path first."""


class RankedCandidate(msgspec.Struct, frozen=True):
    """A candidate, with the predicted duration of the run if only this one is fixed."""

    candidate: Candidate
    on_path_ns: int
    wall: Prediction


class RankedStep(msgspec.Struct, frozen=True):
    """A candidate fixed on top of those before it, and what is predicted with all of them."""

    candidate: Candidate
    wall: Prediction
    likely: Simulation


class Ranking(msgspec.Struct, frozen=True, dict=True):
    """A run's critical path, its candidates by gain, and the result of fixing them in turn."""

    schedule: Schedule
    candidates: tuple[RankedCandidate, ...]
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
        """The duration of the run."""
        return self.schedule.tree.wall_ns

    @property
    def path(self) -> PathTable:
        """The span that the run was waiting for at each instant."""
        return self.schedule.path

    def all_fixed(self) -> Simulation:
        """The likely run with all steps made."""
        return self.steps[-1].likely if self.steps else simulate(self.schedule, ())


@pause_collection()
def rank(
    trace: SpanTable,
    run: int,
    seen: Sequence[SeenRun] = (),
    dependencies: Dependencies | None = None,
) -> Ranking:
    """Find out what made the run at a row slow, and predict what each fix gives.

    `seen` are more runs of the same program: calls that they show in another order, or at once,
    do not need each other. `dependencies` are who waits for whom, as interventions showed.
    """
    by_times = schedule = Schedule(call_tree(trace, run))
    if dependencies is not None:
        schedule = Schedule(by_times.tree, ShownOrder(dependencies, trace, run))
    wall_ns = schedule.tree.wall_ns
    least = LEAST_SHARE * wall_ns
    # Times alone show what could be wrong, and what is shown of the order says whether it is.
    time_ns = by_times.path.total_ns
    candidates = [
        (sum(time_ns.get(row, 0) for row in each.rows), each)
        for each in _candidates(by_times, seen, schedule)
    ]
    candidates.sort(key=lambda item: -item[0])
    as_it_was = replay(schedule, ())
    ranks: list[RankedCandidate] = []
    best: tuple[RankedCandidate, SimulationBounds] | None = None
    for on_path, each in candidates[:SIMULATED]:
        trial = as_it_was.with_fix(each)
        played = _played(schedule, each)
        quickest = trial.likely.wall_ns if played is None else played.likely_ns
        if each.at_best:
            quickest = min(quickest, trial.freest.wall_ns)
        if wall_ns - quickest >= least:
            rank = RankedCandidate(each, min(on_path, wall_ns), played or trial.wall)
            ranks.append(rank)
            if not each.is_open and (
                best is None or _weight(rank, wall_ns) < _weight(best[0], wall_ns)
            ):
                best = rank, trial
    ranks.sort(key=lambda rank: _weight(rank, wall_ns))
    sure = [rank for rank in ranks if not rank.candidate.is_open]
    steps = _steps(best[1], sure, least) if best else []
    return Ranking(schedule, tuple(ranks), tuple(steps))


def _played(schedule: Schedule, candidate: Candidate) -> Prediction | None:
    """The run with a declared limit raised, played event by event; None for any other change.

    What the run as recorded comes out wrong by widens the interval.
    """
    raised = {each.name: each.factor for each in candidate.actions if isinstance(each, RaiseLimit)}
    if not raised:
        return None
    wall_ns = schedule.tree.wall_ns
    base_ns, after_ns = (schedule.limit_play(each).wall_ns for each in ({}, raised))
    likely_ns = wall_ns + after_ns - base_ns
    low_ns = (likely_ns - abs(base_ns - wall_ns)) * (1 - NOISE)
    return Prediction(int(low_ns), likely_ns, int(max(likely_ns, wall_ns) * (1 + NOISE)))


SURE_SHARE = 0.02
"""A gain that is certain comes first from this share of the run on."""


def _weight(rank: RankedCandidate, wall_ns: int) -> tuple[bool, int]:
    """What sorts findings: certain gains of any size that matters first, then by what is likely.

    So a doubt alone, such as a possible block, stands after all that gains something for certain.
    """
    gain_ns = wall_ns - rank.wall.likely_ns
    is_sure = rank.candidate.proven and gain_ns >= SURE_SHARE * wall_ns
    return not is_sure, rank.wall.likely_ns


def _candidates(by_times: Schedule, seen: Sequence[SeenRun], schedule: Schedule) -> list[Candidate]:
    """All findings; other runs can prove those that are uncertain only for an unknown order.

    They are found by times; `schedule` has the order that is shown, where there is one.
    """
    candidates = []
    found = find(by_times)
    if schedule.shown is not None:
        found = [each for one in found for each in settle(one, schedule, schedule.shown)]
    for each in found:
        if seen and each.only_if == INDEPENDENT:
            here = SeenRun(schedule.tree.trace, schedule.tree.run)
            free = all(are_independent(seen, here, chain) for chain in _chains(each))
            if free:
                each = msgspec.structs.replace(each, proven=True, only_if="", is_open=False)
        candidates.append(each)
    return candidates


def _chains(finding: Candidate) -> list[tuple[int, ...]]:
    return [action.rows for action in finding.actions if isinstance(action, Parallelise)]


def predict(schedule: Schedule, findings: Sequence[Candidate]) -> Prediction:
    """The duration of the run with the fixes of all these findings."""
    return replay(schedule, findings).wall


def _steps(
    first: SimulationBounds, ranks: Sequence[RankedCandidate], least: float
) -> list[RankedStep]:
    """One finding after the other, without those that add nothing to the ones before."""
    steps = [RankedStep(ranks[0].candidate, ranks[0].wall, first.likely)]
    latest = first
    for each in ranks[1:]:
        trial = latest.with_fix(each.candidate)
        if latest.likely.wall_ns - trial.likely.wall_ns >= least:
            steps.append(RankedStep(each.candidate, trial.wall, trial.likely))
            latest = trial
    return steps

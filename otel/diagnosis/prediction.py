"""What mending some findings gives: the run played three times, and an interval from that."""

from collections.abc import Iterable
from dataclasses import dataclass

from trading_graph.otel.diagnosis.actions import with_actions
from trading_graph.otel.diagnosis.edits import Edits
from trading_graph.otel.diagnosis.findings import Candidate
from trading_graph.otel.diagnosis.schedule import Model, Schedule
from trading_graph.otel.diagnosis.simulation import Simulation

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

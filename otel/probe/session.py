"""The runs of a program one after the other: what each of them holds, and what all of them show."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from trading_graph.otel.probe.design import Design
from trading_graph.otel.probe.estimate import tolerance_s
from trading_graph.otel.probe.limits import Findings, learn
from trading_graph.otel.probe.plan import Plan
from trading_graph.otel.probe.result import Probed
from trading_graph.otel.probe.runs import ProbeRun, Runs, align
from trading_graph.otel.probe.speed_ups import PlayedSpeedUp, played_speed_ups, slowing_plan
from trading_graph.otel.trace.dependencies import Dependencies

PLAIN = 2
"""So many runs are undisturbed: they show how much the program varies by itself."""

LEAST_DISTURBED = 6
"""In so many runs tasks come in another order, before it is believed that one has to be first."""

LONGER_SHARE = 0.12
"""All runs together may take longer by this share than undisturbed ones."""

LONGEST_SHARE = 0.3
"""A single run may."""

LEAST_SHARE = 0.02


@dataclass
class ProbeSession:
    """Probes a program in so many runs: ask for the plan of each run, make it, and add it.

    The first runs are undisturbed. The last one, and those for which nothing is left to settle,
    measure what a faster call would give.
    """

    program: tuple[str, ...]
    count: int
    seed: int = 0
    made: list[ProbeRun] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._runs: Runs | None = None
        self._findings: Findings | None = None
        self._slowed: PlayedSpeedUp | None = None
        self._measured: dict[int, float] = {}

    def next_plan(self, token: str, process: int) -> Plan:
        """The plan of the next run."""
        self._slowed = None
        if len(self.made) < PLAIN:
            return Plan(token, process)
        probed = self._probed
        design = Design(probed.findings)
        plain_s = probed.plain_s
        left = self.count - len(self.made)
        spent_s = float(probed.runs.wall_s.sum()) - plain_s * len(self.made)
        left_s = LONGER_SHARE * plain_s * self.count - spent_s
        disturbed = sum(each.plan.tasks_s > 0 for each in self.made)
        if left == 1 or (design.is_settled and disturbed >= LEAST_DISTURBED):
            self._slowed = self._next_speed_up(probed, left_s)
        if self._slowed is not None:
            return slowing_plan(probed.runs, probed.base, self._slowed, token, process)
        # The last run, which slows what is beside one call, needs more than its part.
        allowed_s = 1.5 * (left_s - LONGEST_SHARE * plain_s) / left
        allowed_s = min(max(allowed_s, LEAST_SHARE * plain_s), LONGEST_SHARE * plain_s)
        return design.next_plan(token, process, self._rng, allowed_s)

    def add(self, run: ProbeRun) -> None:
        """Add the run that was made with the last plan; raises ChangedStructureError."""
        runs = align([*self.made, run])
        self.made.append(run)
        self._runs = runs
        self._findings = None
        if self._slowed is not None:
            measured_s = float(runs.wall_s[-1]) - self._slowed.less_s
            self._measured[self._slowed.span] = measured_s
        if len(self.made) >= PLAIN:
            self._findings = learn(runs, self._tolerance_s)

    def result(self) -> Dependencies:
        """What all runs show; at least the undisturbed ones have to be made."""
        return self._probed.dependencies(self._measured)

    @property
    def base(self) -> ProbeRun:
        """The undisturbed run that the result starts from."""
        return self.made[self._probed.base]

    @cached_property
    def _tolerance_s(self) -> float:
        return tolerance_s(align(self.made[:PLAIN]))

    @property
    def _probed(self) -> Probed:
        assert self._runs is not None
        assert self._findings is not None, "the undisturbed runs come first"
        return Probed(self.program, PLAIN, tuple(self.made), self._runs, self._findings)

    def _next_speed_up(self, probed: Probed, most_s: float) -> PlayedSpeedUp | None:
        """The call with the greatest gain of those that can be measured in so much more time."""
        played = played_speed_ups(probed.schedule(), probed.rows)
        left = (each for each in played if each.span not in self._measured)
        return next((each for each in left if each.less_s <= most_s), None)

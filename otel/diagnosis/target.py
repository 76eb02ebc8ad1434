"""A run beside its target: is it inside, would mending bring it there, what stands in the way.

Where latencies were simulated, the target is compared with the run as it would be at the real
latency of an LLM call: the same rule as the gate's, on the serial chain of the run played again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from trading_graph.otel.diagnosis.actions import Action, simulate
from trading_graph.otel.diagnosis.ranking import Ranking
from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.kinds import Role
from trading_graph.otel.trace.profile import serial_chain


class Standing(StrEnum):
    """Where a run stands with its target."""

    INSIDE = "inside"
    IN_REACH = "in reach"
    OUT_OF_REACH = "out of reach"


@dataclass(frozen=True, slots=True)
class LlmChain:
    """LLM calls of which each waited for the one before it, and what they take in all."""

    calls: int
    total_s: float

    @property
    def each_s(self) -> float:
        """What one of them takes; 0.0 for none."""
        return self.total_s / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """What a run may take, and what it takes; in seconds.

    `least_s` is what it takes with everything mended: no fix that the trace shows makes it faster;
    `steps_needed` is how many steps bring it inside, all of them where that is out of reach.
    `projected_call_s` is the latency of an LLM call that a run of simulated latencies is projected
    to, and `simulated_call_s` the one that it had; None where nothing is projected, because
    latencies were real or are not known.
    """

    limit_s: float
    standing: Standing
    now_s: float
    least_s: float
    steps_needed: int
    projected_call_s: float | None = None
    simulated_call_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Chain:
    """A serial chain of LLM calls, in nanoseconds."""

    calls: int
    total_ns: int


@dataclass(frozen=True)
class TargetFigures:
    """A ranked run and the time that it may take.

    `call_s` is the latency of an LLM call that simulated runs are projected to; None where nothing
    is projected, because latencies were real or are not known.
    """

    ranking: Ranking
    limit_ns: int
    call_s: float | None
    simulated_s: float = 0.0

    @cached_property
    def now_ns(self) -> int:
        """What the run takes, in the target's terms."""
        return self._projected(self.ranking.wall_ns, ())

    @cached_property
    def after_ns(self) -> tuple[int, ...]:
        """What it takes once each step is made on top of those before it."""
        steps = self.ranking.steps
        return tuple(
            self._projected(
                step.wall.likely_ns,
                [action for each in steps[: number + 1] for action in each.candidate.actions],
            )
            for number, step in enumerate(steps)
        )

    def document(self) -> Target:
        """The figures in seconds."""
        return Target(
            limit_s=self.limit_ns / 1e9,
            standing=self.standing,
            now_s=self.now_ns / 1e9,
            least_s=self.least_ns / 1e9,
            steps_needed=self.steps_needed,
            projected_call_s=self.call_s,
            simulated_call_s=None if self.call_s is None else self.simulated_s,
        )

    @property
    def llm_chain(self) -> LlmChain:
        """The serial chain in seconds."""
        return LlmChain(self.chain.calls, self.chain.total_ns / 1e9)

    @property
    def least_ns(self) -> int:
        """What it takes with everything mended: no fix that the trace shows makes it faster."""
        return min((self.now_ns, *self.after_ns))

    @property
    def standing(self) -> Standing:
        """Where the run stands with its target."""
        if self.now_ns <= self.limit_ns:
            return Standing.INSIDE
        return Standing.IN_REACH if self.least_ns <= self.limit_ns else Standing.OUT_OF_REACH

    @property
    def steps_needed(self) -> int:
        """How many steps bring the run inside; all of them where that is out of reach."""
        inside = [number for number, after in enumerate(self.after_ns) if after <= self.limit_ns]
        return inside[0] + 1 if inside else len(self.after_ns)

    @cached_property
    def chain(self) -> _Chain:
        """The serial LLM calls of the run with everything mended, in the target's terms."""
        found = self._chain(*self.predicted)
        return _Chain(found.calls, found.total_ns + self._added_ns(found))

    @cached_property
    def predicted(self) -> tuple[list[int], list[int]]:
        """Start and end of every span by row, with everything mended, on the run's own clock."""
        return self.ranking.mended().times()

    def _projected(self, wall_ns: int, actions: Sequence[Action]) -> int:
        if self.call_s is None:
            return wall_ns
        return wall_ns + self._added_ns(
            self._chain(*simulate(self.ranking.schedule, actions).times())
        )

    def _added_ns(self, chain: _Chain) -> int:
        if self.call_s is None:
            return 0
        return int(chain.calls * (self.call_s - self.simulated_s) * 1e9)

    def _chain(self, start: Sequence[int], end: Sequence[int]) -> _Chain:
        trace = self.ranking.trace
        calls = [
            row
            for row in self.ranking.schedule.tree.rows
            # A call that a change leaves out takes no time, and is none.
            if trace.roles[row] is Role.LLM and end[row] > start[row]
        ]
        moved = replace(trace, start=np.array(start, np.int64), end=np.array(end, np.int64))
        chain = serial_chain(moved, calls)
        return _Chain(len(chain), sum(end[row] - start[row] for row in chain))


def target_figures(ranking: Ranking, limit_s: float, project_call_s: float | None) -> TargetFigures:
    """A ranked run beside a limit in seconds; projected where its latencies were simulated."""
    trace, run = ranking.trace, ranking.run
    simulated_s = trace.number(run, semconv.LATENCY_CHAT_S)
    simulated = bool(trace.attributes(run).get(semconv.LATENCY_SIMULATED))
    if not simulated or simulated_s is None or project_call_s is None:
        return TargetFigures(ranking, int(limit_s * 1e9), None)
    return TargetFigures(ranking, int(limit_s * 1e9), project_call_s, simulated_s)

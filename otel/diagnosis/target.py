"""A run in comparison with its target: is it inside, would fixes bring it there, what is left?

If latencies were simulated, the target is compared with the run at the real latency of an LLM call.
This is the same rule as the gate's, applied to the serial chain of the run that is played again.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from functools import cached_property

import msgspec
import numpy as np

from trading_graph.otel.diagnosis.actions import simulate
from trading_graph.otel.diagnosis.ranking import Ranking
from trading_graph.otel.diagnosis.simulation import Simulation
from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.profile import serial_chain
from trading_graph.otel.vocabularies import Role


class Standing(StrEnum):
    """How a run compares with its target."""

    NONE = "no target"
    INSIDE = "inside"
    IN_REACH = "in reach"
    OUT_OF_REACH = "out of reach"


class LlmChain(msgspec.Struct, frozen=True):
    """LLM calls each of which waited for the one before it, and their total time."""

    calls: int
    total_s: float

    @property
    def each_s(self) -> float:
        """The mean time of a call; 0.0 without calls."""
        return self.total_s / self.calls if self.calls else 0.0


class Target(msgspec.Struct, frozen=True):
    """What a run may take, and what it takes; in seconds.

    `least_s` is its time with all fixes: no fix that the trace shows makes it faster.
    `steps_needed` is the number of steps that bring it inside, or of all steps if it is out of
    reach. `projected_call_s` is the latency of an LLM call to which a run with simulated latencies
    is projected, and `simulated_call_s` the latency that it had; None where nothing is projected,
    because latencies were real or are unknown. Without a target, `limit_s` is None too.
    """

    limit_s: float | None
    standing: Standing
    now_s: float
    least_s: float
    steps_needed: int
    projected_call_s: float | None = None
    simulated_call_s: float | None = None


class _Chain(msgspec.Struct, frozen=True):
    """A serial chain of LLM calls, in nanoseconds."""

    calls: int
    total_ns: int


class TargetFigures(msgspec.Struct, frozen=True, dict=True):
    """A ranked run and the time that it may take.

    `call_s` is the latency of an LLM call to which simulated runs are projected; None where nothing
    is projected, because latencies were real or are unknown.
    """

    ranking: Ranking
    limit_ns: int | None
    call_s: float | None
    simulated_s: float = 0.0

    @cached_property
    def now_ns(self) -> int:
        """The duration of the run, in the target's terms."""
        return self.project(self.ranking.wall_ns, simulate(self.ranking.schedule, ()))

    @cached_property
    def after_ns(self) -> tuple[int, ...]:
        """The duration after each step, made on top of those before it."""
        return tuple(self.project(step.wall.likely_ns, step.likely) for step in self.ranking.steps)

    def document(self) -> Target:
        """The figures in seconds."""
        return Target(
            limit_s=None if self.limit_ns is None else self.limit_ns / 1e9,
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
        """The duration with all fixes: no fix that the trace shows makes the run faster."""
        return min((self.now_ns, *self.after_ns))

    @property
    def standing(self) -> Standing:
        """How the run compares with its target."""
        if self.limit_ns is None:
            return Standing.NONE
        if self.now_ns <= self.limit_ns:
            return Standing.INSIDE
        return Standing.IN_REACH if self.least_ns <= self.limit_ns else Standing.OUT_OF_REACH

    @property
    def steps_needed(self) -> int:
        """The number of steps that bring the run inside; of all steps if it is out of reach."""
        limit_ns = self.limit_ns
        if limit_ns is None:
            return len(self.after_ns)
        inside = [number for number, after in enumerate(self.after_ns) if after <= limit_ns]
        return inside[0] + 1 if inside else len(self.after_ns)

    @cached_property
    def chain(self) -> _Chain:
        """The serial LLM calls of the run with all fixes, in the target's terms."""
        chain = self._chain(*self.predicted)
        return _Chain(chain.calls, chain.total_ns + self._extra_ns(chain))

    @cached_property
    def predicted(self) -> tuple[list[int], list[int]]:
        """Start and end of every span by row, with all fixes, on the run's own clock."""
        return self.ranking.all_fixed().times()

    def project(self, wall_ns: int, simulation: Simulation) -> int:
        """The duration of a run that is played again, in the target's terms."""
        if self.call_s is None:
            return wall_ns
        return wall_ns + self._extra_ns(self._chain(*simulation.times()))

    def _extra_ns(self, chain: _Chain) -> int:
        if self.call_s is None:
            return 0
        return int(chain.calls * (self.call_s - self.simulated_s) * 1e9)

    def _chain(self, start: Sequence[int], end: Sequence[int]) -> _Chain:
        trace = self.ranking.trace
        calls = [
            row
            for row in self.ranking.schedule.tree.rows
            # A call that a change leaves out takes no time, and does not count.
            if trace.roles[row] is Role.LLM and end[row] > start[row]
        ]
        new_trace = replace(trace, start=np.array(start, np.int64), end=np.array(end, np.int64))
        chain = serial_chain(new_trace, calls)
        return _Chain(len(chain), sum(end[row] - start[row] for row in chain))


def target_figures(
    ranking: Ranking, limit_s: float | None, project_call_s: float | None
) -> TargetFigures:
    """A ranked run and its limit in seconds; projected where its latencies were simulated."""
    limit_ns = None if limit_s is None else int(limit_s * 1e9)
    trace, run = ranking.trace, ranking.run
    simulated_s = trace.number(run, semconv.LATENCY_CHAT_S)
    simulated = bool(trace.attributes(run).get(semconv.LATENCY_SIMULATED))
    if not simulated or simulated_s is None or project_call_s is None:
        return TargetFigures(ranking, limit_ns, None)
    return TargetFigures(ranking, limit_ns, project_call_s, simulated_s)

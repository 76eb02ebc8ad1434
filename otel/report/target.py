"""A run beside its target: is it inside, would mending bring it there, what stands in the way.

Where latencies were simulated, the target is compared with the run as it would be at the real
latency of an LLM call: the same rule as the gate's, on the serial chain of the run played again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from trading_graph.otel.diagnosis import Action, Diagnosis, simulate
from trading_graph.otel.report.durations import brief, limit
from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.kinds import Role
from trading_graph.otel.verdict.chain import serial_chain


class Standing(StrEnum):
    """Where a run stands with its target."""

    INSIDE = "inside"
    IN_REACH = "in reach"
    OUT_OF_REACH = "out of reach"


@dataclass(frozen=True, slots=True)
class Chain:
    """LLM calls of which each waited for the one before it, and what they take in all."""

    calls: int
    total_ns: int

    @property
    def each_ns(self) -> float:
        """What one of them takes."""
        return self.total_ns / self.calls if self.calls else 0.0


@dataclass(frozen=True)
class Target:
    """A diagnosed run and the time that it may take.

    `call_s` is the latency of an LLM call that simulated runs are projected to; None where nothing
    is projected, because latencies were real or are not known.
    """

    diagnosis: Diagnosis
    limit_ns: int
    call_s: float | None
    simulated_s: float = 0.0

    @cached_property
    def now_ns(self) -> int:
        """What the run takes, in the target's terms."""
        return self._projected(self.diagnosis.wall_ns, ())

    @cached_property
    def after_ns(self) -> tuple[int, ...]:
        """What it takes once each step is made on top of those before it."""
        steps = self.diagnosis.steps
        return tuple(
            self._projected(
                step.wall.likely_ns,
                [action for each in steps[: number + 1] for action in each.finding.actions],
            )
            for number, step in enumerate(steps)
        )

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
    def chain(self) -> Chain:
        """The serial LLM calls of the run with everything mended, in the target's terms."""
        found = self._chain(*self.predicted)
        return Chain(found.calls, found.total_ns + self._added_ns(found))

    @cached_property
    def predicted(self) -> tuple[list[int], list[int]]:
        """Start and end of every span by row, with everything mended, on the run's own clock."""
        return self.diagnosis.mended().times()

    def _projected(self, wall_ns: int, actions: Sequence[Action]) -> int:
        if self.call_s is None:
            return wall_ns
        return wall_ns + self._added_ns(
            self._chain(*simulate(self.diagnosis.schedule, actions).times())
        )

    def _added_ns(self, chain: Chain) -> int:
        if self.call_s is None:
            return 0
        return int(chain.calls * (self.call_s - self.simulated_s) * 1e9)

    def _chain(self, start: Sequence[int], end: Sequence[int]) -> Chain:
        trace = self.diagnosis.trace
        calls = [
            row
            for row in self.diagnosis.schedule.tree.rows
            # A call that a change leaves out takes no time, and is none.
            if trace.roles[row] is Role.LLM and end[row] > start[row]
        ]
        moved = replace(trace, start=np.array(start, np.int64), end=np.array(end, np.int64))
        chain = serial_chain(moved, calls)
        return Chain(len(chain), sum(end[row] - start[row] for row in chain))


def target(diagnosis: Diagnosis, limit_s: float, project_call_s: float | None) -> Target:
    """A diagnosed run beside a limit in seconds; projected where its latencies were simulated."""
    trace, run = diagnosis.trace, diagnosis.run
    simulated_s = trace.number(run, semconv.LATENCY_CHAT_S)
    simulated = bool(trace.attributes(run).get(semconv.LATENCY_SIMULATED))
    if not simulated or simulated_s is None or project_call_s is None:
        return Target(diagnosis, int(limit_s * 1e9), None)
    return Target(diagnosis, int(limit_s * 1e9), project_call_s, simulated_s)


def headline(found: Target) -> str:
    """Where the run stands, in one short sentence."""
    allowed = limit(found.limit_ns)
    if found.standing is Standing.INSIDE:
        return f"The run keeps its target: {brief(found.now_ns)} of {allowed}."
    return (
        f"The run takes {brief(found.now_ns)}, {found.now_ns / found.limit_ns:.1f} times its "
        f"target of {allowed}."
    )


def outlook(found: Target) -> list[str]:
    """What the figures rest on, what mending gives, and what stands in the way; sentences."""
    sentences = []
    wall_ns, steps = found.diagnosis.wall_ns, found.diagnosis.steps
    if found.call_s is not None:
        sentences.append(
            f"Latencies are simulated: the run took {brief(wall_ns)} with {found.simulated_s:g} s "
            f"an LLM call; the target is compared with {found.call_s:g} s a call."
        )
    least = brief(found.least_ns)
    if not steps:
        sentences.append("No change was found that would make it faster.")
    elif found.standing is Standing.IN_REACH:
        needed = found.steps_needed
        first = "The first fix brings" if needed == 1 else f"The first {needed} fixes bring"
        sentences.append(f"{first} it inside: {brief(found.after_ns[needed - 1])}.")
        if needed < len(steps):
            sentences.append(f"All {len(steps)} together give {least}.")
    else:
        all_fixes = "the one fix" if len(steps) == 1 else f"all {len(steps)} fixes"
        sentences.append(f"With {all_fixes} made it takes {least}.")
    if found.standing is Standing.OUT_OF_REACH:
        sentences += _in_the_way(found)
    return sentences


def _in_the_way(found: Target) -> list[str]:
    chain = found.chain
    sentences = [f"No fix that this trace shows reaches {limit(found.limit_ns)}."]
    if chain.calls and chain.total_ns > found.limit_ns / 2:
        sentences.append(
            f"What stands in the way is the serial chain of LLM calls: {chain.calls} calls x "
            f"{brief(chain.each_ns)} = {brief(chain.total_ns)}. Only fewer calls in series, or a "
            "faster model, shorten it; more parallelism does not."
        )
    else:
        path = found.diagnosis.path.by_name
        most = next(iter(path))
        sentences.append(
            f"Most of the time goes into {most} ({brief(path[most])} of the critical path); that "
            "has to become faster itself."
        )
    return sentences

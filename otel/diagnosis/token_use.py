"""LLM calls and tokens on both sides of a comparison, in total and by agent and node."""

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from trading_graph.otel.diagnosis.call_path import RunMeasures
from trading_graph.otel.verdict.agents import LlmUse

_NONE = LlmUse(0, 0.0, None, None)


class UseSide(msgspec.Struct, frozen=True):
    """LLM calls and tokens on one side: medians over the runs; None where none are recorded."""

    llm_calls: float
    input_tokens: float | None
    output_tokens: float | None


class UseChange(msgspec.Struct, frozen=True):
    """LLM calls and tokens on both sides: those of whole runs, or of one agent or node.

    The name is None for whole runs, and for the LLM calls outside of every agent.
    """

    name: str | None
    base: UseSide
    new: UseSide

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return self.base != self.new


def use_change(base: Sequence[RunMeasures], new: Sequence[RunMeasures]) -> UseChange:
    """The LLM calls and tokens of whole runs."""
    return UseChange(None, *(_side([run.use.llm for run in side]) for side in (base, new)))


def agent_changes(base: Sequence[RunMeasures], new: Sequence[RunMeasures]) -> tuple[UseChange, ...]:
    """The agents and nodes whose LLM calls or tokens differ, the greatest of the baseline first."""
    sides = [
        [{agent.name: agent.llm for agent in run.use.agents} for run in side]
        for side in (base, new)
    ]
    names = dict.fromkeys(name for side in sides for run in side for name in run)
    changes = [
        UseChange(name, *(_side([run.get(name, _NONE) for run in side]) for side in sides))
        for name in names
    ]
    return tuple([each for each in changes if each.changed])


def _side(runs: Sequence[LlmUse]) -> UseSide:
    return UseSide(
        llm_calls=median(each.calls for each in runs),
        input_tokens=_middle(each.input_tokens for each in runs),
        output_tokens=_middle(each.output_tokens for each in runs),
    )


def _middle(values: Iterable[int | None]) -> float | None:
    """The median of those that are recorded."""
    given = [value for value in values if value is not None]
    return median(given) if given else None

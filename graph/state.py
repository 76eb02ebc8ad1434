"""What flows through the graph, and how it merges what parallel branches return.

Lists grow by concatenation only: nothing is de-duplicated by content, and no branch mutates its
input. Merging follows the order of the branches' dispatch, so a run's state is deterministic.
"""

import operator
from dataclasses import dataclass
from typing import Annotated, TypedDict

from trading_graph.graph.decisions import FinalDecision, ResearchPlan, TradeProposal
from trading_graph.toolkit.market_data import PriceLevels


@dataclass(frozen=True, slots=True)
class Report:
    """An analyst's report, or the reason why there is none."""

    agent: str
    text: str
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """The statement of a debater or a risk analyst in a round, counted from 1."""

    agent: str
    round: int
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What one LLM call took: tokens, seconds, and requests (more than one with retries).

    Tokens are those of all its requests. Input from the service's cache and input that was
    written there are parts of the input, reasoning is one of the output. `uncounted` requests were
    answered, and the service did not say what they took.
    """

    agent: str
    model: str
    input_tokens: int
    output_tokens: int
    seconds: float
    requests: int = 1
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    uncounted: int = 0


def _first(earlier: str, later: str) -> str:
    return earlier or later


class State(TypedDict, total=False):
    """The graph's channels.

    `dispatcher` is the traceparent of the latest dispatcher's span. `budget_reached` is the limit
    of the run's budget that was reached first, and empty until then. `undecided` are the deciding
    agents that brought no usable answer.
    """

    dispatcher: str
    reports: Annotated[list[Report], operator.add]
    debate_round: int
    statements: Annotated[list[Statement], operator.add]
    plan: ResearchPlan
    levels: PriceLevels
    proposal: TradeProposal
    risk_round: int
    opinions: Annotated[list[Statement], operator.add]
    decision: FinalDecision
    undecided: Annotated[list[str], operator.add]
    warnings: Annotated[list[str], operator.add]
    usage: Annotated[list[Usage], operator.add]
    budget_reached: Annotated[str, _first]

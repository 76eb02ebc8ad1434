"""What flows through the graph, and how it merges what parallel branches return.

Lists grow by concatenation only: nothing is de-duplicated by content, and no branch mutates its
input. Merging follows the order of the branches' dispatch, so a run's state is deterministic.
"""

import operator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypedDict

from trading_graph.graph.decisions import FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.holdings import Valuation
from trading_graph.toolkit.market_data import PriceLevels
from trading_graph.toolkit.source_use import SourceUse


class Evidence(StrEnum):
    """On what data about the run's symbol a report stands."""

    BESIDE_PRICES = "beside_prices"
    """On more than prices: statements, filings, headlines, posts."""
    PRICES = "prices"
    """On nothing but prices and volume."""
    NONE = "none"
    """On nothing, although there could be something."""
    NOT_APPLICABLE = "not_applicable"
    """On nothing, because by nature there is nothing: a currency has no statements."""


@dataclass(frozen=True, slots=True)
class Report:
    """An analyst's report and what it stands on, or the reason why there is none."""

    agent: str
    text: str
    missing: bool = False
    evidence: Evidence = Evidence.BESIDE_PRICES

    @property
    def is_gap(self) -> bool:
        """Whether evidence is missing here: no report, or one without data."""
        return self.missing or self.evidence is Evidence.NONE

    @property
    def has_data(self) -> bool:
        """Whether the report is there and stands on data."""
        return not self.is_gap and self.evidence is not Evidence.NOT_APPLICABLE


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
    agents that brought no usable answer. `valuation` is there where somebody said what is held.
    `substitutes` says where a source served in the place of the preferred one. `gaps` says what
    no source had or had only of old. `sources` are the answers that reports and levels rest on.
    """

    dispatcher: str
    reports: Annotated[list[Report], operator.add]
    debate_round: int
    statements: Annotated[list[Statement], operator.add]
    plan: ResearchPlan
    levels: PriceLevels
    valuation: Valuation
    proposal: TradeProposal
    risk_round: int
    opinions: Annotated[list[Statement], operator.add]
    decision: FinalDecision
    undecided: Annotated[list[str], operator.add]
    warnings: Annotated[list[str], operator.add]
    substitutes: Annotated[list[str], operator.add]
    gaps: Annotated[list[str], operator.add]
    sources: Annotated[list[SourceUse], operator.add]
    usage: Annotated[list[Usage], operator.add]
    budget_reached: Annotated[str, _first]

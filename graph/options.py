"""What one analysis does and what it may spend: the options of a run.

This module is light: the command line and the settings import it before anything heavy, and in
installations without langgraph.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from trading_graph.graph.holdings import Holdings
from trading_graph.graph.languages import Language
from trading_graph.toolkit.as_of import AsOf

ANALYSTS = ("market_analyst", "social_analyst", "news_analyst", "fundamentals_analyst")
DEBATERS = ("bull_researcher", "bear_researcher")
RISK_ANALYSTS = (
    "aggressive_risk_analyst",
    "neutral_risk_analyst",
    "conservative_risk_analyst",
)
DECIDERS = ("research_manager", "trader", "risk_judge")

_NumberT = TypeVar("_NumberT", int, float)


class Order(StrEnum):
    """Whether independent work runs at once; `sequential` rebuilds the slow program."""

    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"


class Debate(StrEnum):
    """Whether both sides of a debate round write at once or take turns."""

    PARALLEL = "parallel"
    SERIAL = "serial"


class Limit(StrEnum):
    """One of the three limits of a run's budget."""

    SECONDS = "seconds"
    LLM_CALLS = "llm_calls"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a run may spend; None means no limit.

    `llm_calls` counts requests, so every retry counts; `tokens` counts input and output tokens.
    """

    seconds: float | None = None
    llm_calls: int | None = None
    tokens: int | None = None

    def within(self, other: "Budget") -> "Budget":
        """The smaller of both budgets, limit by limit."""
        return Budget(
            seconds=_smaller(self.seconds, other.seconds),
            llm_calls=_smaller(self.llm_calls, other.llm_calls),
            tokens=_smaller(self.tokens, other.tokens),
        )

    def sentence(self, limit: Limit) -> str:
        """The sentence that says that a limit is reached, and how to raise it."""
        match limit:
            case Limit.SECONDS:
                unit, maximum, flag = "seconds", self.seconds, "--max-seconds"
            case Limit.LLM_CALLS:
                unit, maximum, flag = "LLM calls", self.llm_calls, "--max-calls"
            case Limit.TOKENS:
                unit, maximum, flag = "tokens", self.tokens, "--max-tokens"
        # A resumed run may lack the limit that its earlier process reached.
        number = "" if maximum is None else f" ({maximum})"
        return f"the run's budget of {unit}{number} is reached; raise {flag}."


def _smaller(one: _NumberT | None, other: _NumberT | None) -> _NumberT | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


@dataclass(frozen=True, slots=True)
class Options:
    """One analysis: what to analyse, with which agents, in which order.

    `agent_budget_s` limits the time of one agent, retries included, but not the time that it waits
    in the line of a service that serves others; `budget` limits the whole run. `prefetch` fetches
    the analysts' data during their first turn, and needs the cache. `holdings` are what is held.
    `language` is what the agents are asked to write in; None leaves it to the model.
    """

    symbol: str
    as_of: AsOf
    analysts: tuple[str, ...] = ANALYSTS
    analyst_turns: int = 2
    debate: Debate = Debate.PARALLEL
    debate_rounds: int = 1
    risk_rounds: int = 1
    dispatch: Order = Order.PARALLEL
    tools: Order = Order.PARALLEL
    agent_budget_s: float = 300.0
    prefetch: bool = False
    budget: Budget = field(default_factory=Budget)
    holdings: Holdings = field(default_factory=Holdings)
    language: Language | None = None

    @property
    def expected_chain(self) -> int:
        """The number of LLM calls that must follow each other in a fully parallel run.

        `dispatch` does not change it: a run with sequential dispatch exceeds it, and so fails its
        check.
        """
        debate = self.debate_rounds * (2 if self.debate is Debate.SERIAL else 1)
        manager = trader = judge = 1
        return self.analyst_turns + debate + manager + trader + self.risk_rounds + judge

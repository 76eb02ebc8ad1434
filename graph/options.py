"""What one analysis is asked to do, and the chain of LLM calls that follows from it."""

from dataclasses import dataclass, field
from enum import StrEnum

from trading_graph.graph.budget import Budget
from trading_graph.toolkit.as_of import AsOf

ANALYSTS = ("market_analyst", "social_analyst", "news_analyst", "fundamentals_analyst")
DEBATERS = ("bull_researcher", "bear_researcher")
RISK_ANALYSTS = (
    "aggressive_risk_analyst",
    "neutral_risk_analyst",
    "conservative_risk_analyst",
)
DECIDERS = ("research_manager", "trader", "risk_judge")


class Order(StrEnum):
    """Whether work that could run at once does so; `sequential` rebuilds the slow program."""

    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"


class Debate(StrEnum):
    """Whether both sides of a round write at once or take turns."""

    PARALLEL = "parallel"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class Options:
    """One analysis: what to analyse, with whom, in which order.

    `agent_budget_s` is the total time of one agent, its retries included; `budget` is the whole
    run's. `prefetch` fetches what the analysts will ask for while they are in their first turn; it
    needs the cache.
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
    agent_budget_s: float = 90.0
    prefetch: bool = False
    budget: Budget = field(default_factory=Budget)

    @property
    def expected_chain(self) -> int:
        """How many LLM calls follow each other when everything that can run at once does.

        `dispatch` does not change it: a run that dispatches one by one exceeds it, and fails its
        check.
        """
        debate = self.debate_rounds * (2 if self.debate is Debate.SERIAL else 1)
        manager = trader = judge = 1
        return self.analyst_turns + debate + manager + trader + self.risk_rounds + judge

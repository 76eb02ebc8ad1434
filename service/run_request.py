"""What a run is asked to do, as it crosses an edge: the command line, HTTP, a file."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from trading_graph.graph.options import Budget, Debate, Options, Order
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.symbols import parse_symbol

Analyst = Literal["market", "social", "news", "fundamentals"]
_ALL: tuple[Analyst, ...] = ("market", "social", "news", "fundamentals")


class RunRequest(BaseModel):
    """One analysis to be made; without a date, of the last day that the data is sure to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: Annotated[str, Field(min_length=1, max_length=64, examples=["NVDA"])]
    date: Annotated[str | None, Field(max_length=32, examples=["2025-11-14"])] = None
    analysts: Annotated[tuple[Analyst, ...], Field(min_length=1, max_length=4)] = _ALL
    analyst_turns: Annotated[int, Field(ge=2, le=8)] = 2
    debate: Literal["parallel", "serial"] = "parallel"
    debate_rounds: Annotated[int, Field(ge=1, le=5)] = 1
    risk_rounds: Annotated[int, Field(ge=1, le=5)] = 1
    dispatch: Literal["parallel", "sequential"] = "parallel"
    tools: Literal["parallel", "sequential"] = "parallel"
    agent_budget: Annotated[
        float, Field(ge=1, le=3600, description="Seconds of one agent, its retries included.")
    ] = 90.0
    prefetch: bool = False
    max_seconds: Annotated[
        float | None, Field(gt=0, description="Budget of the run; docs/budgets.md.")
    ] = None
    max_calls: Annotated[int | None, Field(ge=1, description="Budget of LLM calls.")] = None
    max_tokens: Annotated[int | None, Field(ge=1, description="Budget of tokens.")] = None

    def options(self, default_date: str) -> Options:
        """The options of the graph; raises BadSymbolError or BadDateError."""
        return Options(
            symbol=parse_symbol(self.symbol),
            as_of=AsOf.parse(self.date or default_date),
            analysts=tuple(f"{name}_analyst" for name in _ALL if name in self.analysts),
            analyst_turns=self.analyst_turns,
            debate=Debate(self.debate),
            debate_rounds=self.debate_rounds,
            risk_rounds=self.risk_rounds,
            dispatch=Order(self.dispatch),
            tools=Order(self.tools),
            agent_budget_s=self.agent_budget,
            prefetch=self.prefetch,
            budget=Budget(self.max_seconds, self.max_calls, self.max_tokens),
        )

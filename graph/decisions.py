"""The structured answers of the deciding agents, and the decision document of a run.

The research plan, the trade proposal, and the final decision are also the schemas that the model
fills in. So each field's description addresses the model, and each rule that a single answer can
break is checked here. `deciders.py` checks the rules that need market data.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading_graph.graph.options import Limit

Confidence = Annotated[float, Field(ge=0, le=1, description="Probability-like, 0 to 1.")]
Price = Annotated[float, Field(gt=0, description="In the currency of the quote.")]


class Action(StrEnum):
    """What to do with the position."""

    BUY = "BUY"
    HOLD = "HOLD"
    SELL = "SELL"


class _StructuredAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ResearchPlan(_StructuredAnswer):
    """The research manager's ruling on the debate."""

    action: Action = Field(description="BUY, HOLD or SELL.")
    confidence: Confidence
    summary: str = Field(min_length=1, description="Two to four sentences: which side won, why.")
    bull_points: list[str] = Field(description="The bull arguments that held, with figures.")
    bear_points: list[str] = Field(description="The bear arguments that held, with figures.")
    evidence: list[str] = Field(description="The figures relied on, each with its source tool.")


class _Trade(_StructuredAnswer):
    action: Action = Field(description="BUY, HOLD or SELL.")
    confidence: Confidence
    horizon_days: int = Field(ge=1, le=365, description="Intended holding time in calendar days.")
    entry: Price
    stop: Price = Field(
        description="Exit at a loss: below the entry to BUY or HOLD, above to SELL."
    )
    target: Price = Field(description="Exit at a gain: above the entry to BUY or HOLD, else below.")
    position_pct: float = Field(ge=0, le=100, description="Share of the portfolio, in per cent.")
    rationale: str = Field(min_length=1, description="Two to five sentences with figures.")
    evidence: list[str] = Field(description="The figures relied on, each with its source tool.")

    @model_validator(mode="after")
    def _stop_and_target_on_their_sides(self) -> Self:
        low, high = (
            (self.target, self.stop) if self.action is Action.SELL else (self.stop, self.target)
        )
        if not low < self.entry < high:
            expected = (
                "target < entry < stop to SELL"
                if self.action is Action.SELL
                else f"stop < entry < target to {self.action}"
            )
            raise ValueError(
                f"entry {self.entry}, stop {self.stop} and target {self.target} contradict the "
                f"action: expected {expected}"
            )
        return self


class TradeProposal(_Trade):
    """The trader's proposal, before the risk team has seen it."""


class FinalDecision(_Trade):
    """The risk judge's decision, with the risk team's objections weighed."""

    risks: list[str] = Field(description="The objections of the risk team that stand.")


class Decision(BaseModel):
    """The result of a run: the final decision and everything needed to audit it.

    `degraded` is true when a report is missing or a limit was reached; `warnings` explains each
    case in one sentence. `budget_reached` is the limit that stopped further model calls, if any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    run_id: str
    trace_id: str | None
    symbol: str
    as_of: date
    session: date | None = Field(description="The last session whose bars served.")
    decision: FinalDecision
    plan: ResearchPlan
    proposal: TradeProposal
    degraded: bool
    missing_reports: list[str]
    warnings: list[str]
    budget_reached: Limit | None = None
    model: str
    data: str
    simulated_latency: bool

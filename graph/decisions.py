"""The structured answers of the deciding agents, and the decision document of a run.

The research plan, the trade proposal, and the final decision are also the schemas that the model
fills in. So each field's description addresses the model, each value is read as models write it,
and each rule that a single answer can break is checked here. `deciders.py` checks the rules that
need market data.
"""

from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from trading_graph.graph.decision_values import (
    read_action,
    read_confidence,
    read_days,
    read_per_cent,
    read_price,
    read_text,
    read_texts,
)
from trading_graph.graph.options import Limit
from trading_graph.graph.price_text import money_text
from trading_graph.graph.sizing import TradeOrder
from trading_graph.toolkit.source_use import SourceUse


class Action(StrEnum):
    """What to do with the position."""

    BUY = "BUY"
    HOLD = "HOLD"
    SELL = "SELL"
    """Sell what is held, or do not hold it; never a short sale."""


UNKNOWN_STAYS = "Nobody said what is held; a position, if there is one, stays."
"""What a HOLD means where nobody said what is held."""

Ruling = Annotated[Action, BeforeValidator(read_action)]
Confidence = Annotated[
    float,
    Field(ge=0, le=1, description="Probability-like, 0 to 1."),
    BeforeValidator(read_confidence),
]
Price = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(read_price)]
Days = Annotated[Annotated[int, Field(ge=1, le=365)] | None, BeforeValidator(read_days)]
PerCent = Annotated[Annotated[float, Field(ge=0, le=100)] | None, BeforeValidator(read_per_cent)]
Text = Annotated[str, Field(min_length=1), BeforeValidator(read_text)]
Texts = Annotated[list[str], BeforeValidator(read_texts)]

MAY_BE_LEFT_OUT = frozenset(
    (
        "bull_points",
        "bear_points",
        "evidence",
        "horizon_days",
        "entry",
        "stop",
        "target",
        "position_pct",
        "sell_pct",
    )
)
"""What a model's answer may lack: lists are then empty, and what a HOLD need not say is null.

Not the risks: without them a trader's proposal that is quoted would read as the judge's decision.
"""


class DecidedBy(StrEnum):
    """Who made a run's decision."""

    MODEL = "model"
    RULE = "rule"
    """A rule: the model's BUY stood on prices alone, and a HOLD is handed out in its place."""
    NOBODY = "nobody"
    """No model: the HOLD stands by rule, because a deciding agent brought no usable answer."""


class _StructuredAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ResearchPlan(_StructuredAnswer):
    """The research manager's ruling on the debate."""

    action: Ruling = Field(description="BUY, HOLD or SELL.")
    confidence: Confidence
    summary: Text = Field(description="Two to four sentences: which side won, why.")
    bull_points: Texts = Field(description="The bull arguments that held, with figures.")
    bear_points: Texts = Field(description="The bear arguments that held, with figures.")
    evidence: Texts = Field(description="The figures relied on, each with its source tool.")


class _Trade(_StructuredAnswer):
    action: Ruling = Field(description="BUY, HOLD or SELL.")
    confidence: Confidence
    horizon_days: Days = Field(
        description="Intended holding time in calendar days, 1 to 365; null only for a HOLD."
    )
    entry: Price = Field(description="In the currency of the quote; null only for a HOLD.")
    stop: Price = Field(
        description="Exit at a loss: below the entry to BUY or HOLD, above to SELL; null only for "
        "a HOLD."
    )
    target: Price = Field(
        description="Exit at a gain: above the entry to BUY or HOLD, else below; null only for a "
        "HOLD."
    )
    position_pct: PerCent = Field(
        description="Share of the portfolio that the whole position is to have, what is held "
        "included, in per cent; null for a SELL or a HOLD."
    )
    sell_pct: PerCent = Field(
        default=None,
        description="Of a SELL: the share of the holding to sell, in per cent; null for all of it.",
    )
    rationale: Text = Field(description="Two to five sentences with figures.")
    evidence: Texts = Field(description="The figures relied on, each with its source tool.")

    def terms(self, currency: str) -> str:
        """The trade in one line, such as "BUY at 272.41 USD, stop 262.8 USD, target 298.5 USD"."""
        prices = ((" at", self.entry), (", stop", self.stop), (", target", self.target))
        parts = [
            f"{name} {money_text(price, currency)}" for name, price in prices if price is not None
        ]
        if self.position_pct is not None:
            parts.append(f", {self.position_pct:g} % of the portfolio")
        if self.sell_pct is not None:
            parts.append(f", {self.sell_pct:g} % of the holding")
        return self.action + "".join(parts)

    @field_validator("position_pct")
    @classmethod
    def _is_of_a_purchase(cls, share: float | None, info: ValidationInfo) -> float | None:
        """A SELL and a HOLD open no position, whatever size a model gives them."""
        return share if info.data.get("action") not in (Action.SELL, Action.HOLD) else None

    @field_validator("sell_pct")
    @classmethod
    def _is_of_a_sale(cls, part: float | None, info: ValidationInfo) -> float | None:
        """Models fill in a 0 where nothing is sold."""
        if info.data.get("action") is not Action.SELL:
            return None
        if part == 0:
            raise ValueError("0 % of a SELL is a HOLD; give more, or the action HOLD")
        return part

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.action is Action.HOLD:
            return self
        names = ["horizon_days", "entry", "stop", "target"]
        names += ["position_pct"] if self.action is Action.BUY else []
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a {self.action} needs {', '.join(missing)}")
        return self

    @model_validator(mode="after")
    def _stop_and_target_on_their_sides(self) -> Self:
        names = (
            ("target", "entry", "stop")
            if self.action is Action.SELL
            else ("stop", "entry", "target")
        )
        prices = [price for name in names if (price := getattr(self, name)) is not None]
        if any(low >= high for low, high in pairwise(prices)):
            raise ValueError(
                f"entry {self.entry}, stop {self.stop} and target {self.target} contradict the "
                f"action: expected {' < '.join(names)} to {self.action}"
            )
        return self


class TradeProposal(_Trade):
    """The trader's proposal, before the risk team has seen it."""


class FinalDecision(_Trade):
    """The risk judge's decision, with the risk team's objections weighed."""

    risks: Texts = Field(description="The objections of the risk team that stand.")


class ConfidenceBasis(BaseModel):
    """How the decision's confidence follows from the model's: docs/decisions.md has the rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stated: float = Field(description="The confidence before reports without data counted.")
    reports_with_data: int
    reports_expected: int = Field(description="The reports that could have data.")

    @property
    def confidence(self) -> float:
        """The confidence that the reports with data leave, with two decimals."""
        share = self.reports_with_data / self.reports_expected if self.reports_expected else 0.0
        return round(self.stated * share, 2)


class Decision(BaseModel):
    """The result of a run: the final decision and everything needed to audit it.

    `degraded` is true when a report is missing or has no data, a source failed or gave wrong
    numbers, a limit was reached, or a deciding agent brought no usable answer; `warnings` explains
    each case in one sentence. `notes` say what a reader must know and nothing is wrong with.
    `budget_reached` is the limit that stopped further model calls, if any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    run_id: str
    trace_id: str | None
    symbol: str
    as_of: date
    session: date | None = Field(description="The last session whose bars served.")
    currency: str = Field(
        default="",
        description="Of entry, stop and target, as the source of prices names it; empty: it names "
        "none.",
    )
    name: str = Field(default="", description="What the source of prices calls it, as of today.")
    instrument: str = Field(default="", description="What the symbol is, such as share or fund.")
    benchmark: str = Field(default="", description="The index of its market; empty: it has none.")
    decision: FinalDecision
    decided_by: DecidedBy = Field(
        default=DecidedBy.MODEL,
        description="Rule and nobody: a HOLD by rule, not the ruling of a model.",
    )
    undecided: list[str] = Field(
        default_factory=list,
        description="The deciding agents in whose place a rule stands; `warnings` says why.",
    )
    plan: ResearchPlan
    proposal: TradeProposal
    degraded: bool
    missing_reports: list[str]
    reports_without_data: list[str] = Field(
        default_factory=list,
        description="The analysts whose report is there and stands on no data of the symbol.",
    )
    confidence_basis: ConfidenceBasis | None = None
    order: TradeOrder | None = Field(
        default=None,
        description="What the decision does with the holding; null where nobody said what is held.",
    )
    warnings: list[str]
    notes: list[str] = Field(default_factory=list)
    sources: list[SourceUse] = Field(
        default_factory=list, description="The answers that served, by kind of data."
    )
    budget_reached: Limit | None = None
    language: str = Field(
        default="", description="BCP 47 tag of what a real model was asked to write in, if it was."
    )
    model: str
    data: str
    simulated_latency: bool

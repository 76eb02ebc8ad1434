"""What stands for a decision that no model could make, because the run's budget was reached.

Rules that risk nothing: no opinion, no trade, the position stays as it is. A proposal that the risk
judge has not decided on is quoted and never handed out.
"""

from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.spending import Spending
from trading_graph.toolkit.market_data import PriceLevels

_MARGIN = 0.05
_PRICES = (
    f"The prices are the last close and {_MARGIN * 100:g} % to either side of it; "
    "they propose nothing."
)


def plan(reason: str) -> ResearchPlan:
    """The plan of a run whose research manager was not asked."""
    return ResearchPlan(
        action=Action.HOLD,
        confidence=0,
        summary=f"Nobody ruled on the debate. {reason}",
        bull_points=[],
        bear_points=[],
        evidence=[],
    )


def proposal(levels: PriceLevels, reason: str) -> TradeProposal:
    """The proposal of a run whose trader was not asked."""
    return TradeProposal(
        action=Action.HOLD,
        confidence=0,
        horizon_days=1,
        **_prices(levels),
        position_pct=0,
        rationale=f"No trade was proposed. {reason} {_PRICES}",
        evidence=[],
    )


def decision(
    proposed: TradeProposal, levels: PriceLevels, spending: Spending, reason: str
) -> FinalDecision:
    """The decision of a run whose risk judge was not asked, or not to the end."""
    refused = spending.refused
    return FinalDecision(
        action=Action.HOLD,
        confidence=0,
        horizon_days=1,
        **_prices(levels),
        position_pct=0,
        rationale=(
            f"Nobody decided, so the position stays as it is. {reason} The budget was reached at "
            f"{refused[0]}; without an answer stayed {', '.join(refused)}. "
            f"{unreviewed(proposed, spending) or 'No trade was proposed.'} {_PRICES}"
        ),
        evidence=[],
        risks=["The risk judge has weighed neither the proposal nor the risk team's opinions."],
    )


def unreviewed(proposed: TradeProposal, spending: Spending) -> str | None:
    """The trader's proposal in one sentence that says what it is not, if the trader made one."""
    if "trader" in spending.refused:
        return None
    return (
        f"The trader's proposal was not decided on and is not handed out: {proposed.action} at "
        f"{proposed.entry:g}, stop {proposed.stop:g}, target {proposed.target:g}, "
        f"{proposed.position_pct:g} % of the portfolio, confidence {proposed.confidence:.2f}."
    )


def _prices(levels: PriceLevels) -> dict[str, float]:
    entry = levels.close
    # To six digits, not to cents: those of a share that costs less than a cent must differ too.
    low, high = (float(f"{entry * factor:.6g}") for factor in (1 - _MARGIN, 1 + _MARGIN))
    return {"entry": entry, "stop": low, "target": high}

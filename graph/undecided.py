"""What stands in the place of a deciding agent's answer that is not there, or not handed out.

A rule that risks nothing: no opinion, no trade, an unchanged position. None of it has levels, since
nobody set any. A proposal that the risk judge has not decided on is quoted in a warning and never
handed out.
"""

from collections.abc import Sequence
from typing import Any

from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.options import DECIDERS
from trading_graph.graph.price_text import money_text
from trading_graph.graph.state import State
from trading_graph.toolkit.market_data import PriceLevels


def no_plan(reason: str) -> ResearchPlan:
    """The plan where nobody ruled."""
    return ResearchPlan(
        action=Action.HOLD,
        confidence=0,
        summary=f"Nobody ruled on the debate. {reason}",
        bull_points=[],
        bear_points=[],
        evidence=[],
    )


def no_proposal(reason: str) -> TradeProposal:
    """The proposal where nobody made one."""
    return TradeProposal(**_no_trade(), rationale=f"No trade was proposed. {reason}")


def no_decision(reason: str, quotation: str | None, levels: PriceLevels | None) -> FinalDecision:
    """The decision where nobody decided; `quotation` is the proposal that was not reviewed."""
    sentences = [
        "No model decided, so the position stays as it is.",
        reason,
        quotation or "No trade was proposed.",
    ]
    if levels is not None:
        sentences.append(
            f"The last close is {money_text(levels.close, levels.currency)}, of {levels.session}."
        )
    return FinalDecision(
        **_no_trade(),
        rationale=" ".join(sentences),
        risks=["The risk judge has weighed neither the proposal nor the risk team's opinions."],
    )


def no_buy(decision: FinalDecision, reason: str) -> FinalDecision:
    """The decision in the place of a BUY that a rule does not hand out; its risks stay."""
    return FinalDecision(
        **_no_trade(),
        rationale=f"The position stays as it is. {reason}",
        risks=decision.risks,
    )


def quote_proposal(
    proposal: TradeProposal | None, undecided: Sequence[str], currency: str
) -> str | None:
    """The trader's own proposal in one sentence that says what it is not; None without one."""
    if proposal is None or "trader" in undecided:
        return None
    return (
        f"The trader's proposal was not decided on and is not handed out: "
        f"{proposal.terms(currency)}, "
        f"confidence {proposal.confidence:.2f}."
    )


def complete_state(state: State) -> State:
    """The state with a rule in the place of each deciding agent that was not asked any more."""
    undecided = state.get("undecided", [])
    if not undecided:
        return state
    # The last agent that was asked said why it brought nothing.
    reason = state["warnings"][-1]
    state = {**state}
    state.setdefault("plan", no_plan(reason))
    state.setdefault("proposal", no_proposal(reason))
    if "decision" not in state:
        state["decision"] = no_decision(reason, None, state.get("levels"))
        state["undecided"] = [*undecided, *DECIDERS[DECIDERS.index(undecided[-1]) + 1 :]]
    return state


def _no_trade() -> dict[str, Any]:
    """The fields of a trade that changes nothing."""
    return {
        "action": Action.HOLD,
        "confidence": 0,
        "horizon_days": None,
        "entry": None,
        "stop": None,
        "target": None,
        # Not 0: whoever holds something is not told to sell it.
        "position_pct": None,
        "evidence": [],
    }

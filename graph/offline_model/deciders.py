"""The deciding agents: research manager, trader and risk judge, each with a structured answer."""

from pydantic import BaseModel

from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import Conversation
from trading_graph.graph.offline_model.figures import clamp, quote
from trading_graph.graph.offline_model.proposals import read_plan, read_proposal
from trading_graph.graph.offline_model.report import (
    ReadReport,
    arguments,
    missing_sentences,
    read_reports,
    weighted_score,
)
from trading_graph.graph.offline_model.researchers import read_conviction
from trading_graph.graph.offline_model.risk_team import standing_objections
from trading_graph.graph.offline_model.trade_levels import (
    position_pct,
    read_price_levels,
    trade_levels,
)

_WINNER = {
    Action.BUY: "The bull side",
    Action.SELL: "The bear side",
    Action.HOLD: "Neither side",
}


def decide(conversation: Conversation) -> BaseModel:
    """The structured answer of the deciding agent."""
    if conversation.agent == "research_manager":
        return rule_on_the_debate(conversation)
    if conversation.agent == "trader":
        return propose(conversation)
    return judge(conversation)


def rule_on_the_debate(conversation: Conversation) -> ResearchPlan:
    """The research plan: the weighted score, moved a little by the debate."""
    reports = read_reports(conversation)
    score = weighted_score(reports)
    bull = read_conviction(conversation, "bull_researcher")
    bear = read_conviction(conversation, "bear_researcher")
    if bull is not None and bear is not None:
        score += rules.DEBATE_WEIGHT * (bull - bear)
    action = _action(score)
    good, bad = arguments(reports, good=True), arguments(reports, good=False)
    present = sum(report.missing is None for report in reports)
    sentences = [
        f"{_WINNER[action]} prevails: the weighted score of {present} reports and the debate is "
        f"{score:+.2f}; {rules.BUY_FROM:+g} is needed to buy and {rules.SELL_FROM:+g} to sell.",
        *missing_sentences(reports),
        *_correction(conversation),
    ]
    return ResearchPlan(
        action=action,
        confidence=round(plan_confidence(action, score, reports), 2),
        summary=" ".join(sentences),
        bull_points=good,
        bear_points=bad,
        evidence=[*good, *bad],
    )


def _action(score: float) -> Action:
    if score >= rules.BUY_FROM:
        return Action.BUY
    return Action.SELL if score <= rules.SELL_FROM else Action.HOLD


def plan_confidence(action: Action, score: float, reports: list[ReadReport]) -> float:
    """Confidence from the strength of the score, the reports' agreement, and what is missing."""
    present = [report for report in reports if report.missing is None]
    strength = 0.0
    if present and action is Action.HOLD:
        strength = 1 - abs(score) / rules.BUY_FROM
    elif present:
        strength = min(1.0, abs(score) / rules.STRONG_SCORE)
    weighed = [rules.ANALYST_WEIGHTS[report.agent] * report.score for report in present]
    size = sum(map(abs, weighed))
    agreement = abs(sum(weighed)) / size if size else 0.0
    value = (
        rules.CONFIDENCE_BASE
        + rules.CONFIDENCE_STRENGTH * strength
        + rules.CONFIDENCE_AGREEMENT * agreement
        - rules.CONFIDENCE_MISSING * (len(reports) - len(present))
    )
    return clamp(value, rules.CONFIDENCE_LOW, rules.CONFIDENCE_HIGH)


def propose(conversation: Conversation) -> TradeProposal:
    """The trade proposal: the plan, priced from the last session's levels."""
    plan, levels = read_plan(conversation), read_price_levels(conversation)
    trade = trade_levels(plan.action, levels, plan.confidence)
    size = position_pct(plan.action, levels, trade, plan.confidence)
    sentences = [
        f"The plan is to {plan.action} with a confidence of {plan.confidence:.2f}.",
        f"Entry at the close of {quote(trade.entry)}, stop at {quote(trade.stop)} and target at "
        f"{quote(trade.target)}, measured by the ATR of {quote(levels.atr)}.",
        f"At the stop the position of {size:.2f} % loses no more than {rules.RISK_BUDGET_PCT:g} % "
        "of the portfolio.",
        *missing_sentences(read_reports(conversation)),
        *_correction(conversation),
    ]
    return TradeProposal(
        action=plan.action,
        confidence=plan.confidence,
        horizon_days=rules.HORIZON_DAYS,
        entry=trade.entry,
        stop=trade.stop,
        target=trade.target,
        position_pct=size,
        rationale=" ".join(sentences),
        evidence=plan.evidence,
    )


def judge(conversation: Conversation) -> FinalDecision:
    """The final decision: the proposal at the rules' prices, smaller for what stands against it."""
    proposal, levels = read_proposal(conversation), read_price_levels(conversation)
    standing = standing_objections(conversation)
    many = len(standing) >= rules.OBJECTIONS_TO_HOLD
    action = Action.HOLD if many else proposal.action
    trade = trade_levels(action, levels, proposal.confidence)
    factor = rules.OBJECTION_POSITION_FACTOR ** len(standing)
    size = min(proposal.position_pct, rules.POSITION_CAP_PCT) * factor
    confidence = proposal.confidence - rules.OBJECTION_CONFIDENCE * len(standing)
    missing = missing_sentences(read_reports(conversation))
    fate = "stands" if action is proposal.action else "becomes a HOLD"
    sentences = [
        f"The proposal to {proposal.action} {fate}: entry {quote(trade.entry)}, stop "
        f"{quote(trade.stop)}, target {quote(trade.target)}.",
        _sizing(len(standing), size, proposal),
        *missing,
        *_correction(conversation),
    ]
    return FinalDecision(
        action=action,
        confidence=round(clamp(confidence, rules.CONFIDENCE_LOW, rules.CONFIDENCE_HIGH), 2),
        horizon_days=proposal.horizon_days,
        entry=trade.entry,
        stop=trade.stop,
        target=trade.target,
        position_pct=round(size, 2),
        rationale=" ".join(sentences),
        evidence=proposal.evidence,
        risks=[*standing, *missing],
    )


def _sizing(standing: int, size: float, proposal: TradeProposal) -> str:
    if not standing:
        return f"No objection of the risk team stands; the position is {size:.2f} %."
    return (
        f"Objections of the risk team that stand: {standing}; the position is {size:.2f} % of the "
        f"portfolio instead of {proposal.position_pct:.2f} %."
    )


def _correction(conversation: Conversation) -> list[str]:
    problem = conversation.problem
    return [] if problem is None else [f"This corrects the first answer: {problem.rstrip('.')}."]

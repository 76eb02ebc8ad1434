"""The deciding agents: research manager, trader, and risk judge, each with a structured answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from trading_graph.graph.decisions import (
    UNKNOWN_STAYS,
    Action,
    FinalDecision,
    ResearchPlan,
    TradeProposal,
)
from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import (
    Conversation,
    PromptHolding,
    PromptLevels,
    read_holding,
    read_past_decisions,
    read_plan,
    read_price_levels,
    read_proposal,
)
from trading_graph.graph.offline_model.discussions import read_conviction, standing_objections
from trading_graph.graph.offline_model.report import (
    ReportSummary,
    arguments,
    clamp,
    missing_sentences,
    quote,
    read_reports,
    weighted_score,
)

_STEPS_AN_ATR = 50

_WINNER = {
    Action.BUY: "The bull side",
    Action.SELL: "The bear side",
    Action.HOLD: "Neither side",
}


@dataclass(frozen=True, slots=True)
class TradeLevels:
    """Three prices in the quote's currency."""

    entry: float
    stop: float
    target: float


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


def plan_confidence(action: Action, score: float, reports: list[ReportSummary]) -> float:
    """Confidence from the score's strength, the reports' agreement, and the number of gaps."""
    present = [report for report in reports if report.missing is None]
    strength = 0.0
    if present and action is Action.HOLD:
        strength = 1 - abs(score) / rules.BUY_FROM
    elif present:
        strength = min(1.0, abs(score) / rules.STRONG_SCORE)
    weights = [rules.ANALYST_WEIGHTS[report.agent] * report.score for report in present]
    size = sum(map(abs, weights))
    agreement = abs(sum(weights)) / size if size else 0.0
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
    holding = read_holding(conversation)
    trade = trade_levels(plan.action, levels, plan.confidence)
    size = position_pct(plan.action, levels, trade, plan.confidence)
    part = sell_pct(plan.action, plan.confidence, holding)
    sentences = [
        f"The plan is to {plan.action} with a confidence of {plan.confidence:.2f}.",
        f"Entry at the close of {quote(trade.entry)}, stop at {quote(trade.stop)} and target at "
        f"{quote(trade.target)}, measured by the ATR of {quote(levels.atr)}.",
        *_risk(size),
        *_about_holding(plan.action, part, holding),
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
        sell_pct=part,
        rationale=" ".join(sentences),
        evidence=plan.evidence,
    )


def judge(conversation: Conversation) -> FinalDecision:
    """The final decision: the proposal at the rules' prices, reduced by each standing objection."""
    proposal, levels = read_proposal(conversation), read_price_levels(conversation)
    holding = read_holding(conversation)
    objections = standing_objections(conversation)
    many = len(objections) >= rules.OBJECTIONS_TO_HOLD
    action = Action.HOLD if many else proposal.action
    trade = trade_levels(action, levels, proposal.confidence)
    size, sizing = _judged_size(proposal, action, objections)
    part = proposal.sell_pct if action is Action.SELL else None
    confidence = proposal.confidence - rules.OBJECTION_CONFIDENCE * len(objections)
    missing = missing_sentences(read_reports(conversation))
    fate = "stands" if action is proposal.action else "becomes a HOLD"
    sentences = [
        f"The proposal to {proposal.action} {fate}: entry {quote(trade.entry)}, stop "
        f"{quote(trade.stop)}, target {quote(trade.target)}.",
        sizing,
        *_about_holding(action, part, holding),
        *_about_the_past(conversation),
        *missing,
        *_correction(conversation),
    ]
    return FinalDecision(
        action=action,
        confidence=round(clamp(confidence, rules.CONFIDENCE_LOW, rules.CONFIDENCE_HIGH), 2),
        horizon_days=proposal.horizon_days or rules.HORIZON_DAYS,
        entry=trade.entry,
        stop=trade.stop,
        target=trade.target,
        position_pct=size,
        sell_pct=part,
        rationale=" ".join(sentences),
        evidence=proposal.evidence,
        risks=[*objections, *missing],
    )


def _judged_size(
    proposal: TradeProposal, action: Action, objections: Sequence[str]
) -> tuple[float | None, str]:
    """The size of the position after the standing objections, and the sentence that says it."""
    count = f"Objections of the risk team that stand: {len(objections)}" if objections else ""
    if action is not Action.BUY:
        return None, f"{count or 'No objection of the risk team stands'}; no position is opened."
    proposed = proposal.position_pct or 0.0
    factor = rules.OBJECTION_POSITION_FACTOR ** len(objections)
    size = round(min(proposed, rules.POSITION_CAP_PCT) * factor, 2)
    if not objections:
        return size, f"No objection of the risk team stands; the position is {size:.2f} %."
    return size, (
        f"{count}; the position is {size:.2f} % of the portfolio instead of {proposed:.2f} %."
    )


def _risk(size: float | None) -> list[str]:
    if size is None:
        return []
    return [
        f"At the stop the position of {size:.2f} % loses no more than {rules.RISK_BUDGET_PCT:g} % "
        "of the portfolio."
    ]


def sell_pct(action: Action, confidence: float, holding: PromptHolding | None) -> float | None:
    """The share of the holding to sell: all of it with enough confidence, else a part."""
    if action is not Action.SELL or holding is None or not holding.quantity:
        return None
    return 100.0 if confidence >= rules.SELL_ALL_FROM else rules.SELL_PART_PCT


def _about_the_past(conversation: Conversation) -> list[str]:
    """What the earlier decisions were worth; it changes no number."""
    past = read_past_decisions(conversation)
    if not past:
        return []
    last = past[-1]
    return [
        f"Earlier decisions as context, which change nothing here: {len(past)}; the last, "
        f"{last.action} of {last.as_of} with a confidence of {last.confidence:.2f}: "
        f"{last.price_since}."
    ]


def _about_holding(action: Action, part: float | None, holding: PromptHolding | None) -> list[str]:
    """What the action means for what is held, without figures of the portfolio."""
    if holding is None:
        said = {
            Action.BUY: [],
            Action.HOLD: [UNKNOWN_STAYS],
            Action.SELL: [
                "Nobody said what is held: SELL means not to hold it, and no short sale."
            ],
        }
        return said[action]
    if not holding.quantity:
        what = {
            Action.BUY: "Nothing is held yet.",
            Action.HOLD: "Nothing is held, and it stays so.",
            Action.SELL: "Nothing is held, so nothing is sold, and no short sale is made.",
        }
        return [what[action]]
    match action:
        case Action.BUY:
            return ["What is held is part of that position."]
        case Action.HOLD:
            return ["What is held stays."]
        case Action.SELL:
            share = "all" if part is None or part == 100 else f"{part:g} %"
            return [f"Of what is held, {share} is sold."]


def _correction(conversation: Conversation) -> list[str]:
    problem = conversation.problem
    return [] if problem is None else [f"This corrects the first answer: {problem.rstrip('.')}."]


def trade_levels(action: Action, levels: PromptLevels, confidence: float) -> TradeLevels:
    """Entry at the close, exits some ATR away, but never farther than half the price."""
    close = levels.close
    stop_distance = _distance(rules.STOP_ATR, levels)
    if action is Action.HOLD:
        target_distance = _distance(rules.HOLD_TARGET_ATR, levels)
    else:
        multiple = rules.TARGET_ATR_BASE + rules.TARGET_ATR_SLOPE * confidence
        target_distance = _distance(multiple, levels)
    side = -1 if action is Action.SELL else 1
    stop, target = close - side * stop_distance, close + side * target_distance
    decimals = _decimals(levels)
    return TradeLevels(close, round(stop, decimals), round(target, decimals))


def _distance(multiple: float, levels: PromptLevels) -> float:
    return min(multiple * levels.atr, rules.FARTHEST_SHARE * levels.close)


def _decimals(levels: PromptLevels) -> int:
    """Two decimals, or more where rounding to two would change the distances noticeably."""
    return max(2, math.ceil(math.log10(_STEPS_AN_ATR / min(levels.atr, levels.close))))


def position_pct(
    action: Action,
    levels: PromptLevels,
    trade: TradeLevels,
    confidence: float,
) -> float | None:
    """The share of the portfolio that loses the risk budget at the stop, times the confidence.

    None for a SELL and a HOLD, which open no position.
    """
    if action is not Action.BUY:
        return None
    stop_share = abs(trade.entry - trade.stop) / levels.close
    return round(min(rules.POSITION_CAP_PCT, rules.RISK_BUDGET_PCT / stop_share * confidence), 2)

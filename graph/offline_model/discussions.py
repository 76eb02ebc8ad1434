"""The two discussions: bull and bear quote the bullets for their sides; the risk team objects.

Each risk analyst measures the proposal against limits of its own.
"""

from collections.abc import Iterator

from trading_graph.graph.decisions import Action, TradeProposal
from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import (
    Conversation,
    PromptLevels,
    read_price_levels,
    read_proposal,
)
from trading_graph.graph.offline_model.report import (
    ReportSummary,
    arguments,
    clamp,
    missing_sentences,
    quote,
    read_reports,
    weighted_score,
)
from trading_graph.graph.options import RISK_ANALYSTS

CONVICTION = "Conviction:"
_OBJECTION = "- Objection ("


def argue(conversation: Conversation) -> str:
    """The statement of one side of the debate."""
    bull = conversation.agent == "bull_researcher"
    reports = read_reports(conversation)
    own, against = arguments(reports, good=bull), arguments(reports, good=not bull)
    stance, opponent = ("for", "bear") if bull else ("against", "bull")
    lines = [f"The case {stance} {conversation.symbol or 'the stock'}:", ""]
    lines += [f"- {argument}" for argument in own]
    if not own:
        lines.append("The reports hold no finding for this side; it rests on caution alone.")
    other = _opponents_first_point(conversation, f"{opponent}_researcher")
    if other is not None:
        answer = own[0] if own else "nothing in the data"
        lines += ["", f"The {opponent} leads with: {other}", f"Against it stands: {answer}"]
    elif against:
        lines += ["", f"The strongest finding of the other side: {against[0]}"]
    lines += missing_sentences(reports)
    lines += ["", f"{CONVICTION} {_conviction(reports, bull=bull):.2f}"]
    return "\n".join(lines)


def _opponents_first_point(conversation: Conversation, opponent: str) -> str | None:
    """The first bullet of the other side's last statement, a note without one, or None."""
    statements = [
        block.text
        for block in conversation.blocks("statement")
        if block.attributes.get("agent") == opponent
    ]
    if not statements:
        return None
    lines = (line.strip() for line in statements[-1].splitlines())
    return next((line[2:] for line in lines if line.startswith("- ")), "no finding of its own")


def _conviction(reports: list[ReportSummary], *, bull: bool) -> float:
    score = weighted_score(reports)
    missing = sum(report.missing is not None for report in reports)
    leaning = rules.CONVICTION_SLOPE * (score if bull else -score)
    value = rules.CONVICTION_BASE + leaning - rules.CONVICTION_MISSING * missing
    return clamp(value, rules.CONVICTION_LOW, rules.CONVICTION_HIGH)


def read_conviction(conversation: Conversation, agent: str) -> float | None:
    """The last readable conviction of a researcher's statements, 0 to 1, or None."""
    conviction = None
    for block in conversation.blocks("statement"):
        if block.attributes.get("agent") == agent:
            last = block.text.rstrip().rsplit("\n", 1)[-1].strip()
            if last.startswith(CONVICTION):
                try:
                    value = float(last.removeprefix(CONVICTION))
                except ValueError:
                    continue
                conviction = value if 0 <= value <= 1 else conviction
    return conviction


def assess(conversation: Conversation) -> str:
    """The statement of one risk analyst on the proposal."""
    limits = rules.RISK_LIMITS[conversation.agent]
    proposal, levels = read_proposal(conversation), read_price_levels(conversation)
    missing = missing_sentences(read_reports(conversation))
    objections = list(_objections(limits, proposal, levels, len(missing)))
    lines = [
        _terms(proposal, levels),
        f"{_share(proposal)} with a confidence of {proposal.confidence:.2f}.",
        *missing,
        *(f"{_OBJECTION}{code}): {text}" for code, text in objections),
        f"Stance: {_stance(conversation.agent, len(objections), proposal)}",
    ]
    return "\n".join(lines)


def _share(proposal: TradeProposal) -> str:
    if proposal.position_pct is not None:
        return f"It takes {proposal.position_pct:.2f} % of the portfolio"
    if proposal.sell_pct is not None:
        return f"It sells {proposal.sell_pct:g} % of what is held"
    return "It opens no position"


def _terms(proposal: TradeProposal, levels: PromptLevels) -> str:
    entry, stop, target = proposal.entry, proposal.stop, proposal.target
    if entry is None or stop is None or target is None:
        return f"The proposal is to {proposal.action} without levels."
    return (
        f"The proposal is to {proposal.action} at {quote(entry)} with the stop at {quote(stop)}, "
        f"{abs(entry - stop) / levels.atr:.2f} ATR away, and the target at {quote(target)}, "
        f"{abs(target - entry) / abs(entry - stop):.2f} times the risk."
    )


def _objections(
    limits: rules.RiskLimits, proposal: TradeProposal, levels: PromptLevels, missing: int
) -> Iterator[tuple[str, str]]:
    entry, stop, target = proposal.entry, proposal.stop, proposal.target
    if entry is not None and stop is not None:
        away = abs(entry - stop)
        if away / levels.atr > limits.stop_atr:
            yield (
                "wide stop",
                f"the stop is {away / levels.atr:.2f} ATR away, the limit is {limits.stop_atr:g}.",
            )
        reward = None if target is None else abs(target - entry) / away
        if proposal.action is not Action.HOLD and reward and reward < limits.reward_to_risk:
            yield (
                "thin reward",
                f"reward to risk is {reward:.2f}, the least is {limits.reward_to_risk:g}.",
            )
    if proposal.position_pct and proposal.position_pct > limits.position_pct:
        yield (
            "large position",
            f"{proposal.position_pct:.2f} % of the portfolio was proposed, the limit is "
            f"{limits.position_pct:g} %.",
        )
    share = levels.atr / levels.close
    if share > limits.atr_share:
        yield (
            "volatile price",
            f"a day's typical range is {100 * share:.1f} % of the price, the limit is "
            f"{100 * limits.atr_share:.1f} %.",
        )
    if proposal.confidence < limits.confidence:
        yield (
            "low confidence",
            f"the confidence is {proposal.confidence:.2f}, the least is {limits.confidence:g}.",
        )
    if missing > limits.missing_reports:
        yield (
            "missing reports",
            f"{missing} of the reports are missing, the limit is {limits.missing_reports}.",
        )


def _stance(agent: str, objections: int, proposal: TradeProposal) -> str:
    if objections >= rules.OBJECTIONS_TO_HOLD:
        return "stand aside"
    if objections:
        return "reduce the position"
    small = (proposal.position_pct or 0) < rules.POSITION_CAP_PCT / 2
    bold = agent == "aggressive_risk_analyst" and proposal.action is Action.BUY
    return "accept, and it could be larger" if small and bold else "accept"


def standing_objections(conversation: Conversation) -> list[str]:
    """The objections that enough members voice in their last statements, one sentence each."""
    last = {
        block.attributes.get("agent"): block.text
        for block in conversation.blocks("statement")
        if block.attributes.get("agent") in RISK_ANALYSTS
    }
    voices: dict[str, list[str]] = {}
    for agent in RISK_ANALYSTS:
        for line in last.get(agent, "").splitlines():
            code, separator, text = line.strip().removeprefix(_OBJECTION).partition("): ")
            if line.strip().startswith(_OBJECTION) and separator:
                voices.setdefault(code, []).append(text)
    return [
        f"{code.capitalize()}, voiced by {len(texts)} of the risk team: {texts[-1]}"
        for code, texts in voices.items()
        if len(texts) >= rules.VOICES_TO_STAND
    ]

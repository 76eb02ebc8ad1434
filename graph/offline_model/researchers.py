"""The bull and the bear: each quotes the bullets for its side and answers the other."""

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import Conversation
from trading_graph.graph.offline_model.report import (
    ReportSummary,
    arguments,
    clamp,
    missing_sentences,
    read_reports,
    weighted_score,
)

CONVICTION = "Conviction:"


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

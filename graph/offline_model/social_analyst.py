"""The social analyst's rules: attention, as far as abnormal volume shows it."""

from collections.abc import Iterator, Mapping
from typing import Any

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import Conversation
from trading_graph.graph.offline_model.figures import as_number, clamp, number, quote, rows
from trading_graph.graph.offline_model.market_analyst import BENCHMARK
from trading_graph.graph.offline_model.report import Finding
from trading_graph.graph.offline_model.surroundings import post_findings

ATTENTION = "get_attention"


def social_findings(conversation: Conversation) -> Iterator[Finding]:
    """All findings on attention, and on posts where there are any."""
    yield from _volume_findings(conversation)
    yield from post_findings(conversation)


def _volume_findings(conversation: Conversation) -> Iterator[Finding]:
    own = conversation.record(ATTENTION, conversation.symbol)
    if not own:
        return
    market_days = set()
    if conversation.symbol != BENCHMARK:
        market_days = {day for day, _, _ in _days(conversation.record(ATTENTION, BENCHMARK))}
    yield from _attention_days(_days(own), market_days)
    latest = number(own, "z_latest")
    if latest is None:
        yield Finding(0, "No data: no abnormal volume for the last session", ATTENTION)
    else:
        text = f"The abnormal volume (z-score) of the last session is {quote(latest)}"
        yield Finding(0, text, ATTENTION)
    turnover = number(own, "turnover_ratio_5_60")
    if turnover is not None and turnover > rules.TURNOVER_HIGH:
        text = f"Trading of the last sessions is {quote(turnover)} times the usual: crowded"
        yield Finding(-rules.TURNOVER_POINTS, text, ATTENTION)
    elif turnover is not None:
        text = f"Trading of the last sessions is {quote(turnover)} times the usual"
        yield Finding(0, text, ATTENTION)
    limit = own.get("limit")
    if isinstance(limit, str):
        yield Finding(0, f"Limit of this report: {limit}", ATTENTION)


def _days(record: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    days = []
    for row in rows(record, "days_above_2"):
        if isinstance(row, list) and len(row) >= 3 and isinstance(row[0], str):
            z, change = as_number(row[1]), as_number(row[2])
            if z is not None and change is not None:
                days.append((row[0], z, change))
    return days


def _attention_days(
    days: list[tuple[str, float, float]], market_days: set[str]
) -> Iterator[Finding]:
    """Points of the days with unusual volume, newest first, until the maximum is used up."""
    low, high = -rules.ATTENTION_MAX_POINTS, rules.ATTENTION_MAX_POINTS
    total = 0.0
    for day, z, change in sorted(days, reverse=True):
        sign = 1 if change > 0 else -1 if change < 0 else 0
        points = sign * rules.ATTENTION_DAY_POINTS
        text = f"On {day} volume was abnormal (z-score {quote(z)}) with a change of "
        text += f"{quote(change)} %"
        if day in market_days:
            points *= rules.ATTENTION_MARKET_FACTOR
            text += ", on a day of abnormal volume in the whole market"
        new_total = clamp(total + points, low, high)
        yield Finding(round(new_total - total, 6), text, ATTENTION)
        total = new_total
    if not days:
        yield Finding(0, "No session had abnormal volume", ATTENTION)

"""The social analyst's rules: attention, as far as abnormal volume shows it, and posts.

Posts carry no points: they are strangers' words, which rules cannot weigh.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import Conversation, as_number, number, rows
from trading_graph.graph.offline_model.report import (
    Analyst,
    Bullet,
    ToolRequest,
    benchmark_of,
    clamp,
    quote,
)

ATTENTION = "get_attention"
POSTS = "get_posts"


def _bullets(conversation: Conversation) -> Iterator[Bullet]:
    yield from _volume(conversation)
    yield from _posts(conversation)


def _volume(conversation: Conversation) -> Iterator[Bullet]:
    own = conversation.record(ATTENTION, conversation.symbol)
    if not own:
        return
    market_days = set()
    if benchmark := benchmark_of(conversation.symbol):
        market_days = {day for day, _, _ in _days(conversation.record(ATTENTION, benchmark))}
    yield from _attention_days(_days(own), market_days)
    latest = number(own, "z_latest")
    if latest is None:
        yield Bullet(0, "No data: no abnormal volume for the last session", ATTENTION)
    else:
        text = f"The abnormal volume (z-score) of the last session is {quote(latest)}"
        yield Bullet(0, text, ATTENTION)
    turnover = number(own, "turnover_ratio_5_60")
    if turnover is not None and turnover > rules.TURNOVER_HIGH:
        text = f"Trading of the last sessions is {quote(turnover)} times the usual: crowded"
        yield Bullet(-rules.TURNOVER_POINTS, text, ATTENTION)
    elif turnover is not None:
        text = f"Trading of the last sessions is {quote(turnover)} times the usual"
        yield Bullet(0, text, ATTENTION)
    limit = own.get("limit")
    if isinstance(limit, str):
        yield Bullet(0, f"Limit of this report: {limit}", ATTENTION)


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
) -> Iterator[Bullet]:
    """The days with unusual volume, newest first; their points together stay within a maximum."""
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
        yield Bullet(round(new_total - total, 6), text, ATTENTION)
        total = new_total
    if not days:
        yield Bullet(0, "No session had abnormal volume", ATTENTION)


def _posts(conversation: Conversation) -> Iterator[Bullet]:
    """The mood that the authors of the posts declared."""
    record = conversation.record(POSTS, conversation.symbol)
    count, bulls, bears = (number(record, name) for name in ("count", "bullish", "bearish"))
    if count is not None and bulls is not None and bears is not None:
        text = f"Of the last {int(count)} posts {int(bulls)} call themselves bullish and "
        yield Bullet(0, f"{text}{int(bears)} bearish", POSTS)


SOCIAL_ANALYST = Analyst(
    "Social",
    (ToolRequest(ATTENTION), ToolRequest(ATTENTION, benchmark=True), ToolRequest(POSTS)),
    _bullets,
)

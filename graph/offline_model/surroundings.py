"""Findings on what surrounds a company: insiders' reports, the economy, headlines and posts.

They inform and carry no points: how often insiders report says neither bought nor sold, the economy
is the same for all, and headlines and posts are words of others, which rules cannot weigh.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trading_graph.graph.offline_model.conversation import Conversation
from trading_graph.graph.offline_model.figures import number, one_line, quote, rows, section
from trading_graph.graph.offline_model.report import Finding

INSIDERS = "get_insiders"
MACRO = "get_macro"
NEWS = "get_news"
POSTS = "get_posts"

_HEADLINES = 3


def insider_findings(conversation: Conversation) -> Iterator[Finding]:
    """How many reports of trades insiders filed, against the quarter before."""
    record = conversation.record(INSIDERS, conversation.symbol)
    counts = [count for count in rows(record, "reports_by_90_days") if isinstance(count, int)]
    if counts:
        text = f"Insiders filed {counts[0]} reports of trades (form 4) in the last 90 days"
        text += f", against {counts[1]} in the 90 before" if len(counts) > 1 else ""
        yield Finding(0, text, INSIDERS)
    trades = len(rows(record, "trades"))
    if trades:
        yield Finding(0, f"The source lists {trades} trades of insiders", INSIDERS)


def macro_findings(conversation: Conversation) -> Iterator[Finding]:
    """Each series with its latest value and that of a year before."""
    for record in conversation.records(MACRO):
        for name, series in section(record, "series").items():
            latest, before = _value(series, "latest"), _value(series, "year_before")
            label = series.get("label") if isinstance(series, dict) else None
            if latest is None or not isinstance(label, str):
                continue
            day, value = latest
            text = f"{one_line(label, 80)} ({one_line(name, 20)}): {quote(value)} on {day}"
            text += f", {quote(before[1])} a year before" if before else ""
            yield Finding(0, text, MACRO)
        for name, reason in section(record, "missing").items():
            yield Finding(0, f"No data: {one_line(name, 20)}: {one_line(str(reason))}", MACRO)


def news_headlines(conversation: Conversation) -> Iterator[Finding]:
    """How many headlines there were, and the newest of them as somebody's words."""
    record = conversation.record(NEWS, conversation.symbol)
    if not record:
        return
    count = number(record, "count")
    yield Finding(0, f"There were {int(count or 0)} headlines in the week", NEWS)
    for headline in rows(record, "headlines")[:_HEADLINES]:
        if isinstance(headline, dict):
            words = [headline.get(name) for name in ("title", "publisher", "published")]
            title, publisher, published = (
                one_line(word, 120) if isinstance(word, str) else "" for word in words
            )
            yield Finding(0, f'{publisher or "Somebody"} wrote on {published}: "{title}"', NEWS)


def post_findings(conversation: Conversation) -> Iterator[Finding]:
    """The mood that the authors of posts gave them."""
    record = conversation.record(POSTS, conversation.symbol)
    count, bulls, bears = (number(record, name) for name in ("count", "bullish", "bearish"))
    if count is not None and bulls is not None and bears is not None:
        text = f"Of the last {int(count)} posts {int(bulls)} call themselves bullish and "
        yield Finding(0, f"{text}{int(bears)} bearish", POSTS)


def _value(series: Any, name: str) -> tuple[str, float] | None:
    pair = rows(series, name) if isinstance(series, Mapping) else []
    if len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], int | float):
        return one_line(pair[0], 20), float(pair[1])
    return None

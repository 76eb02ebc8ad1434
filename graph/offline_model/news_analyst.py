"""The news analyst's rules: filings by form and item code, insiders, the economy, headlines.

Only filings carry points. How often insiders report says nothing about buying or selling, the
economy is the same for all companies, and headlines are strangers' words, which rules cannot weigh.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import (
    Conversation,
    number,
    one_line,
    rows,
    section,
)
from trading_graph.graph.offline_model.report import Analyst, Bullet, ToolRequest, quote
from trading_graph.toolkit.symbols import identify

EVENTS = "get_company_events"
INSIDERS = "get_insiders"
MACRO = "get_macro"
NEWS = "get_news"

_HEADLINES = 3
_PERIODIC = ("10-Q", "10-K")


@dataclass(frozen=True, slots=True)
class CompanyEvent:
    """One filing: ISO date, form, item codes (8-K only), and their meaning."""

    date: str
    form: str
    items: tuple[str, ...]
    meaning: str


def _bullets(conversation: Conversation) -> Iterator[Bullet]:
    yield from _filings(conversation)
    yield from _insiders(conversation)
    yield from _macro(conversation)
    yield from _headlines(conversation)


def _filings(conversation: Conversation) -> Iterator[Bullet]:
    records = conversation.records(EVENTS, conversation.symbol)
    if not records:
        return
    filings = sorted(_events(records), key=lambda filing: filing.date, reverse=True)
    yield from _items(filings)
    for form in _PERIODIC:
        newest = next((filing for filing in filings if filing.form == form), None)
        if newest is not None:
            yield Bullet(0, f"The last {form} was filed on {newest.date}", EVENTS)
    if not filings:
        yield Bullet(0, "No data: the company filed nothing in the time looked at", EVENTS)
    limits = [text for record in records if isinstance(text := record.get("limit"), str)]
    for text in dict.fromkeys(limits):
        yield Bullet(0, f"Limit of this report: {text}", EVENTS)


def _events(records: list[Mapping[str, Any]]) -> Iterator[CompanyEvent]:
    for record in records:
        for event in rows(record, "events"):
            if not isinstance(event, dict):
                continue
            date, form, meaning = (event.get(name) for name in ("filed", "form", "meaning"))
            if isinstance(date, str) and isinstance(form, str):
                items = tuple(item for item in rows(event, "items") if isinstance(item, str))
                words = meaning if isinstance(meaning, str) else ""
                yield CompanyEvent(date, one_line(form, 20), items, words)


def _items(filings: list[CompanyEvent]) -> Iterator[Bullet]:
    """One bullet for each item code: a code counts once, at its newest filing."""
    earlier: set[str] = set()
    for filing in filings:
        new = [item for item in dict.fromkeys(filing.items) if item not in earlier]
        earlier.update(new)
        with_points = [item for item in new if item in rules.ITEM_POINTS]
        for item in with_points:
            text = f"Form {filing.form}, item {item}, was filed on {filing.date}"
            yield Bullet(rules.ITEM_POINTS[item], text + _meaning(filing), EVENTS)
        if new and not with_points:
            text = f"Form {filing.form}, item {', '.join(new)}, was filed on {filing.date}"
            yield Bullet(0, text + _meaning(filing), EVENTS)


def _meaning(filing: CompanyEvent) -> str:
    return f": {one_line(filing.meaning, 120)}" if filing.meaning else ""


def _insiders(conversation: Conversation) -> Iterator[Bullet]:
    """The number of insiders' reports of trades, against the quarter before."""
    record = conversation.record(INSIDERS, conversation.symbol)
    counts = [count for count in rows(record, "reports_by_90_days") if isinstance(count, int)]
    if counts:
        text = f"Insiders filed {counts[0]} reports of trades (form 4) in the last 90 days"
        text += f", against {counts[1]} in the 90 before" if len(counts) > 1 else ""
        yield Bullet(0, text, INSIDERS)
    trades = len(rows(record, "trades"))
    if trades:
        yield Bullet(0, f"The source lists {trades} trades of insiders", INSIDERS)


def _macro(conversation: Conversation) -> Iterator[Bullet]:
    """Each series with its latest value and the value of a year before."""
    for record in conversation.records(MACRO):
        economy, identity = record.get("economy"), identify(conversation.symbol)
        if isinstance(economy, str) and identity.country not in ("", economy):
            text = f"The economy is that of the {one_line(economy, 40)}, and {conversation.symbol} "
            yield Bullet(0, f"{text}is listed in {identity.country}", MACRO)
        for name, series in section(record, "series").items():
            latest, before = _value(series, "latest"), _value(series, "year_before")
            label = series.get("label") if isinstance(series, dict) else None
            if latest is None or not isinstance(label, str):
                continue
            day, value = latest
            text = f"{one_line(label, 80)} ({one_line(name, 20)}): {quote(value)} on {day}"
            text += f", {quote(before[1])} a year before" if before else ""
            yield Bullet(0, text, MACRO)
        for name, reason in section(record, "missing").items():
            yield Bullet(0, f"No data: {one_line(name, 20)}: {one_line(str(reason))}", MACRO)


def _headlines(conversation: Conversation) -> Iterator[Bullet]:
    """The number of headlines, and the newest of them as somebody's words."""
    record = conversation.record(NEWS, conversation.symbol)
    if not record:
        return
    count = number(record, "count")
    yield Bullet(0, f"There were {int(count or 0)} headlines in the week", NEWS)
    for headline in rows(record, "headlines")[:_HEADLINES]:
        if isinstance(headline, dict):
            words = [headline.get(name) for name in ("title", "publisher", "published")]
            title, publisher, published = (
                one_line(word, 120) if isinstance(word, str) else "" for word in words
            )
            yield Bullet(0, f'{publisher or "Somebody"} wrote on {published}: "{title}"', NEWS)


def _value(series: Any, name: str) -> tuple[str, float] | None:
    pair = rows(series, name) if isinstance(series, Mapping) else []
    if len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], int | float):
        return one_line(pair[0], 20), float(pair[1])
    return None


NEWS_ANALYST = Analyst(
    "News",
    (
        ToolRequest(EVENTS, forms=("8-K",)),
        ToolRequest(EVENTS, forms=_PERIODIC),
        ToolRequest(INSIDERS),
        ToolRequest(MACRO, about_symbol=False),
        ToolRequest(NEWS),
    ),
    _bullets,
)

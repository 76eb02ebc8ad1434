"""The news analyst's rules: what a company filed, by form and item code, and its surroundings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import Conversation
from trading_graph.graph.offline_model.figures import one_line, rows
from trading_graph.graph.offline_model.report import Finding
from trading_graph.graph.offline_model.surroundings import (
    insider_findings,
    macro_findings,
    news_headlines,
)

EVENTS = "get_company_events"
_PERIODIC = ("10-Q", "10-K")


@dataclass(frozen=True, slots=True)
class Filing:
    """One filing: ISO date, form, item codes (8-K only) and what they mean."""

    filed: str
    form: str
    items: tuple[str, ...]
    meaning: str


def news_findings(conversation: Conversation) -> Iterator[Finding]:
    """All findings on filings, and on what surrounds them."""
    yield from _filing_findings(conversation)
    yield from insider_findings(conversation)
    yield from macro_findings(conversation)
    yield from news_headlines(conversation)


def _filing_findings(conversation: Conversation) -> Iterator[Finding]:
    records = conversation.records(EVENTS, conversation.symbol)
    if not records:
        return
    filings = sorted(_filings(records), key=lambda filing: filing.filed, reverse=True)
    yield from _items(filings)
    for form in _PERIODIC:
        newest = next((filing for filing in filings if filing.form == form), None)
        if newest is not None:
            yield Finding(0, f"The last {form} was filed on {newest.filed}", EVENTS)
    if not filings:
        yield Finding(0, "No data: the company filed nothing in the time looked at", EVENTS)
    for name, label in (("same_day", "Of the newest"), ("limit", "Limit of this report")):
        told = [text for record in records if isinstance(text := record.get(name), str)]
        for text in dict.fromkeys(told):
            yield Finding(0, f"{label}: {text}", EVENTS)


def _filings(records: list[Mapping[str, Any]]) -> Iterator[Filing]:
    for record in records:
        for event in rows(record, "events"):
            if not isinstance(event, dict):
                continue
            filed, form, meaning = (event.get(name) for name in ("filed", "form", "meaning"))
            if isinstance(filed, str) and isinstance(form, str):
                items = tuple(item for item in rows(event, "items") if isinstance(item, str))
                words = meaning if isinstance(meaning, str) else ""
                yield Filing(filed, one_line(form, 20), items, words)


def _items(filings: list[Filing]) -> Iterator[Finding]:
    """A finding an item code: each code counts once, at its newest filing."""
    seen: set[str] = set()
    for filing in filings:
        new = [item for item in dict.fromkeys(filing.items) if item not in seen]
        seen.update(new)
        scored = [item for item in new if item in rules.ITEM_POINTS]
        for item in scored:
            text = f"Form {filing.form}, item {item}, was filed on {filing.filed}"
            yield Finding(rules.ITEM_POINTS[item], text + _told(filing), EVENTS)
        if new and not scored:
            text = f"Form {filing.form}, item {', '.join(new)}, was filed on {filing.filed}"
            yield Finding(0, text + _told(filing), EVENTS)


def _told(filing: Filing) -> str:
    return f": {one_line(filing.meaning, 120)}" if filing.meaning else ""

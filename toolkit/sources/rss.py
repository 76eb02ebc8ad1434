"""RSS 2.0 read safely: its items' titles, dates and sources, and nothing else of XML.

A document with a type declaration is refused: that is where entities are declared, which expand
without end ("billion laughs") or name files. RSS needs none.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from xml.parsers import expat

_FIELDS = ("title", "pubDate", "source")
_MAX_ITEMS = 200
_MAX_TEXT = 4000


class BadRss(ValueError):
    """The document is not RSS, or has a type declaration."""


@dataclass(frozen=True, slots=True)
class RssItem:
    """An item of a feed, its texts as they are; `published` is in UTC, None if it is no date."""

    title: str
    published: datetime.datetime | None
    source: str


def read_rss(body: bytes) -> tuple[RssItem, ...]:
    """The items of a feed, 200 at most; BadRss."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.StartElementHandler = reader.opened
    parser.EndElementHandler = reader.closed
    parser.CharacterDataHandler = reader.said
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise BadRss(f"not well-formed XML: {error}") from None
    if reader.root not in ("rss", "rdf:RDF"):
        raise BadRss(f"its root is {reader.root!a}")
    return tuple(reader.items())


def _refuse(*declared: object) -> None:
    raise BadRss("it has a document type declaration")


@dataclass(slots=True)
class _Reader:
    root: str = ""
    path: list[str] = field(default_factory=list)
    found: list[dict[str, str]] = field(default_factory=list)

    def opened(self, name: str, attributes: dict[str, str]) -> None:
        self.root = self.root or name
        self.path.append(name)
        if name == "item" and len(self.found) < _MAX_ITEMS:
            self.found.append({})

    def closed(self, name: str) -> None:
        self.path.pop()

    def said(self, text: str) -> None:
        if len(self.path) < 2 or self.path[-2] != "item" or self.path[-1] not in _FIELDS:
            return
        if self.found:
            item = self.found[-1]
            item[self.path[-1]] = (item.get(self.path[-1], "") + text)[:_MAX_TEXT]

    def items(self) -> Iterator[RssItem]:
        for item in self.found:
            if title := item.get("title", "").strip():
                yield RssItem(title, _instant(item.get("pubDate", "")), item.get("source", ""))


def _instant(text: str) -> datetime.datetime | None:
    try:
        read = parsedate_to_datetime(text.strip())
        return (read if read.tzinfo else read.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None

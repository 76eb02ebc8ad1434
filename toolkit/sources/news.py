"""Headlines from Yahoo's search and Google News (RSS), both asked at once.

Yahoo's search has the present only. Google News takes dates, so it also serves a past one, as far
as its memory goes. A headline without a date is dropped: nobody can tell when it was public.
"""

import asyncio
import datetime
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree

import msgspec
from yarl import URL

from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import AsOf, Clock, new_york_day, utc_now
from trading_graph.toolkit.errors import BadAnswerError, SourceUnavailableError
from trading_graph.toolkit.live_access import BaseUrls, DataMode
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.records import Headline, News
from trading_graph.toolkit.sources.source import (
    BROWSER_HEADERS,
    clean,
    fetch_span,
    gather_parts,
)

WINDOW = datetime.timedelta(days=7)

_YAHOO, _GOOGLE = "Yahoo search", "Google News"
_MAX_PUBLISHER = 60
_COUNT = 20


class _Story(msgspec.Struct, frozen=True):
    title: str
    providerPublishTime: int
    publisher: str = ""


class _Search(msgspec.Struct, frozen=True):
    news: list[_Story]


class LiveNews:
    """A NewsSource. `missing` names the one of the two that fails; if both fail, it raises."""

    name = f"{_YAHOO} and {_GOOGLE}"
    data_mode: DataMode = "live"

    def __init__(self, pool: HttpPool, urls: BaseUrls, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._urls = urls
        self._clock = clock

    async def news(self, symbol: str, as_of: AsOf) -> News:
        """The headlines of the week up to the as-of date's close, newest first."""
        requests: dict[str, Awaitable[list[Headline]]] = {_GOOGLE: self._google(symbol, as_of)}
        missing = []
        if new_york_day(self._clock()) - as_of.date <= WINDOW:
            requests[_YAHOO] = self._yahoo(symbol, as_of)
        else:
            missing.append(f"{_YAHOO} has only the present, nothing of {as_of}.")
        results, errors = await gather_parts(requests)
        missing += map(str, errors.values())
        if not results:
            raise SourceUnavailableError(" ".join(missing))
        return News(
            symbol,
            _in_order([line for headlines in results.values() for line in headlines], as_of),
            tuple(missing),
            source=" and ".join(results),
        )

    async def _yahoo(self, symbol: str, as_of: AsOf) -> list[Headline]:
        url = URL(f"{self._urls.yahoo}/v1/finance/search")
        with fetch_span("yahoo_search", self.data_mode, symbol=symbol, as_of=as_of) as span:
            answer: _Search = await self._pool.get_json(
                url,
                _Search,
                source=_YAHOO,
                params={"q": symbol, "newsCount": str(_COUNT), "quotesCount": "0"},
                headers=BROWSER_HEADERS,
            )
            span.set_attribute(semconv.ROWS, len(answer.news))
            return [
                _headline(published, story.title, story.publisher)
                for story in answer.news
                if (published := _from_stamp(story.providerPublishTime))
            ]

    async def _google(self, symbol: str, as_of: AsOf) -> list[Headline]:
        since, until = as_of.date - WINDOW, as_of.date + datetime.timedelta(days=1)
        url = URL(f"{self._urls.google_news}/rss/search")
        with fetch_span("google_news", self.data_mode, symbol=symbol, as_of=as_of) as span:
            answer = await self._pool.get_bytes(
                url,
                params={
                    "q": f'"{symbol}" stock after:{since} before:{until}',
                    "hl": "en-US",
                    "gl": "US",
                    "ceid": "US:en",
                },
                headers=BROWSER_HEADERS,
            )
            try:
                items = await asyncio.to_thread(read_rss, answer.body)
            except RssError:
                raise BadAnswerError(
                    f"{_GOOGLE} answered with something that is not RSS: try later."
                ) from None
            span.set_attribute(semconv.ROWS, len(items))
            return [
                _headline(item.published, item.title, item.source)
                for item in items
                if item.published
            ]


def _headline(published: datetime.datetime, title: str, publisher: str) -> Headline:
    return Headline(published, clean(title), clean(publisher, _MAX_PUBLISHER))


def _in_order(headlines: Sequence[Headline], as_of: AsOf) -> tuple[Headline, ...]:
    """The headlines of the week, newest first, each title once."""
    since = as_of.cutoff - WINDOW
    newest = sorted(
        (line for line in headlines if line.title and line.published > since),
        key=lambda line: (line.published, line.title),
        reverse=True,
    )
    # Google News appends " - Publisher".
    by_title = {line.title.rpartition(" - ")[0] or line.title: line for line in reversed(newest)}
    return tuple(sorted(by_title.values(), key=lambda line: line.published, reverse=True))


def _from_stamp(seconds: int) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None


_MAX_ITEMS = 200
_MAX_TEXT = 4000


class RssError(ValueError):
    """The document is not RSS, or has a type declaration."""


@dataclass(frozen=True, slots=True)
class RssItem:
    """An item of a feed, its texts unchanged; `published` is in UTC, None if it is not a date."""

    title: str
    published: datetime.datetime | None
    source: str


class _Feed(ElementTree.TreeBuilder):
    """Builds the document, and refuses it at a document type declaration.

    Entities are declared there. They may expand without end ("billion laughs") or name files, and
    RSS needs none.
    """

    def doctype(self, *declaration: object) -> None:
        raise RssError("it has a document type declaration")


def read_rss(body: bytes) -> tuple[RssItem, ...]:
    """The titles, dates and sources of an RSS feed, at most 200; RssError."""
    try:
        root = ElementTree.fromstring(body, ElementTree.XMLParser(target=_Feed()))
    except ElementTree.ParseError as error:
        raise RssError(f"not well-formed XML: {error}") from None
    if root.tag.rpartition("}")[2] not in ("rss", "RDF"):
        raise RssError(f"its root is {root.tag!a}")
    items = list(root.iterfind(".//{*}item"))[:_MAX_ITEMS]
    return tuple(
        RssItem(title, _instant(_text(item, "pubDate")), _text(item, "source"))
        for item in items
        if (title := _text(item, "title").strip())
    )


def _text(item: ElementTree.Element, name: str) -> str:
    return (item.findtext(f"{{*}}{name}") or "")[:_MAX_TEXT]


def _instant(text: str) -> datetime.datetime | None:
    try:
        instant = parsedate_to_datetime(text.strip())
        if instant.tzinfo is None:
            return instant.replace(tzinfo=datetime.UTC)
        return instant.astimezone(datetime.UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None

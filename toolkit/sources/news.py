"""Headlines from Yahoo's search and Google News, both asked at once.

Yahoo's search knows the present only. Google News takes dates, so it also serves a past one, as far
as it remembers. A headline without a date is dropped: nobody can tell whether it was known.
"""

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from yarl import URL

from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import NEW_YORK, AsOf
from trading_graph.toolkit.errors import BadAnswer, DataError, SourceUnavailable
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.records import DataMode, Headline, News
from trading_graph.toolkit.sources.base_urls import BaseUrls
from trading_graph.toolkit.sources.browser import BROWSER_HEADERS
from trading_graph.toolkit.sources.fetch_span import fetch_span
from trading_graph.toolkit.sources.rss import BadRss, read_rss
from trading_graph.toolkit.sources.typed_json import get_typed
from trading_graph.toolkit.untrusted import clean

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
    """A NewsSource. One of the two that fails is named in `missing`; both, and it is an error."""

    name = f"{_YAHOO} and {_GOOGLE}"
    data_mode: DataMode = "live"

    def __init__(
        self,
        pool: HttpPool,
        urls: BaseUrls,
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._pool = pool
        self._urls = urls
        self._clock = clock

    async def news(self, symbol: str, as_of: AsOf) -> News:
        """The headlines of the week up to the as-of date's close, newest first."""
        asked: dict[str, Awaitable[list[Headline]]] = {_GOOGLE: self._google(symbol, as_of)}
        missing = []
        if self._clock().astimezone(NEW_YORK).date() - as_of.date <= WINDOW:
            asked[_YAHOO] = self._yahoo(symbol, as_of)
        else:
            missing.append(f"{_YAHOO} has only the present, nothing of {as_of}.")
        answers = await asyncio.gather(*asked.values(), return_exceptions=True)
        found: list[Headline] = []
        served: list[str] = []
        for name, answer in zip(asked, answers, strict=True):
            if isinstance(answer, DataError):
                missing.append(str(answer))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                served.append(name)
                found += answer
        if not served:
            raise SourceUnavailable(" ".join(missing))
        return News(
            symbol,
            _in_order(found, as_of),
            tuple(missing),
            source=" and ".join(served),
            data_mode=self.data_mode,
        )

    async def _yahoo(self, symbol: str, as_of: AsOf) -> list[Headline]:
        url = URL(f"{self._urls.yahoo}/v1/finance/search")
        with fetch_span("yahoo_search", self.data_mode, symbol=symbol, as_of=as_of) as span:
            answer = await get_typed(
                self._pool,
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
            except BadRss:
                raise BadAnswer(
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


def _in_order(found: Sequence[Headline], as_of: AsOf) -> tuple[Headline, ...]:
    """The headlines of the week, newest first, each title once."""
    since = as_of.cutoff - WINDOW
    newest = sorted(
        (line for line in found if line.title and line.published > since),
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

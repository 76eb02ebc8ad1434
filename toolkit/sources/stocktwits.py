"""The latest messages about a symbol from StockTwits, which has no archive."""

import datetime
from typing import Literal
from urllib.parse import quote

import msgspec
from yarl import URL

from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import AsOf, Clock, new_york_day, utc_now
from trading_graph.toolkit.errors import NoDataError
from trading_graph.toolkit.live_access import BaseUrls, DataMode
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.records import Post, Posts
from trading_graph.toolkit.sources.source import clean, fetch_span

_MAX_POST = 280


class _Mood(msgspec.Struct, frozen=True):
    basic: str = ""


class _Entities(msgspec.Struct, frozen=True):
    sentiment: _Mood | None = None


class _Message(msgspec.Struct, frozen=True):
    body: str
    created_at: datetime.datetime
    entities: _Entities = _Entities()


class _MessageList(msgspec.Struct, frozen=True):
    messages: list[_Message]


class StockTwits:
    """An AttentionSource, about thirty messages; NoDataError for a date that has passed."""

    name = "StockTwits"
    data_mode: DataMode = "live"

    def __init__(self, pool: HttpPool, urls: BaseUrls, clock: Clock = utc_now) -> None:
        self._pool = pool
        self._urls = urls
        self._clock = clock

    async def posts(self, symbol: str, as_of: AsOf) -> Posts:
        """The latest messages, newest first."""
        if as_of.date != new_york_day(self._clock()):
            raise NoDataError(
                f"{self.name} has only the present, nothing of {as_of}: analyse today, or do "
                "without posts."
            )
        path = f"api/2/streams/symbol/{quote(symbol, safe='')}.json"
        url = URL(f"{self._urls.stocktwits}/{path}", encoded=True)
        nothing = f"{self.name} does not know {symbol}: do without posts."
        with fetch_span(
            "stocktwits", self.data_mode, symbol=symbol, as_of=as_of, nothing=nothing
        ) as span:
            answer: _MessageList = await self._pool.get_json(url, _MessageList, source=self.name)
            posts = [_post(message) for message in answer.messages]
            span.set_attribute(semconv.ROWS, len(posts))
        newest = sorted(posts, key=lambda post: post.published, reverse=True)
        return Posts(symbol, tuple(newest))


def _post(message: _Message) -> Post:
    sentiment = message.entities.sentiment
    mood: Literal["bullish", "bearish", ""] = ""
    match sentiment.basic.lower() if sentiment else "":
        case "bullish":
            mood = "bullish"
        case "bearish":
            mood = "bearish"
    at = message.created_at
    utc = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)
    return Post(utc, clean(message.body, _MAX_POST), mood)

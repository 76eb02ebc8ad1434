"""The feed: one stream of what changes in the service, for all pages of a browser together.

Each event is encoded once, whoever follows. The last ones are kept, so that a client that comes
back with the id of the last event that it saw misses none. A client that reads too slowly for that
is dropped with a reason; others never wait for it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping

import msgspec

from trading_graph.otel.report.documents.document import Document

KEPT = 2_048
"""How many of the last events are kept at least."""

BEAT_S = 5.0
"""Time without an event until a beat is sent; without either, a stream counts as lost."""

_EVENTS_A_WRITE = 64
"""So that little waits in memory for a client that does not read."""

_BEAT = b"event: beat\ndata: {}\n\n"
_CLOSING = b'event: closing\ndata: {"reason":"The service is stopping."}\n\n'
_DROPPED = (
    b'event: dropped\ndata: {"reason":"More happened than this client has read; it may come back '
    b'with the id of its last event."}\n\n'
)


class HelloNews(Document, frozen=True, kw_only=True):
    """Topic `hello`, the first event: the number of the last event of each run that is not over.

    `missed` says that events since the id that was sent along are not kept any more.
    """

    missed: bool
    runs: Mapping[str, int]


class Feed:
    """The events of one service, as server-sent events."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        # A client may come back to a service that was started again and counts from 1.
        self._origin = f"{time.time_ns():x}"
        self._news: list[bytes] = []
        self._last = 0
        self._grown = asyncio.Event()
        self._closed = False
        self._watchers = 0
        self._drops = 0

    @property
    def watchers(self) -> int:
        """How many clients follow."""
        return self._watchers

    @property
    def drops(self) -> int:
        """How many clients were dropped since they read too slowly."""
        return self._drops

    def publish(self, topic: str, data: object) -> None:
        """Send an event to all who follow; a topic is a word, and the data becomes JSON."""
        self._last += 1
        self._news.append(self._event(topic, data, self._last))
        if len(self._news) >= 2 * self._kept:
            del self._news[: self._kept]
        self._wake()

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._wake()

    async def follow(
        self, last_id: str, runs: Callable[[], Mapping[str, int]]
    ) -> AsyncIterator[bytes]:
        """A hello with these runs, then the events after an id, else those from now on."""
        number = self._number(last_id)
        at = self._last if number is None else number
        hello = HelloNews(missed=bool(last_id) and number is None, runs=runs())
        self._watchers += 1
        try:
            yield self._event("hello", hello, at)
            while True:
                grown, first = self._grown, self._last - len(self._news)
                if at < first:
                    self._drops += 1
                    yield _DROPPED
                    return
                if at < self._last:
                    news = self._news[at - first : at - first + _EVENTS_A_WRITE]
                    at += len(news)
                    yield b"".join(news)
                elif self._closed:
                    yield _CLOSING
                    return
                else:
                    try:
                        async with asyncio.timeout(BEAT_S):
                            await grown.wait()
                    except TimeoutError:
                        yield _BEAT
        finally:
            self._watchers -= 1

    def stalled(self) -> None:
        """Count a client that was dropped since it took nothing for `STALLED_S`."""
        self._drops += 1

    def _number(self, last_id: str) -> int | None:
        """The number of the event with an id; None where the events after it are not kept."""
        origin, _, number = last_id.partition("-")
        if origin != self._origin or not number.isdecimal() or len(number) > 18:
            return None
        at = int(number)
        return at if self._last - len(self._news) <= at <= self._last else None

    def _event(self, topic: str, data: object, number: int) -> bytes:
        body = msgspec.json.encode(data)
        return b"event: %b\nid: %b-%d\ndata: %b\n\n" % (
            topic.encode(),
            self._origin.encode(),
            number,
            body,
        )

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

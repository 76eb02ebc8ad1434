"""The limits of a house in PostgreSQL: its workers stand in one line for each.

Requests of a process that come while the database is asked are booked together, the next time. So a
call costs at most one round trip, and many at once share one. While the database is away, each
worker keeps its share: the limit, divided by the workers that were seen last.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from time import monotonic

from trading_graph.graph.chat.rate_limits import Bookings, RateLimits, SentRequest
from trading_graph.service.shared.database import HouseAwayError, HouseDatabase
from trading_graph.service.shared.postgresql import SCHEMA
from trading_graph.toolkit.house import Hold, Place

_BOOK = f"SELECT * FROM {SCHEMA}.book(%s, %s, %s, %s, %s, %s)"
_LEAVE = f"DELETE FROM {SCHEMA}.waiting WHERE id = %s"
_CORRECT = f"SELECT {SCHEMA}.correct(%s, %s, %s, %s, %s)"
_PAUSE = f"SELECT {SCHEMA}.pause(%s, %s)"

_ALONE = -1
"""The place of a request that stands in no line but this process's own."""


class Share:
    """What one process has sent of a limit, and when one more request fits into its share.

    Times are those of any steady clock, in seconds.
    """

    def __init__(self, limits: RateLimits, window_s: float) -> None:
        self._limits = limits
        self._window_s = window_s
        self._sent: deque[SentRequest] = deque()
        self._counts_s = window_s
        self._pause_end = 0.0

    def add(self, now: float, tokens: int, requests: int = 1) -> None:
        """Count something as sent."""
        self._sent.append(SentRequest(now, tokens, requests))
        self._forget(now)

    def pause(self, end: float) -> None:
        """Let nothing fit in before a time."""
        self._pause_end = max(self._pause_end, end)

    def take(self, now: float, tokens: int, workers: int) -> Place:
        """Send a request within a share of so many workers, or say how long it has to wait."""
        # A limit below the number of workers is kept over a longer time.
        least = min((each for each in self._each_limit if each), default=workers)
        self._counts_s = window_s = self._window_s * max(1.0, workers / least)
        self._forget(now)
        share = RateLimits(*(each and max(1, each // workers) for each in self._each_limit))
        fits_at, bound = Bookings(share, self._sent, window_s).earliest(tokens)
        due = max(now, fits_at, self._pause_end)
        if due <= now:
            self.add(now, tokens)
            return Place(_ALONE)
        hold = Hold.SERVICE if due == self._pause_end else Hold(bound)
        return Place(_ALONE, due - now, hold)

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0].at <= now - self._counts_s:
            self._sent.popleft()

    @property
    def _each_limit(self) -> tuple[int | None, int | None]:
        return self._limits.requests, self._limits.tokens


@dataclass(frozen=True, slots=True, eq=False)
class _Ask:
    tokens: int
    place: int
    answer: "asyncio.Future[Place]"


class PostgresLimit:
    """A limit of the house; belongs to the event loop of the database's connections."""

    def __init__(
        self, database: HouseDatabase, name: str, limits: RateLimits, window_s: float
    ) -> None:
        self._database = database
        self._name = name
        self._limits = limits
        self._window_s = window_s
        self._share = Share(limits, window_s)
        self._asks: list[_Ask] = []
        self._asking: asyncio.Task[None] | None = None
        self._pausing: asyncio.Task[None] | None = None

    async def book(self, tokens: int = 0, waiting: Place | None = None) -> Place:
        """Book a request, at the end of the line or where it waits already."""
        answer: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        place = _ALONE if waiting is None else waiting.id
        self._asks.append(_Ask(tokens, place, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await answer

    def leave(self, waiting: Place) -> None:
        """Give up a place in line."""
        if waiting.id != _ALONE:
            self._database.soon(_LEAVE, (waiting.id,))

    def settle(self, booked: Place, tokens: int) -> None:
        """Book so many tokens more for a request; a negative number gives tokens back."""
        self._correct(booked, 0, tokens)

    def pause(self, seconds: float) -> None:
        """Book nothing for that long, for any process."""
        self._share.pause(monotonic() + seconds)
        self._pausing = self._database.soon(_PAUSE, (self._name, seconds))

    def _correct(self, booked: Place, requests: int, tokens: int) -> None:
        if tokens > 0:
            self._share.add(monotonic(), tokens, requests=0)
        if booked.id != _ALONE and (requests or tokens):
            values = (self._name, self._window_s, booked.id, requests, tokens)
            self._database.soon(_CORRECT, values)

    async def _ask(self) -> None:
        """Book what is asked for, all at once, until nothing is."""
        while asks := self._asks:
            self._asks = []
            try:
                if self._pausing is not None:
                    await asyncio.wait({self._pausing})
                places = await self._places(asks)
            except BaseException as error:
                for ask in asks:
                    if not ask.answer.done():
                        ask.answer.set_exception(error)
                raise
            for ask, place in zip(asks, places, strict=True):
                self._answer(ask, place)

    async def _places(self, asks: list[_Ask]) -> list[Place]:
        places, amounts = [ask.place for ask in asks], [ask.tokens for ask in asks]
        limits = (self._limits.requests, self._limits.tokens)
        try:
            rows = await self._database.ask(
                _BOOK, (self._name, *limits, self._window_s, places, amounts)
            )
        except HouseAwayError:
            now, workers = monotonic(), self._database.workers
            return [self._share.take(now, tokens, workers) for tokens in amounts]
        return [Place(place, wait_s, Hold(hold or Hold.REQUESTS)) for place, wait_s, hold in rows]

    def _answer(self, ask: _Ask, place: Place) -> None:
        if not ask.answer.done():
            if place.wait_s <= 0 and place.id != _ALONE:
                self._share.add(monotonic(), ask.tokens)
            ask.answer.set_result(place)
        elif place.wait_s > 0:  # Whoever asked is gone.
            self.leave(place)
        else:
            self._correct(place, -1, -ask.tokens)


class PostgresLimits:
    """The limits of the house, by name.

    What is sent under one name is counted together, also where two programs give it other numbers.
    """

    def __init__(self, database: HouseDatabase) -> None:
        self._database = database
        self._limits: dict[tuple[str, RateLimits, float], PostgresLimit] = {}

    def limit(
        self, name: str, *, requests: int | None, tokens: int | None = None, window_s: float
    ) -> PostgresLimit:
        """The limit of that name, the same for all who ask for it with these numbers."""
        limits = RateLimits(requests, tokens)
        new = PostgresLimit(self._database, name, limits, window_s)
        return self._limits.setdefault((name, limits, window_s), new)

"""The turns of a model in the line of a house: several processes share its limits."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.chat.rate_limits import (
    WINDOW_S,
    Bound,
    LongWait,
    ModelRate,
    RateLimits,
    SentRequest,
    TimeLeft,
    Turn,
    limits_of,
)
from trading_graph.otel.vocabularies.witness import Wait
from trading_graph.otel.witness import waiting
from trading_graph.toolkit.house import LOOK_S, HouseLimit, HouseLimits, Place


@dataclass(slots=True)
class _Booked(SentRequest):
    place: Place = field(kw_only=True)


class HouseRate(ModelRate):
    """The turns of one model, which the house gives; belongs to the event loop of the house."""

    def __init__(self, limits: RateLimits, model: str, house: HouseLimit) -> None:
        super().__init__(limits, model=model)
        self._house = house

    def pause(self, seconds: float) -> None:
        """Give no process a turn for that long: the service has said when it answers again."""
        self._house.pause(seconds)

    async def turn(
        self,
        tokens: int = 0,
        left: Callable[[], TimeLeft] = TimeLeft,
        announce: Callable[[float], object] = lambda seconds: None,
    ) -> Turn:
        """Wait for a turn of that many tokens; a cancelled wait gives its place to the next.

        `announce` and `left` as in the line of one process. Raises LongWait.
        """
        place = await self._house.book(tokens)
        waits: dict[Bound, float] = defaultdict(float)
        if place.wait_s > 0:
            announce(place.wait_s)
            try:
                with waiting(Wait.RATE_LIMIT):
                    while place.wait_s > 0:
                        budget = left()
                        if place.wait_s >= budget.seconds:
                            raise LongWait(self._source, place.wait_s, budget)
                        began = self._now()
                        await asyncio.sleep(min(place.wait_s, LOOK_S))
                        waits[Bound(place.hold)] += self._now() - began
                        place = await self._house.book(tokens, place)
            except BaseException:
                self._house.leave(place)
                raise
        return Turn(self, _Booked(self._now(), tokens, place=place), waits)

    def settle(self, sent: SentRequest, tokens: int) -> int:
        """Book what a request really took; returns what exceeds the expectation."""
        assert isinstance(sent, _Booked)
        more = tokens - sent.tokens
        if self.limits.tokens is not None:
            self._house.settle(sent.place, more)
        if more <= 0:
            sent.tokens = tokens
        return max(more, 0)


def house_rate(house: HouseLimits, service: ModelService, name: str) -> HouseRate:
    """The turns of a model, the same for all processes of a house."""
    limits = limits_of(service, name)
    # Each process has an offline model of its own, at an address of its own.
    address = "offline" if service.is_ours else service.address
    shared = house.limit(
        f"{address} {name}", requests=limits.requests, tokens=limits.tokens, window_s=WINDOW_S
    )
    return HouseRate(limits, name, shared)

"""A source for the cache that answers when it is told to, and a clock that stands still."""

import asyncio
import datetime
from dataclasses import dataclass

from trading_graph.toolkit.cache import CacheKey

DAY = datetime.date(2025, 11, 14)
KEY = CacheKey("bars", "test", "AAPL", DAY)


def key_of(symbol: str, kind: str = "bars") -> CacheKey:
    return CacheKey(kind, "test", symbol, DAY)


class Upstream:
    """A source that answers when it is told to, and counts what it was asked."""

    def __init__(self, answer: object = "value", *, waits: bool = False) -> None:
        self.calls = 0
        self.cancelled = 0
        self.answer = answer
        self.release = asyncio.Event()
        if not waits:
            self.release.set()

    async def load(self) -> object:
        self.calls += 1
        try:
            await self.release.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)

"""How often a host may be asked: a rate with a burst, and the pauses that it demands itself."""

import asyncio
from time import perf_counter

from aiolimiter import AsyncLimiter


class RateLimit:
    """Lets requests through at a rate, first come first served; belongs to one event loop.

    `requests_per_s=None` limits nothing but still keeps the pauses. In any second at most
    `burst + requests_per_s` requests pass.
    """

    def __init__(self, requests_per_s: float | None, burst: int) -> None:
        self._limiter = AsyncLimiter(burst, burst / requests_per_s) if requests_per_s else None
        self._held_until = 0.0

    def hold(self, seconds: float) -> None:
        """Let nothing through for that long: the host has said when to come back."""
        self._held_until = max(self._held_until, perf_counter() + seconds)

    @property
    def busy(self) -> bool:
        """Whether a request would have to wait now."""
        full = self._limiter is not None and not self._limiter.has_capacity()
        return full or perf_counter() < self._held_until

    async def wait(self) -> float:
        """Take one's turn; returns the seconds that it took, 0 and no step of the loop if free."""
        began = perf_counter() if self.busy else None
        while True:
            if (held := self._held_until - perf_counter()) > 0:
                await asyncio.sleep(held)
            if self._limiter is not None:
                await self._limiter.acquire()
            if perf_counter() >= self._held_until:  # a hold may have come while we queued
                return 0.0 if began is None else perf_counter() - began

"""How often each host may be asked: the limits of the live sources' hosts, and the rate limiter.

The limits cover retries, the circuit breaker and the size of an answer as well.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

from aiolimiter import AsyncLimiter

_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The limits of the requests to one host, or to several that share one rate.

    Rate: a first burst of `burst` requests, then `requests_per_s`; None is no limit. Hosts of the
    same `rate_group` share one rate; without it each host has its own. `user_agent` is sent where
    the request names none. `max_body_bytes` counts decompressed bytes. `propagate` sends the trace
    headers to a host on this machine; a foreign host never gets them.

    Retries: a request gets `attempts` attempts in all where another one can help (429, 502, 503,
    504, no connection, a timeout, an incomplete answer). The pauses between them grow from
    `retry_wait_s`. A Retry-After of up to `retry_after_max_s` is honoured; a longer one ends the
    attempts.

    Breaker: after `breaker_failures` such failures in a row nothing is sent for `breaker_open_s`.
    Each failed probe doubles that time, up to `breaker_open_max_s`. `breaker_failures=None` means
    no breaker.
    """

    requests_per_s: float | None = None
    burst: int = 10
    rate_group: str | None = None
    user_agent: str | None = None
    max_body_bytes: int = 8 * _MEBIBYTE
    propagate: bool = True
    attempts: int = 3
    retry_wait_s: float = 0.25
    retry_after_max_s: float = 5.0
    breaker_failures: int | None = 5
    breaker_open_s: float = 30.0
    breaker_open_max_s: float = 600.0

    def __post_init__(self) -> None:
        """Refuse limits that no request could meet."""
        if self.requests_per_s is not None and self.requests_per_s <= 0:
            raise ValueError("requests_per_s must be above 0: give None for no limit.")
        least = min(self.burst, self.max_body_bytes, self.attempts)
        if least < 1 or (self.breaker_failures is not None and self.breaker_failures < 1):
            raise ValueError(
                "burst, max_body_bytes, attempts and breaker_failures must be at least 1."
            )


HOST_POLICIES: Mapping[str, HostPolicy] = {
    "query1.finance.yahoo.com": HostPolicy(requests_per_s=5, rate_group="yahoo"),
    "query2.finance.yahoo.com": HostPolicy(requests_per_s=5, rate_group="yahoo"),
    "fc.yahoo.com": HostPolicy(requests_per_s=5, rate_group="yahoo"),
    "data.sec.gov": HostPolicy(requests_per_s=8, burst=2, rate_group="sec"),
    "www.sec.gov": HostPolicy(requests_per_s=8, burst=2, rate_group="sec"),
    "api.stlouisfed.org": HostPolicy(requests_per_s=2, burst=20),
    "news.google.com": HostPolicy(requests_per_s=1, burst=5),
    "api.stocktwits.com": HostPolicy(requests_per_s=200 / 3600, burst=10),
}
"""The live sources' hosts: at most what their terms allow, and less where they state no rate."""


@dataclass(frozen=True, slots=True)
class HostPolicies:
    """The policy of each host, by `host:port` or by `host`, and the one of all others."""

    by_host: Mapping[str, HostPolicy]
    default: HostPolicy = HostPolicy()

    def of(self, host: str, port: int) -> HostPolicy:
        """The policy for requests to this host; a key with the port takes precedence."""
        return self.by_host.get(f"{host}:{port}") or self.by_host.get(host) or self.default


class RateLimit:
    """Lets requests through at a rate, first come first served; belongs to one event loop.

    At most `burst + requests_per_s` requests pass in any second. `requests_per_s=None` limits
    nothing, but `pause` still works.
    """

    def __init__(self, requests_per_s: float | None, burst: int) -> None:
        self._limiter = AsyncLimiter(burst, burst / requests_per_s) if requests_per_s else None
        self._pause_end = 0.0

    def pause(self, seconds: float) -> None:
        """Let nothing through for that long: the host has said when to come back."""
        self._pause_end = max(self._pause_end, perf_counter() + seconds)

    @property
    def busy(self) -> bool:
        """Whether a request would have to wait now."""
        full = self._limiter is not None and not self._limiter.has_capacity()
        return full or perf_counter() < self._pause_end

    async def wait(self) -> float:
        """Wait for a turn; returns the wait in seconds, 0 without a step of the loop if free."""
        start = perf_counter() if self.busy else None
        while True:
            if (pause_s := self._pause_end - perf_counter()) > 0:
                await asyncio.sleep(pause_s)
            if self._limiter is not None:
                await self._limiter.acquire()
            if perf_counter() >= self._pause_end:  # a pause may have come while we queued
                return 0.0 if start is None else perf_counter() - start

"""How often each host may be asked: the limits of each host, its rate, and its circuit breaker.

The limits cover retries and the size of an answer as well.
"""

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

from aiolimiter import AsyncLimiter
from yarl import URL

from trading_graph.otel.vocabularies.witness import Wait
from trading_graph.otel.witness import waiting
from trading_graph.toolkit.circuit_breaker import CircuitBreaker
from trading_graph.toolkit.errors import SourcePausedError
from trading_graph.toolkit.house import LOOK_S, HouseLimit, HouseLimits

_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The limits of the requests to one host, or to several that share one rate.

    Rate: a first burst of `burst` requests, then `requests_per_s`; None is no limit. Hosts of the
    same `rate_group` share one rate; without it each host has its own. `user_agent` is sent where
    the request names none. `max_body_bytes` counts decompressed bytes. `propagate` sends the trace
    headers to a host on this machine; a foreign host never gets them. A redirect is followed to the
    host itself and to `redirects_to`, where `.example.com` is all hosts below that name.

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
    redirects_to: tuple[str, ...] = ()
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


YAHOO_DOMAIN = ".yahoo.com"
_YAHOO = HostPolicy(requests_per_s=5, rate_group="yahoo", redirects_to=(YAHOO_DOMAIN,))
_SEC = HostPolicy(requests_per_s=8, burst=2, rate_group="sec", redirects_to=(".sec.gov",))

HOST_POLICIES: Mapping[str, HostPolicy] = {
    "query1.finance.yahoo.com": _YAHOO,
    "query2.finance.yahoo.com": _YAHOO,
    "fc.yahoo.com": _YAHOO,
    "data.sec.gov": _SEC,
    "www.sec.gov": _SEC,
    "api.stlouisfed.org": HostPolicy(requests_per_s=2, burst=20),
    "news.google.com": HostPolicy(requests_per_s=1, burst=5),
    "api.stocktwits.com": HostPolicy(requests_per_s=200 / 3600, burst=10),
}
"""The live sources' hosts: at most what their terms allow, and less where they state no rate."""


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
        with waiting(Wait.RATE_LIMIT):
            while True:
                if (pause_s := self._pause_end - perf_counter()) > 0:
                    await asyncio.sleep(pause_s)
                if self._limiter is not None:
                    await self._limiter.acquire()
                if perf_counter() >= self._pause_end:  # a pause may have come while we queued
                    return 0.0 if start is None else perf_counter() - start


class HouseRate:
    """The rate of a host that all processes of a house share; belongs to one event loop."""

    busy = True
    """Only the house knows whether a request has to wait."""

    def __init__(self, limit: HouseLimit) -> None:
        self._limit = limit

    def pause(self, seconds: float) -> None:
        """Let no process through for that long: the host has said when to come back."""
        self._limit.pause(seconds)

    async def wait(self) -> float:
        """Wait for a turn; returns the wait in seconds, 0 where there was none."""
        place = await self._limit.book()
        if not place.wait_s:
            return 0.0
        start = perf_counter()
        try:
            with waiting(Wait.RATE_LIMIT):
                while place.wait_s > 0:
                    await asyncio.sleep(min(place.wait_s, LOOK_S))
                    place = await self._limit.book(waiting=place)
        except BaseException:
            self._limit.leave(place)
            raise
        return perf_counter() - start


@dataclass(frozen=True, slots=True)
class Host:
    """A host with its rules; `name` has the port where it is not the scheme's default.

    `traced` hosts get the trace headers: those on this machine, unless their policy says no.
    """

    name: str
    policy: HostPolicy
    traced: bool
    rate: RateLimit | HouseRate
    breaker: CircuitBreaker

    def pause_error(self) -> SourcePausedError:
        """The error for a request that the breaker refuses."""
        wait_s = self.breaker.refused_for_s
        when = f"in {wait_s:.0f} s" if wait_s else "when one request has shown that it is back"
        failures = self.breaker.failures
        reason = "a failure" if failures == 1 else f"{failures} failures in a row"
        return SourcePausedError(
            f"{self.name} is not asked for now, after {reason}: try again {when}.",
            retry_after_s=wait_s,
            refusal=self.breaker.refusal,
        )


class Hosts:
    """The hosts of one pool, each from its first request on; belongs to one event loop.

    `policies` holds the rules by `host:port` or by `host`, `default` those of every other host.
    With a `house`, the rates of hosts that have one are shared by its processes.
    """

    def __init__(
        self,
        policies: Mapping[str, HostPolicy],
        default: HostPolicy,
        house: HouseLimits | None = None,
    ) -> None:
        self._house = house
        self._policies = policies
        self._default = default
        self._hosts: dict[tuple[str, int], Host] = {}
        self._rates: dict[str, RateLimit | HouseRate] = {}

    def of(self, url: URL) -> Host:
        """The host of a URL."""
        key = (url.host or "", url.port or 0)
        host = self._hosts.get(key)
        if host is None:
            host = self._hosts[key] = self._make(url, *key)
        return host

    def _make(self, url: URL, name: str, port: int) -> Host:
        policies = self._policies
        policy = policies.get(f"{name}:{port}") or policies.get(name) or self._default
        rate = self._rate(policy, policy.rate_group or f"{name}:{port}")
        if policy.rate_group is not None:
            rate = self._rates.setdefault(policy.rate_group, rate)
        breaker = CircuitBreaker(
            policy.breaker_failures, policy.breaker_open_s, policy.breaker_open_max_s
        )
        label = name if url.is_default_port() else f"{name}:{port}"
        return Host(label, policy, policy.propagate and _is_loopback(name), rate, breaker)

    def _rate(self, policy: HostPolicy, name: str) -> RateLimit | HouseRate:
        if self._house is None or policy.requests_per_s is None:
            return RateLimit(policy.requests_per_s, policy.burst)
        window_s = policy.burst / policy.requests_per_s
        return HouseRate(self._house.limit(name, requests=policy.burst, window_s=window_s))


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine, judged by its address or name without a look-up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

"""The hosts that a pool speaks to: for each its rules, its rate and its breaker."""

import ipaddress
from dataclasses import dataclass

from yarl import URL

from trading_graph.toolkit.circuit_breaker import BreakerState, CircuitBreaker
from trading_graph.toolkit.errors import SourcePaused
from trading_graph.toolkit.host_policy import HostPolicies, HostPolicy
from trading_graph.toolkit.rate_limit import RateLimit


@dataclass(frozen=True, slots=True)
class HostState:
    """How a host does at this moment: failures in a row, and for how long it is left alone."""

    name: str
    breaker: BreakerState
    failures: int
    refused_for_s: float


@dataclass(frozen=True, slots=True)
class Host:
    """A host with its rules; `name` has the port where it is not the scheme's own.

    `traced` hosts get the trace headers: those on this machine, unless their policy says no.
    """

    name: str
    policy: HostPolicy
    traced: bool
    rate: RateLimit
    breaker: CircuitBreaker

    @property
    def state(self) -> HostState:
        """How the host does at this moment."""
        breaker = self.breaker
        return HostState(self.name, breaker.state, breaker.failures, breaker.refused_for_s)

    def paused(self) -> SourcePaused:
        """The error for a request that the breaker refuses."""
        wait_s = self.breaker.refused_for_s
        when = f"in {wait_s:.0f} s" if wait_s else "when one request has shown that it is back"
        failures = self.breaker.failures
        many = "a failure" if failures == 1 else f"{failures} failures in a row"
        return SourcePaused(
            f"{self.name} is not asked for now, after {many}: try again {when}.",
            retry_after_s=wait_s,
        )


class Hosts:
    """Knows each host from its first request on; belongs to one event loop."""

    def __init__(self, policies: HostPolicies) -> None:
        self._policies = policies
        self._known: dict[tuple[str, int], Host] = {}
        self._rates: dict[str, RateLimit] = {}

    @property
    def states(self) -> tuple[HostState, ...]:
        """How the hosts do at this moment, by name; may be asked from any thread."""
        known = tuple(self._known.values())  # the loop's thread may meet another one meanwhile
        return tuple(host.state for host in sorted(known, key=lambda host: host.name))

    def of(self, url: URL) -> Host:
        """The host of a URL."""
        place = (url.host or "", url.port or 0)
        host = self._known.get(place)
        if host is None:
            host = self._known[place] = self._meet(url, *place)
        return host

    def _meet(self, url: URL, name: str, port: int) -> Host:
        policy = self._policies.of(name, port)
        rate = RateLimit(policy.requests_per_s, policy.burst)
        if policy.rate_group is not None:
            rate = self._rates.setdefault(policy.rate_group, rate)
        breaker = CircuitBreaker(
            policy.breaker_failures, policy.breaker_open_s, policy.breaker_open_max_s
        )
        shown = name if url.is_default_port() else f"{name}:{port}"
        return Host(shown, policy, policy.propagate and _is_loopback(name), rate, breaker)


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its written address or name; nothing is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

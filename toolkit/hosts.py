"""The hosts that a pool speaks to: the policy, the rate and the breaker of each."""

import ipaddress
from dataclasses import dataclass

from yarl import URL

from trading_graph.toolkit.circuit_breaker import BreakerState, CircuitBreaker
from trading_graph.toolkit.errors import SourcePausedError
from trading_graph.toolkit.rate_limits import HostPolicies, HostPolicy, RateLimit


@dataclass(frozen=True, slots=True)
class HostState:
    """The state of a host now: its breaker, failures in a row, and the seconds of its pause."""

    name: str
    breaker: BreakerState
    failures: int
    refused_for_s: float


@dataclass(frozen=True, slots=True)
class Host:
    """A host with its rules; `name` has the port where it is not the scheme's default.

    `traced` hosts get the trace headers: those on this machine, unless their policy says no.
    """

    name: str
    policy: HostPolicy
    traced: bool
    rate: RateLimit
    breaker: CircuitBreaker

    @property
    def state(self) -> HostState:
        """The state of the host now."""
        breaker = self.breaker
        return HostState(self.name, breaker.state, breaker.failures, breaker.refused_for_s)

    def pause_error(self) -> SourcePausedError:
        """The error for a request that the breaker refuses."""
        wait_s = self.breaker.refused_for_s
        when = f"in {wait_s:.0f} s" if wait_s else "when one request has shown that it is back"
        failures = self.breaker.failures
        reason = "a failure" if failures == 1 else f"{failures} failures in a row"
        return SourcePausedError(
            f"{self.name} is not asked for now, after {reason}: try again {when}.",
            retry_after_s=wait_s,
        )


class Hosts:
    """The hosts of one pool, each from its first request on; belongs to one event loop."""

    def __init__(self, policies: HostPolicies) -> None:
        self._policies = policies
        self._hosts: dict[tuple[str, int], Host] = {}
        self._rates: dict[str, RateLimit] = {}

    @property
    def states(self) -> tuple[HostState, ...]:
        """The states of all hosts now, by name; any thread may read this."""
        hosts = tuple(self._hosts.values())  # the loop's thread may add one meanwhile
        return tuple(host.state for host in sorted(hosts, key=lambda host: host.name))

    def of(self, url: URL) -> Host:
        """The host of a URL."""
        key = (url.host or "", url.port or 0)
        host = self._hosts.get(key)
        if host is None:
            host = self._hosts[key] = self._make(url, *key)
        return host

    def _make(self, url: URL, name: str, port: int) -> Host:
        policy = self._policies.of(name, port)
        rate = RateLimit(policy.requests_per_s, policy.burst)
        if policy.rate_group is not None:
            rate = self._rates.setdefault(policy.rate_group, rate)
        breaker = CircuitBreaker(
            policy.breaker_failures, policy.breaker_open_s, policy.breaker_open_max_s
        )
        label = name if url.is_default_port() else f"{name}:{port}"
        return Host(label, policy, policy.propagate and _is_loopback(name), rate, breaker)


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine, judged by its address or name without a look-up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

"""What a host is asked with and how often: the rules that a source's terms ask for, one by host."""

from collections.abc import Mapping
from dataclasses import dataclass

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The rules for the requests to one host, or to several that share one rate.

    `requests_per_s` after a first burst of `burst`; None is no limit. Hosts of the same
    `rate_group` draw on one rate; without it each host has its own. `user_agent` is sent where the
    request names none. `max_body_bytes` counts decompressed. `propagate` sends the trace headers
    to a host on this machine; a foreign host never gets them.

    A request is tried `attempts` times in all where trying again can help (429, 502, 503, 504, no
    connection, a timeout, an answer broken off), with growing pauses from `retry_wait_s` on. A
    Retry-After of up to `retry_after_max_s` is honoured; a longer one ends the tries. After
    `breaker_failures` such failures in a row nothing is sent for `breaker_open_s`, which doubles
    with each failed probe up to `breaker_open_max_s`. `breaker_failures=None` is no breaker.
    """

    requests_per_s: float | None = None
    burst: int = 10
    rate_group: str | None = None
    user_agent: str | None = None
    max_body_bytes: int = 8 * MEBIBYTE
    propagate: bool = True
    attempts: int = 3
    retry_wait_s: float = 0.25
    retry_after_max_s: float = 5.0
    breaker_failures: int | None = 5
    breaker_open_s: float = 30.0
    breaker_open_max_s: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what no request could be made under."""
        if self.requests_per_s is not None and self.requests_per_s <= 0:
            raise ValueError("requests_per_s must be above 0: give None for no limit.")
        least = min(self.burst, self.max_body_bytes, self.attempts)
        if least < 1 or (self.breaker_failures is not None and self.breaker_failures < 1):
            raise ValueError(
                "burst, max_body_bytes, attempts and breaker_failures must be at least 1."
            )


@dataclass(frozen=True, slots=True)
class HostPolicies:
    """The policy of each host, by `host:port` or by `host`, and the one of all others."""

    by_host: Mapping[str, HostPolicy]
    default: HostPolicy = HostPolicy()

    def of(self, host: str, port: int) -> HostPolicy:
        """The policy for requests to this host; a key with the port goes before one without."""
        return self.by_host.get(f"{host}:{port}") or self.by_host.get(host) or self.default

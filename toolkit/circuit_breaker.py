"""A circuit breaker: after repeated failures a host gets no requests for a while.

Closed, it lets everything through. After a number of failures in a row it opens and lets nothing
through. When its time is up it is half-open: it lets one request through, the probe, and refuses
all others. If the probe succeeds the breaker closes; if not, it opens for twice as long.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether requests pass: all of them, none, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to make one request; its holder reports how the request ended."""

    probe: bool


class CircuitBreaker:
    """Counts failures in a row, and decides which requests pass.

    `failures=None` never opens. Times are in seconds; the clock is monotonic.
    """

    def __init__(
        self,
        failures: int | None,
        open_s: float,
        open_max_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._open_s = open_s
        self._open_max_s = open_max_s
        self._clock = clock
        self._failures = 0
        self._openings = 0
        self._open_until: float | None = None
        self._probing = False
        self.refusal = False
        """Whether the last failure was a refusal."""

    @property
    def state(self) -> BreakerState:
        """The state now."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.refused_for_s else BreakerState.HALF_OPEN

    @property
    def refused_for_s(self) -> float:
        """The seconds for which nothing passes; 0 once the breaker is closed or half-open."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._clock())

    @property
    def failures(self) -> int:
        """The failures in a row so far."""
        return self._failures

    def admit(self) -> Permit | None:
        """The right to make a request; None while the breaker is open or a probe is under way."""
        if self._open_until is None:
            return Permit(probe=False)
        if self._probing or self.refused_for_s:
            return None
        self._probing = True
        return Permit(probe=True)

    def report_success(self, permit: Permit) -> None:
        """Note that the host answered; a probe closes the breaker."""
        if permit.probe:
            self._probing = False
            self._open_until = None
            self._openings = 0
        if self._open_until is None:
            self._failures = 0  # a late answer to a request from before it opened closes nothing

    def report_failure(
        self, permit: Permit, pause_s: float | None = None, *, refusal: bool = False
    ) -> bool:
        """Note that the host failed; True if that opens the breaker.

        `pause_s` is the time for which the host itself wants no requests. A `refusal` is the
        host's answer to who asks, and no sign that it is down.
        """
        if self._limit is None:
            return False
        if not permit.probe and self._open_until is not None:
            return False  # the request is from before the breaker opened, and says nothing new
        self._failures += 1
        self.refusal = refusal
        if not (permit.probe or pause_s is not None or self._failures >= self._limit):
            return False
        self._probing = False
        usual_s = self._open_s * 2.0 ** min(self._openings, 60)
        self._openings += 1
        self._open_until = self._clock() + min(max(usual_s, pause_s or 0.0), self._open_max_s)
        return True

    def release(self, permit: Permit) -> None:
        """Note that the request ended and says nothing of the host: the next one is the probe."""
        if permit.probe:
            self._probing = False

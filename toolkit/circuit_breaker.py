"""A circuit breaker: a host that fails again and again is left alone for a while.

Closed, everything passes. After so many failures in a row it opens and nothing passes. When the
time is up it is half-open: one request, the probe, is let through while all others are still
refused. If the probe succeeds the breaker closes, else it opens for twice as long.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """Whether requests pass: all of them, none, or one that tries."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Pass:
    """The right to make one request; it must be handed back, with how the request went."""

    probe: bool


class CircuitBreaker:
    """Counts failures in a row, and decides who may ask.

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

    @property
    def state(self) -> BreakerState:
        """What the breaker does at this moment."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.refused_for_s else BreakerState.HALF_OPEN

    @property
    def refused_for_s(self) -> float:
        """How long nothing will be let through; 0 once the breaker is closed or half-open."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._clock())

    @property
    def failures(self) -> int:
        """The failures in a row so far."""
        return self._failures

    def admit(self) -> Pass | None:
        """The right to make a request; None while the breaker is open or a probe under way."""
        if self._open_until is None:
            return Pass(probe=False)
        if self._probing or self.refused_for_s:
            return None
        self._probing = True
        return Pass(probe=True)

    def succeeded(self, given: Pass) -> None:
        """The host answered: a probe closes the breaker."""
        if given.probe:
            self._probing = False
            self._open_until = None
            self._openings = 0
        if self._open_until is None:
            self._failures = 0  # a late answer to what was asked before it opened closes nothing

    def failed(self, given: Pass, pause_s: float | None = None) -> bool:
        """The host failed, and may have said for how long to leave it alone; True if this opens."""
        if self._limit is None:
            return False
        if not given.probe and self._open_until is not None:
            return False  # it was asked before the breaker opened, and tells nothing new
        self._failures += 1
        if not (given.probe or pause_s is not None or self._failures >= self._limit):
            return False
        self._probing = False
        usual = self._open_s * 2.0 ** min(self._openings, 60)
        self._openings += 1
        wait = min(max(usual, pause_s or 0.0), self._open_max_s)
        self._open_until = self._clock() + wait
        return True

    def abandoned(self, given: Pass) -> None:
        """The request ended without telling anything of the host: the next one is the probe."""
        if given.probe:
            self._probing = False

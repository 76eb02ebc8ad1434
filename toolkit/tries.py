"""The tries of one request: whether the host may be asked, and whether to ask again.

Tried again is what may pass: 429 and 5xx, no connection, a timeout, an answer broken off. A host
that says how long to wait (Retry-After) is waited for, by all requests to it, if that is not too
long; else the tries end and its breaker opens for that time. Every further try is an event `retry`
on the span of the caller.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

import stamina
from opentelemetry import trace

from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.circuit_breaker import BreakerState, Pass
from trading_graph.toolkit.errors import BadAnswer, HttpStatus, SourceUnavailable
from trading_graph.toolkit.hosts import Host

T = TypeVar("T")


class Tries:
    """The tries of one request to a host; none begins later than `patience_s` after the first.

    `resends` counts those before the present one. `blameless` is set for a try that failed for a
    reason that tells nothing of the host.
    """

    def __init__(self, host: Host, patience_s: float) -> None:
        self.resends = 0
        self.blameless = False
        self._host = host
        self._patience_s = patience_s
        self._span = trace.get_current_span()
        self._last: Exception = SourceUnavailable("not asked yet")

    async def until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and ask again as long as that may help; raises what the last one did."""
        began = perf_counter()
        try:
            return await ask()  # as a rule once: a retry context costs half a request on loopback
        except SourceUnavailable as error:
            first = error
        policy = self._host.policy
        async for attempt in stamina.retry_context(
            on=self._wait_before_next,
            attempts=policy.attempts,
            timeout=max(self._patience_s - (perf_counter() - began), 1e-6),
            wait_initial=policy.retry_wait_s,
            wait_max=policy.retry_after_max_s,
            wait_jitter=policy.retry_wait_s,
        ):
            with attempt:
                if attempt.num == 1:
                    raise first
                self.resends = attempt.num - 1
                self._span.add_event(
                    "retry",
                    {"attempt": self.resends, semconv.ERROR_TYPE: spans.error_type(self._last)},
                )
                return await ask()
        raise first

    @contextmanager
    def passing(self) -> Iterator[Pass]:
        """One try that the breaker lets through and learns from; SourcePaused where it does not."""
        breaker = self._host.breaker
        given = breaker.admit()
        if given is None:
            self._span.set_attribute(semconv.BREAKER, BreakerState.OPEN)
            raise self._host.paused()
        self.blameless = False
        try:
            yield given
        except SourceUnavailable as error:
            self._learn(given, error)
            raise
        except BaseException:
            breaker.abandoned(given)  # cancelled, or a fault of ours
            raise
        breaker.succeeded(given)

    def _learn(self, given: Pass, error: SourceUnavailable) -> None:
        breaker, policy = self._host.breaker, self._host.policy
        if error.transient and not self.blameless:
            asked_s = error.retry_after_s
            too_long = asked_s is not None and asked_s > policy.retry_after_max_s
            if breaker.failed(given, asked_s if too_long else None):
                self._span.set_attribute(semconv.BREAKER, BreakerState.OPEN)
                self._span.add_event(
                    semconv.BREAKER_OPENED,
                    {
                        "server.address": self._host.name,
                        "failures": breaker.failures,
                        "open_s": round(breaker.refused_for_s, 3),
                    },
                )
            if asked_s and not too_long:
                self._host.rate.hold(asked_s)
        elif isinstance(error, HttpStatus | BadAnswer):
            breaker.succeeded(given)  # it answers; what it answers is another matter
        else:
            breaker.abandoned(given)

    def _wait_before_next(self, error: Exception) -> bool | float:
        self._last = error
        if not isinstance(error, SourceUnavailable) or not error.transient:
            return False
        if self._host.breaker.state is BreakerState.OPEN:
            return False
        if self.blameless:
            return 0.0
        asked_s, longest_s = error.retry_after_s, self._host.policy.retry_after_max_s
        if asked_s is None:
            return True
        return asked_s if asked_s <= longest_s else False

"""The attempts of one request: whether the breaker lets it through, and whether to retry.

Retried is what may pass: 429 and 5xx, no connection, a timeout, an incomplete answer. Where a host
says how long to wait (Retry-After), all requests to it wait, unless that is too long: then the
attempts end, and the host's breaker opens for that time. Every retry is an event `retry` on the
caller's span.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

import stamina
from opentelemetry import trace

from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.circuit_breaker import BreakerState, Permit
from trading_graph.toolkit.errors import BadAnswerError, HttpStatusError, SourceUnavailableError
from trading_graph.toolkit.rate_limits import Host

T = TypeVar("T")


class Attempts:
    """The attempts of one request to a host; none begins later than `patience_s` after the first.

    `resends` counts the attempts before the present one. The caller sets `blameless` where an
    attempt failed for a reason that says nothing of the host.
    """

    def __init__(self, host: Host, patience_s: float) -> None:
        self.resends = 0
        self.blameless = False
        self._host = host
        self._patience_s = patience_s
        self._span = trace.get_current_span()
        self._last: Exception = SourceUnavailableError("no attempt yet")

    async def run(self, send: Callable[[], Awaitable[T]]) -> T:
        """Send the request until it succeeds or a retry cannot help; raises the last error."""
        start = perf_counter()
        try:
            return await send()  # usually once: a retry context costs half a request on loopback
        except SourceUnavailableError as error:
            first = error
        policy = self._host.policy
        async for attempt in stamina.retry_context(
            on=self._wait_before_next,
            attempts=policy.attempts,
            timeout=max(self._patience_s - (perf_counter() - start), 1e-6),
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
                return await send()
        raise first

    @contextmanager
    def permit(self) -> Iterator[Permit]:
        """One attempt, whose end the breaker learns; SourcePausedError where it is refused."""
        breaker = self._host.breaker
        permit = breaker.admit()
        if permit is None:
            self._span.set_attribute(semconv.BREAKER, BreakerState.OPEN)
            raise self._host.pause_error()
        self.blameless = False
        try:
            yield permit
        except SourceUnavailableError as error:
            self._report(permit, error)
            raise
        except BaseException:
            breaker.release(permit)  # cancelled, or a fault of ours
            raise
        breaker.report_success(permit)

    def _report(self, permit: Permit, error: SourceUnavailableError) -> None:
        breaker, policy = self._host.breaker, self._host.policy
        if error.transient and not self.blameless:
            wait_s = error.retry_after_s
            too_long = wait_s is not None and wait_s > policy.retry_after_max_s
            if breaker.report_failure(permit, wait_s if too_long else None):
                self._span.set_attribute(semconv.BREAKER, BreakerState.OPEN)
                self._span.add_event(
                    semconv.BREAKER_OPENED,
                    {
                        "server.address": self._host.name,
                        "failures": breaker.failures,
                        "open_s": round(breaker.refused_for_s, 3),
                    },
                )
            if wait_s and not too_long:
                self._host.rate.pause(wait_s)
        elif isinstance(error, HttpStatusError | BadAnswerError):
            breaker.report_success(permit)  # the host answers, whatever the answer is
        else:
            breaker.release(permit)

    def _wait_before_next(self, error: Exception) -> bool | float:
        self._last = error
        if not isinstance(error, SourceUnavailableError) or not error.transient:
            return False
        if self._host.breaker.state is BreakerState.OPEN:
            return False
        if self.blameless:
            return 0.0
        wait_s = error.retry_after_s
        if wait_s is None:
            return True
        return wait_s if wait_s <= self._host.policy.retry_after_max_s else False

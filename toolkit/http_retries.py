"""The attempts of one request: what a failure means, whether a retry may help, whether to send it.

Retried is what may pass: 429 and 5xx, no connection, a timeout, an incomplete answer. Where a host
says how long to wait (Retry-After), all requests to it wait, unless that is too long: then the
attempts end, and the host's breaker opens for that time. Every retry is an event `retry` on the
caller's span.

A message names host and path, never the query, which may hold a key; and never an exception's own
text, which may repeat the query.
"""

import datetime
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from time import perf_counter
from typing import TypeVar

import aiohttp
import stamina
from opentelemetry import trace
from yarl import URL

from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.circuit_breaker import BreakerState, Permit
from trading_graph.toolkit.errors import (
    BadAnswerError,
    DataError,
    HttpStatusError,
    RateLimitError,
    SourceTimeoutError,
    SourceUnavailableError,
)
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
            refusal = isinstance(error, RateLimitError)
            if breaker.report_failure(permit, wait_s if too_long else None, refusal=refusal):
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


MAX_REASON_BYTES = 65536
"""How much of an unsuccessful answer is read to explain it, in bytes."""

# What aiohttp's parsers say, in C and in Python.
_TOO_LONG = "Got more than"

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")


class ConnectionBrokenError(aiohttp.ClientConnectionError):
    """The connection ended before the answer's headers; `reused` if it had served before.

    A server may close an idle connection at the wrong moment: that is nobody's fault.
    """

    def __init__(self, reused: bool) -> None:
        super().__init__("connection broken")
        self.reused = reused


class ForeignRedirectError(aiohttp.ClientError):
    """A host redirects to another one, which gets no request."""


def place(url: URL) -> str:
    """Host, port if unusual, and path: what a message may name."""
    port = "" if url.is_default_port() else f":{url.port}"
    return f"{url.host}{port}{url.raw_path}"


def failure(
    url: URL,
    error: Exception,
    limits: aiohttp.ClientTimeout,
    total_s: float,
    *,
    in_queue: bool = False,
) -> DataError:
    """The error for an exchange that ended without an answer.

    `in_queue` says that the time ran out while the request waited for a free connection. That says
    nothing of the host, and a retry would only lengthen the queue.
    """
    where = place(url)
    match error:
        case aiohttp.ConnectionTimeoutError():
            return SourceTimeoutError(
                f"{where} gave no connection in time (limit {limits.connect:g} s, the wait for a "
                "free one included): try again later, or ask for less at once.",
                transient=not in_queue,
            )
        case aiohttp.SocketTimeoutError():
            return SourceTimeoutError(
                f"{where} fell silent for {limits.sock_read:g} s: try again later.",
                transient=True,
            )
        case TimeoutError():
            return SourceTimeoutError(
                f"{where} did not finish its answer within {total_s:g} s: try again later.",
                transient=not in_queue,
            )
        case aiohttp.ClientConnectorError():
            return SourceUnavailableError(
                f"{where} cannot be reached ({error.strerror or type(error).__name__}): "
                "check the network and the address.",
                transient=not isinstance(error, aiohttp.ClientSSLError),
            )
        case ForeignRedirectError():
            return SourceUnavailableError(
                f"{where} redirects to another host, which is not followed: check the address."
            )
        case aiohttp.RedirectClientError():
            return SourceUnavailableError(
                f"{where} redirects to what is no http address: check the address."
            )
        case aiohttp.TooManyRedirects():
            return SourceUnavailableError(f"{where} redirects in circles: check the address.")
        case aiohttp.ClientResponseError() if error.message.startswith(_TOO_LONG):
            return BadAnswerError(
                f"{where} sent a header line of more than 32 KiB: check the address."
            )
        case aiohttp.ClientResponseError():
            return BadAnswerError(f"{where} sent an answer that is not HTTP: check the address.")
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return SourceUnavailableError(
                f"{where} broke off its answer: try again later.", transient=True
            )
    return SourceUnavailableError(
        f"{where} cannot be asked ({type(error).__name__}): check the address."
    )


def refusal(answer: aiohttp.ClientResponse, body: bytes) -> DataError:
    """The error for a status that is not success; `body` is what explains it."""
    status = answer.status
    outcome = f"{place(answer.url)} answered {status}"
    wait_s = retry_after_s(answer.headers.get("Retry-After", ""))
    when = "later" if wait_s is None else f"in {wait_s:g} s"
    match status:
        case 429:
            return RateLimitError(
                f"{outcome}, too many requests: try again {when}.",
                transient=True,
                retry_after_s=wait_s,
            )
        case 401 | 403:
            advice = "check the key and the User-Agent."
        case 404:
            advice = "nothing is there, check what was asked for."
        case _ if status >= 500:
            advice = f"try again {when}."
        case _:
            advice = "check what was asked for."
    return HttpStatusError(
        f"{outcome}: {advice}",
        status=status,
        body=body,
        transient=status >= 500,
        retry_after_s=wait_s if status >= 500 else None,
    )


def retry_after_s(text: str, now: datetime.datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for: a number or an HTTP date; None if neither."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:  # "-0000": UTC, of an unknown place
        when = when.replace(tzinfo=datetime.UTC)
    now = now or datetime.datetime.now(datetime.UTC)
    return float(max(0, round((when - now).total_seconds())))

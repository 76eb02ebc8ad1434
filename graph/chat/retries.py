"""The attempts of one call: which errors may pass, and how long to wait before the next attempt."""

from collections.abc import AsyncIterator

import openai
import stamina
from opentelemetry.trace import Span

from trading_graph.graph.errors import BadModelAnswerError
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv

ATTEMPTS = 3
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 20.0


async def attempts(span: Span) -> AsyncIterator[stamina.Attempt]:
    """The attempts of a call; its retries are events on the span."""
    made = 0

    def may_pass(error: Exception) -> bool | float:
        nonlocal made
        made += 1
        wait = _wait(error)
        if wait is None:
            return False
        if made < ATTEMPTS:
            span.add_event("retry", {"attempt": made, semconv.ERROR_TYPE: spans.error_type(error)})
        return wait

    async for attempt in stamina.retry_context(
        on=may_pass,
        attempts=ATTEMPTS,
        timeout=None,
        wait_initial=_FIRST_WAIT_S,
        wait_max=_LONGEST_WAIT_S,
    ):
        if attempt.num > 1:
            # The end of the pause: a reader of the trace can tell the loss to the nanosecond.
            span.add_event("attempt", {"attempt": attempt.num})
        yield attempt


def _wait(error: Exception) -> bool | float | None:
    """Seconds to wait before the next attempt; True for the usual back-off, None for no retry."""
    if isinstance(error, BadModelAnswerError):
        return 0.0
    if isinstance(error, openai.RateLimitError | openai.InternalServerError):
        after = error.response.headers.get("retry-after", "")
        return min(float(after), _LONGEST_WAIT_S) if after.replace(".", "", 1).isdigit() else True
    # A stream that breaks off surfaces as a bare APIError.
    broken_stream = type(error) is openai.APIError
    if broken_stream or isinstance(error, openai.APIConnectionError | TimeoutError):
        return True
    return None

"""The attempts of one call: which errors may pass, and how long to wait before the next attempt.

A service that limits the rate and says when it answers again is waited for as long as the budget of
the agent and of the run allows; then the call ends at once and says when. Such a wait is no failed
attempt. A quota or a balance that is used up does not come back by waiting.
"""

import asyncio
import contextlib
import itertools
import math
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from types import TracebackType

import openai
from opentelemetry.trace import Span

from trading_graph.graph.chat.rate_limits import Bound, LongWait, ModelRate, TimeLeft
from trading_graph.graph.errors import BadModelAnswerError, CutAnswerError
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.otel.vocabularies.witness import Wait
from trading_graph.otel.witness import waiting
from trading_graph.otel.witness.clock import now_ns

ATTEMPTS = 3
# Most limits are those of a minute, and this takes about one.
_RATE_ATTEMPTS = 8
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 20.0
_JITTER_S = 0.25
# Other calls believe one refusal for so long: the account may get more meanwhile.
_LONGEST_SHARED_PAUSE_S = 300.0
_SHOWN_WAIT_S = 1.0
_SOURCE = "would answer again"

_TOO_MANY = 429
_PAYMENT_REQUIRED = 402
_PASSING = frozenset({408, _TOO_MANY})
_MONEY = frozenset({"billing", "credit", "credits", "balance", "payment"})


class ExceededLimit(StrEnum):
    """The limit of an account that a request exceeded."""

    RATE = "rate_limit"
    QUOTA = "quota"


class PauseReason(StrEnum):
    """Why a call pauses: a limit of the rate, or a failure that may pass."""

    RATE_LIMIT = "rate_limit"
    FAILURE = "failure"


def exceeded_limit(error: BaseException) -> ExceededLimit | None:
    """The limit that an error is about: the rate or the quota; None for any other error.

    The words of its code and type decide, never those of its message.
    """
    if not isinstance(error, openai.APIError):
        return None
    status = _status(error)
    words = _words(error)
    about_money = status == _PAYMENT_REQUIRED or not words.isdisjoint(_MONEY)
    if status == _TOO_MANY or status is None:
        about_money = about_money or "insufficient" in words
        about_money = about_money or ("quota" in words and _stated_wait(error) is None)
    if about_money and (status is None or status < 500):
        return ExceededLimit.QUOTA
    return ExceededLimit.RATE if status == _TOO_MANY or "rate" in words else None


def _status(error: openai.APIError) -> int | None:
    """The HTTP status; in the middle of a stream, the number that stands as the error's code."""
    if isinstance(error, openai.APIStatusError):
        return error.status_code
    code = str(error.code)
    return int(code) if code.isascii() and code.isdigit() and len(code) == 3 else None


def _words(error: openai.APIError) -> frozenset[str]:
    words = f"{error.code or ''} {error.type or ''}"
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words)
    return frozenset(re.findall(r"[a-z]+", spaced.lower()))


def _stated_wait(error: Exception) -> float | None:
    if isinstance(error, openai.APIStatusError):
        return stated_wait({k.lower(): v for k, v in error.response.headers.items()}, error.body)
    return stated_wait({}, error.body) if isinstance(error, openai.APIError) else None


@dataclass(frozen=True, slots=True)
class _Pause:
    seconds: float
    reason: PauseReason


class Attempt:
    """One attempt, as a context manager that swallows an error after which another one follows."""

    def __init__(self, number: int, pause_after: Callable[[Exception], _Pause | None]) -> None:
        self.number = number
        self.pause: _Pause | None = None
        self._pause_after = pause_after

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if isinstance(error, Exception):
            self.pause = self._pause_after(error)
        return self.pause is not None


async def attempts(
    span: Span,
    rate: ModelRate,
    left: Callable[[], TimeLeft] = TimeLeft,
) -> AsyncIterator[Attempt]:
    """The attempts of a call; its pauses are events on the span, and hold others of `rate`.

    `left` says what the budget leaves. Raises LongWait where a stated wait exceeds it.
    """
    failures = 0

    def pause_after(error: Exception) -> _Pause | None:
        nonlocal failures
        if not _may_pass(error):
            return None
        is_about_rate = exceeded_limit(error) is ExceededLimit.RATE
        stated = _stated_wait(error)
        if stated is None or not is_about_rate:
            failures += 1
            if failures >= (_RATE_ATTEMPTS if is_about_rate else ATTEMPTS):
                return None
        if is_about_rate and stated is not None:
            rate.pause(min(stated, _LONGEST_SHARED_PAUSE_S))
        seconds = _pause_s(error, attempt.number, stated)
        if seconds >= (budget := left()).seconds:
            if stated is None:
                return None
            raise LongWait(_SOURCE, seconds, budget) from error
        reason = PauseReason.RATE_LIMIT if is_about_rate else PauseReason.FAILURE
        _announce(span, "retry", seconds, reason, attempt.number, error)
        return _Pause(seconds, reason)

    for number in itertools.count(1):
        if number > 1:
            # The end of the pause: a reader of the trace can tell the loss to the nanosecond.
            span.add_event("attempt", {"attempt": number})
        attempt = Attempt(number, pause_after)
        yield attempt
        if attempt.pause is None:
            return
        is_rate = attempt.pause.reason is PauseReason.RATE_LIMIT
        with waiting(Wait.RATE_LIMIT) if is_rate else contextlib.nullcontext():
            await asyncio.sleep(attempt.pause.seconds)
        if is_rate:
            limit, wait_s = rate.limit_name(Bound.SERVICE), attempt.pause.seconds
            grant = spans.grant_attributes({limit: 1}, wait_s=wait_s, waited_for=limit, held_s=0.0)
            spans.record_grant(span, now_ns(), grant)


def announce_turn(span: Span, seconds: float) -> None:
    """Record that a call waits that long for its turn, where that is worth telling."""
    if seconds >= _SHOWN_WAIT_S:
        _announce(span, "wait", seconds, PauseReason.RATE_LIMIT)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, CutAnswerError) or exceeded_limit(error) is ExceededLimit.QUOTA:
        return False
    if isinstance(error, openai.APIStatusError):
        return error.status_code in _PASSING or error.status_code >= 500
    # A stream that breaks off surfaces as a bare APIError.
    broken_stream = type(error) is openai.APIError
    passing = (BadModelAnswerError, openai.APIConnectionError, TimeoutError)
    return broken_stream or isinstance(error, passing)


def _pause_s(error: Exception, attempt: int, stated: float | None) -> float:
    if isinstance(error, BadModelAnswerError):
        return 0.0
    # A factor of two each time; the exponent is limited, since a float is.
    back_off = min(_FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 30), _LONGEST_PAUSE_S)
    return max(back_off, stated or 0.0) + random.uniform(0, _JITTER_S)


def _announce(
    span: Span,
    name: str,
    seconds: float,
    reason: PauseReason,
    attempt: int | None = None,
    error: Exception | None = None,
) -> None:
    attributes: dict[str, str | int | float] = {
        semconv.WAIT_S: round(seconds, 3),
        semconv.WAIT_REASON: reason,
    }
    if attempt is not None:
        attributes["attempt"] = attempt
    if error is not None:
        attributes[semconv.ERROR_TYPE] = spans.error_type(error)
    spans.announce(span, name, attributes)


_UNITS_S = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_NUMBER = re.compile(r"\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_PART = re.compile(rf"({_NUMBER.pattern})(ms|us|µs|ns|d|h|m|s)", re.ASCII)
_PARTS = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_RESET = "x-ratelimit-reset"
_REMAINING = "x-ratelimit-remaining"
_EPOCH_S = 1e9
_EPOCH_MS = 1e11
_LONGEST_S = 366 * 86400.0


def stated_wait(headers: Mapping[str, str], body: object = None) -> float | None:
    """Seconds until the service would answer again, at most a year; None where it says nothing.

    The most exact word counts: `retry-after-ms`; `Retry-After` in seconds or as a date; the delay
    in the error details of Google; `x-ratelimit-reset-*`, as durations (`1s`, `6m0s`, `20ms`),
    numbers of seconds or epochs. Dates are compared with the service's own clock where it sends
    one.

    `headers` have names in lower case. A limit that is back already says nothing.
    """
    now = _clock(headers)
    wait = _number(headers.get("retry-after-ms", ""))
    if wait is not None:
        wait /= 1000
    if wait is None:
        wait = _moment(headers.get("retry-after", ""), now)
    if wait is None:
        wait = _delay(body)
    if wait is None:
        wait = _reset(headers, now)
    return wait if wait is None else min(wait, _LONGEST_S)


def duration(text: str) -> float | None:
    """The seconds of a duration such as `1m30.5s`, `20ms` or `7`; None for any other text."""
    text = text.strip()
    if (number := _number(text)) is not None:
        return number
    if not _PARTS.fullmatch(text):
        return None
    return sum(float(value) * _UNITS_S[unit] for value, unit in _PART.findall(text))


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _moment(text: str, now: float) -> float | None:
    """Seconds until a moment: a duration, or an HTTP date."""
    seconds = duration(text)
    if seconds is not None:
        return seconds
    when = _epoch(text)
    return None if when is None else max(0.0, when - now)


def _epoch(date: str) -> float | None:
    """The epoch of an HTTP date, whose zone is always UTC; None for any other text."""
    try:
        when = parsedate_to_datetime(date)
        # "-0000" has no zone; so has a date that names none.
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _clock(headers: Mapping[str, str]) -> float:
    """The service's own time, so that the difference of two clocks is no wait."""
    service_time = _epoch(headers.get("date", ""))
    return time.time() if service_time is None else service_time


def _delay(body: object, depth: int = 6) -> float | None:
    """The `retryDelay` in the details of an error of Google's."""
    if isinstance(body, Mapping):
        delay = body.get("retryDelay")
        if isinstance(delay, str):
            return duration(delay)
        body = list(body.values())
    if not isinstance(body, list) or not depth:
        return None
    delays = (_delay(each, depth - 1) for each in body)
    return next((each for each in delays if each is not None), None)


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    """The reset of the limit that is used up; of the longest one where none says that it is."""
    resets: dict[str, float] = {}
    for name, value in headers.items():
        if not name.startswith(_RESET):
            continue
        seconds = duration(value)
        if seconds is None:
            seconds = _moment(value, now)
        elif seconds >= _EPOCH_MS:
            seconds = seconds / 1000 - now
        elif seconds >= _EPOCH_S:
            seconds -= now
        if seconds is not None and seconds > 0 and math.isfinite(seconds):
            resets[name.removeprefix(_RESET)] = seconds
    used_up = [name for name in resets if headers.get(_REMAINING + name, "").strip() == "0"]
    return max((resets[name] for name in used_up or resets), default=None)

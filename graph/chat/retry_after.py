"""When a service would answer again, as its refusal says.

The most exact word counts: `retry-after-ms`; `Retry-After` in seconds or as a date; the delay in
the error details of Google; `x-ratelimit-reset-*`, as durations (`1s`, `6m0s`, `20ms`), numbers of
seconds or epochs. Dates are compared with the service's own clock where it sends one.
"""

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

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
    said = _epoch(headers.get("date", ""))
    return time.time() if said is None else said


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

"""Numbers as they are read from JSON of unknown quality and written into a sentence."""

import math
from collections.abc import Mapping
from typing import Any

_BILLION = 1e9
_MILLION = 1e6
_LARGEST = 1e18


def as_number(value: object) -> float | None:
    """The value as a finite float, None for anything else (a bool is no number)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -_LARGEST < value < _LARGEST:  # also false for nan, and safe for an int of any size
        return None
    return float(value)


def number(record: Mapping[str, Any], *names: str) -> float | None:
    """The first of the named fields that holds a number, else None."""
    for name in names:
        value = as_number(record.get(name))
        if value is not None:
            return value
    return None


def section(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A nested object, empty when it is not there."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def rows(record: Mapping[str, Any], name: str) -> list[Any]:
    """A nested list, empty when it is not there."""
    value = record.get(name)
    return value if isinstance(value, list) else []


def quote(value: float) -> str:
    """The number for a sentence: two decimals, up to four digits below one, or in millions."""
    size = abs(value)
    if size >= _BILLION:
        return f"{value / _BILLION:.2f} billion"
    if size >= _MILLION:
        return f"{value / _MILLION:.2f} million"
    if size >= 1 or size == 0:
        return f"{value:.2f}"
    decimals = min(12, 3 - math.floor(math.log10(size)))
    whole, _, fraction = f"{value:.{decimals}f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


def percent(fraction: float) -> str:
    """A fraction as per cent with one decimal."""
    return f"{100 * fraction:.1f} %"


def clamp(value: float, low: float, high: float) -> float:
    """The value, moved into the range; never minus zero."""
    return min(max(value, low), high) + 0.0


def one_line(text: str, longest: int = 400) -> str:
    """The text on one line, cut to a length that a report can bear."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."

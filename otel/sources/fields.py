"""Fields of foreign spans: texts, times in any unit, and objects whose names are nested.

A field that is missing or empty has a default; one that cannot be read raises FieldError.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

import msgspec

from trading_graph.otel.errors import TraceError
from trading_graph.otel.otlp_json import DECODE_ERRORS, KINDS
from trading_graph.otel.vocabularies import Attributes

SECOND, MILLISECOND, MICROSECOND, NANOSECOND = 10**9, 10**6, 1000, 1
"""Units of time in nanoseconds."""

LATEST_NS = 2**63 - 1

SPAN_KINDS = {name: number for number, name in enumerate(KINDS) if number}
"""OpenTelemetry's numbers of the kinds of span, by their names."""

KIND_TAGS = {name.lower(): number for name, number in SPAN_KINDS.items()}
"""The same by the values of OpenTracing's tag `span.kind`."""

_UNITS = (NANOSECOND, MICROSECOND, MILLISECOND, SECOND)
_EARLIEST_NS = 10**17

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?"
    r"\s*(Z|z|UTC|[+-]\d\d:?(?:\d\d)?)?(?: UTC)?"
)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_EPOCH = date(1970, 1, 1).toordinal()
_DEEPEST = 20


class FieldError(TraceError):
    """A field of a span cannot be read; `field` is its name."""

    def __init__(self, field: str) -> None:
        super().__init__(f"The field {field!r} of a span is not what it should be.")
        self.field = field


def text(row: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that is not empty, as text; empty where there is none."""
    for name in names:
        value = row.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return str(value)
        raise FieldError(name)
    return ""


def mapping(row: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The first of these fields that is an object; empty where there is none."""
    for name in names:
        value = row.get(name)
        if isinstance(value, dict):
            return value
    return {}


def items(row: Mapping[str, Any], *names: str) -> Sequence[Mapping[str, Any]]:
    """The objects in the first of these fields that is a list; empty where there is none."""
    for name in names:
        value = row.get(name)
        if isinstance(value, list):
            return [each for each in value if isinstance(each, dict)]
    return ()


def decoded_object(value: Any) -> Mapping[str, Any]:
    """An object, or the one that a text holds as JSON; empty where there is none."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = msgspec.json.decode(value)
        except DECODE_ERRORS:
            return {}
    return value if isinstance(value, dict) else {}


def moment(row: Mapping[str, Any], name: str, unit: int | None = NANOSECOND) -> int:
    """A time in nanoseconds since the epoch: ISO 8601, or a number of units; 0 where unknown.

    Without a unit, the size of the number tells it: the years 1973 to 2200 in each of the four
    units do not overlap.
    """
    value = row.get(name)
    if value is None or value == "":
        return 0
    found = nanoseconds(value, 1 if unit is None else unit)
    if found is not None and unit is None and not (isinstance(value, str) and "-" in value):
        guessed = next((each for each in _UNITS if found * each >= _EARLIEST_NS), SECOND)
        found = nanoseconds(value, guessed)
    if found is None or not 0 <= found <= LATEST_NS:
        raise FieldError(name)
    return found


def duration(row: Mapping[str, Any], name: str, unit: int = NANOSECOND) -> int:
    """A duration in nanoseconds; 0 where it is unknown."""
    value = row.get(name)
    found = nanoseconds(0 if value is None or value == "" else value, unit)
    if found is None or not 0 <= found <= LATEST_NS:
        raise FieldError(name)
    return found


def nanoseconds(value: Any, unit: int = NANOSECOND) -> int | None:
    """A time or a duration in nanoseconds; None where it cannot be read."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value * unit
    if isinstance(value, float):
        # What is before the point alone may be all that a float can hold.
        return _scaled(value, unit)
    if not isinstance(value, str):
        return None
    if match := _ISO.fullmatch(value.strip()):
        return _of_iso(*match.groups())
    if _NUMBER.fullmatch(value.strip()):
        return (
            int(value) * unit
            if value.strip().lstrip("-").isdigit()
            else _scaled(float(value), unit)
        )
    return None


def _scaled(value: float, unit: int) -> int | None:
    if not abs(value) < LATEST_NS:  # also where it is no number
        return None
    whole = int(value)
    if unit < MILLISECOND:
        return whole * unit + round((value - whole) * unit)
    # A float holds no more than microseconds of a time since the epoch.
    return whole * unit + round((value - whole) * unit / MICROSECOND) * MICROSECOND


def _of_iso(
    day: str, hour: str, minute: str, second: str, fraction: str | None, zone: str | None
) -> int | None:
    try:
        days = _days(day)
    except ValueError:
        return None
    seconds = days * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second) - _offset_s(zone)
    return seconds * SECOND + (int(fraction.ljust(9, "0")) if fraction else 0)


@lru_cache(maxsize=64)
def _days(day: str) -> int:
    return date.fromisoformat(day).toordinal() - _EPOCH


@lru_cache(maxsize=64)
def _offset_s(zone: str | None) -> int:
    if zone is None or zone in ("Z", "z", "UTC"):
        return 0  # a time without a zone is UTC
    sign = -1 if zone[0] == "-" else 1
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return sign * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)


def flat(content: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The attributes of an object in which the parts of their names are nested.

    Only the names are undone: a list stays a list.
    """
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and depth < _DEEPEST:
            yield from flat(value, f"{name}.", depth + 1)
        else:
            yield name, value


def pairs(values: Any, key: str = "key", value: str = "value") -> Attributes:
    """The attributes of a list of pairs, or of an object."""
    if isinstance(values, dict):
        return values
    if not isinstance(values, list):
        return {}
    return {str(each.get(key)): each.get(value) for each in values if isinstance(each, dict)}


def numbered(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """As `flat`, and the objects of a list by their number, as OpenInference writes messages."""
    for name, value in flat(content, prefix):
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for number, each in enumerate(value):
                if isinstance(each, dict):
                    yield from numbered(each, f"{name}.{number}.")
        else:
            yield name, value


def hits(document: Any) -> Iterator[Mapping[str, Any]]:
    """The documents of an answer of Elasticsearch, of a list of them, or one."""
    if isinstance(document, list):
        for each in document:
            yield from hits(each)
    elif isinstance(document, dict):
        found = mapping(document, "hits").get("hits")
        if isinstance(found, list):
            yield from hits(found)
        else:
            yield mapping(document, "_source") or document

"""Reading values of attributes, which foreign traces hold in any shape; nothing here raises."""

import ast
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

Attributes = Mapping[str, Any]

_UNREADABLE = (
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    SyntaxError,
    RecursionError,
    MemoryError,
)
_LONGEST_LITERAL = 10_000
"""A Python literal of more characters is not read: its parser takes a long time."""


def finite(value: object) -> float | None:
    """A value as a finite number, or None."""
    if value is None or (type(value) is float and math.isfinite(value)):
        return value
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def whole(value: object) -> int | None:
    """A value as a whole number, or None; a bool is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    number = finite(value)
    return int(number) if number is not None and number.is_integer() else None


def first_text(attributes: Attributes, keys: Iterable[str]) -> str | None:
    """The first of these attributes that is a text with something in it."""
    for key in keys:
        if key in attributes:
            value = attributes[key]
            if isinstance(value, str) and value:
                return value
    return None


def first_number(attributes: Attributes, keys: Iterable[str]) -> float | None:
    """The first of these attributes that is a finite number."""
    for key in keys:
        if key in attributes and (number := finite(attributes[key])) is not None:
            return number
    return None


def first_whole(attributes: Attributes, keys: Iterable[str]) -> int | None:
    """The first of these attributes that is a whole number."""
    for key in keys:
        if key in attributes and (number := whole(attributes[key])) is not None:
            return number
    return None


def document(value: object) -> Any:
    """What a text says as JSON; any other value as it is; None where the text is no JSON."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except _UNREADABLE:
        return None


def sequence(value: object) -> tuple[Any, ...]:
    """A list that may be written as JSON or as a Python literal; empty where it is neither."""
    if isinstance(value, str):
        items = document(value)
        if items is None and len(value) <= _LONGEST_LITERAL:
            try:
                items = ast.literal_eval(value)
            except _UNREADABLE:
                return ()
        value = items
    return tuple(value) if isinstance(value, list | tuple) else ()


def canonical(value: object) -> str | None:
    """A value as text, equal for equal values: JSON with sorted keys, else the text itself."""
    if value is None:
        return None
    content = document(value)
    if content is None or isinstance(content, str):
        return str(value).strip() or None
    try:
        return msgspec.json.encode(content, enc_hook=str, order="deterministic").decode()
    except _UNREADABLE:
        return str(value)

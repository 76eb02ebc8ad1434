"""What models write for an action, a number or a list, read as what it states.

A model that was asked for 0.66 writes "66%" or 66, for 190.17 "$190.17", and for a list its JSON
text. Each reader takes the forms that can mean only one thing and raises ValueError for all others:
a value is asked for again at the price of a call, and a wrong one would be traded on.
"""

import json
import re

_ACTIONS = {
    "buy": "BUY",
    "strong buy": "BUY",
    "long": "BUY",
    "go long": "BUY",
    "hold": "HOLD",
    "neutral": "HOLD",
    "wait": "HOLD",
    "no trade": "HOLD",
    "no action": "HOLD",
    "sell": "SELL",
    "strong sell": "SELL",
    "short": "SELL",
    "go short": "SELL",
}
"""All that counts as an action; "BUY or HOLD", "don't buy" and "buy on dips" are none."""

_CURRENCY = r"(?:US|CA?|A|HK|NZ|S)?[$€£¥₹]|[A-Z]{3}"
_DECIMAL = r"(?:[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|[+-]?\.[0-9]+)"
_NUMBER = f"({_DECIMAL})"
_PLAIN = re.compile(_NUMBER)
# Prices below 0.0001 are written 8.17e-06 too.
_ANY_SIZE = rf"({_DECIMAL}(?:[eE]-[0-9]{{1,2}})?)"
_PRICE = re.compile(rf"(?:(?:{_CURRENCY})\s*)?{_ANY_SIZE}(?:\s*(?:{_CURRENCY}))?")
_PER_CENT = re.compile(
    rf"{_NUMBER}\s*(?:%|per ?cent)(?:\s+of\s+(?:the\s+)?(?:portfolio|capital|equity))?", re.I
)
_DAYS = re.compile(rf"{_NUMBER}\s*(?:(?:calendar\s+)?days?|d)", re.I)
_NOTHING = frozenset(("", "-", "--", "n/a", "na", "none", "null", "nil"))
_AMBIGUOUS_UP_TO = 10
"""A confidence above 1 up to here may be one out of ten as well as a percentage."""
_BULLET = re.compile(r"^\s*(?:[-*•]|[0-9]{1,2}[.)])\s+")
_QUOTED = 40


def read_action(value: object) -> str:
    """An action in any case and between marks of emphasis, or one of its plain synonyms."""
    if not isinstance(value, str):
        raise ValueError("must be BUY, HOLD or SELL")
    words = re.sub(r"[\s_-]+", " ", value.strip().strip("*_`'\".!").strip()).lower()
    if words not in _ACTIONS:
        raise ValueError(f"{value[:_QUOTED]!r} is none of BUY, HOLD and SELL")
    return _ACTIONS[words]


def read_confidence(value: object) -> object:
    """A confidence from 0 to 1, also written as a percentage: 66 or "66%"."""
    if isinstance(value, str) and (match := _PER_CENT.fullmatch(value.strip())):
        return _float(match[1]) / 100
    number = _number(value, _PLAIN)
    return number / 100 if _AMBIGUOUS_UP_TO < number <= 100 else number


def read_price(value: object) -> object:
    """A price, also with a currency or with thousands separators; None for "N/A" and 0."""
    number = None if _is_nothing(value) else _number(value, _PRICE)
    return number or None


def read_per_cent(value: object) -> object:
    """A percentage, with or without its sign, or None."""
    if isinstance(value, str) and (match := _PER_CENT.fullmatch(value.strip())):
        return _float(match[1])
    return None if _is_nothing(value) else _number(value, _PLAIN)


def read_days(value: object) -> object:
    """A number of days, or None for nothing and 0."""
    if isinstance(value, str) and (match := _DAYS.fullmatch(value.strip())):
        return _float(match[1]) or None
    return None if _is_nothing(value) else _number(value, _PLAIN) or None


def read_text(value: object) -> object:
    """A text, also as a list of its sentences."""
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return " ".join(value)
    return value


def read_texts(value: object) -> object:
    """A list of texts, also as JSON text, as lines with bullets, or as one text; [] for null."""
    if value is None:
        return []
    if isinstance(value, str):
        value = _list_in(value.strip())
    if not isinstance(value, list):
        raise ValueError("must be a list of texts")
    return [_as_text(each) for each in value]


def _list_in(text: str) -> list[object]:
    if text.startswith("["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("must be a list of texts") from None
        return value if isinstance(value, list) else [text]
    return [_BULLET.sub("", line).strip() for line in text.splitlines() if line.strip()]


def _as_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_as_text(each)}" for name, each in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def _number(value: object, form: re.Pattern[str]) -> float:
    # JSON's true is a number to Python.
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _float(value)
    if isinstance(value, str) and (match := form.fullmatch(value.strip())):
        return _float(match[1])
    raise ValueError("must be one plain number")


def _float(value: str | float) -> float:
    try:
        return float(value.replace(",", "") if isinstance(value, str) else value)
    except OverflowError:
        raise ValueError("is too large") from None

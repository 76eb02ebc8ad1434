"""Answers that fit: long texts and lists are cut until an answer has few enough characters.

A model reads all of an answer, and pays for it. Whatever a trace holds, an answer stays short.
"""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from trading_graph.otel.report.documents.document import Document
from trading_graph.otel.visible import visible_line

MOST_CHARACTERS: Final = 8_000
"""Of an answer, its text and its structured content together."""

_CUTS: Final = ((600, 30), (300, 12), (150, 8), (90, 4), (60, 2), (40, 1))
"""How long a text may be, and how many items a list may have, from roomy to tight."""

_DECIMALS = 6

_Answer = TypeVar("_Answer", bound=Document)


def fit(answer: _Answer, text_of: Callable[[_Answer], str]) -> tuple[str, dict[str, Any]]:
    """The text and the structured content of an answer, as full as they may be.

    Characters that are not shown are written out, and times are rounded to microseconds.
    """
    whole = msgspec.to_builtins(answer)
    text, content = "", {}
    for length, items in _CUTS:
        content = _cut(whole, length, items)
        text = text_of(msgspec.convert(content, type(answer)))
        left = MOST_CHARACTERS - len(json.dumps(content, ensure_ascii=False))
        if len(text) <= left:
            break
        text = text[: max(left, 0)]
    return text, content


def _cut(value: Any, length: int, items: int) -> Any:
    match value:
        case str():
            line = visible_line(value[: length + 1])
            return line if len(line) <= length else f"{line[: length - 3]}..."
        case float():
            return round(value, _DECIMALS)
        case list() | tuple():
            return [_cut(each, length, items) for each in value[:items]]
        case dict():
            return {
                _cut(name, length, items): _cut(each, length, items) for name, each in value.items()
            }
        case _:
            return value

"""What a service said when it refused a request: its own words, whatever form they came in.

This module is light: it knows no client library.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_LONGEST_WORDS = 400
_LONGEST_SEARCH = 20_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal: the status, the service's words in one line, and the parameter it names, if any.

    `code` is the service's own, empty where it gave none.
    """

    status: int
    words: str
    param: str = ""
    code: str = ""

    @classmethod
    def of(cls, status: int, body: object) -> "Refusal":
        """Read a refusal from the JSON value or the text that came with a status."""
        errors = list(_errors(body))
        words = dict.fromkeys(filter(None, map(_words, errors)))
        return cls(
            status,
            one_line("; ".join(words), _LONGEST_SEARCH),
            _first_text(errors, "param"),
            _first_text(errors, "code", "type", "status"),
        )

    def names(self, pattern: str) -> bool:
        """Whether the parameter or the words match, however they are written."""
        return any(
            re.search(pattern, text, re.IGNORECASE) for text in (self.param, self.words) if text
        )

    @property
    def quotation(self) -> str:
        """The service's words, cut for a reader; empty where it said nothing."""
        return one_line(self.words, _LONGEST_WORDS)


def one_line(text: str, most: int) -> str:
    """The text in one line, cut where it is too long."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _errors(body: object, depth: int = 0) -> Iterator[object]:
    """The objects of a body that may say something, the innermost first."""
    if depth > 4:
        return
    match body:
        case list():
            for each in body[:5]:
                yield from _errors(each, depth + 1)
        case dict():
            for name in ("error", "errors", "detail", "message", "metadata"):
                if isinstance(body.get(name), dict | list):
                    yield from _errors(body[name], depth + 1)
            yield body
        case str() if not body.lstrip().startswith("<"):
            yield body


def _words(error: object) -> str:
    match error:
        case str():
            return error
        case {"loc": list() as place, "msg": str() as complaint}:
            return f"{'.'.join(map(str, place))}: {complaint}"
        case Mapping():
            return _first_text([error], "message", "error", "detail", "msg", "title", "raw")
        case _:
            return ""


def _first_text(errors: list[object], *names: str) -> str:
    values: Iterator[Any] = (
        error.get(name) for name in names for error in errors if isinstance(error, Mapping)
    )
    return next((str(each) for each in values if isinstance(each, str | int) and each), "")

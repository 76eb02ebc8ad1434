"""The beginning of a text, from which its format is recognised: at most 64 KiB of it."""

import re
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from typing import Any

import msgspec

from trading_graph.otel.otlp_json import DECODE_ERRORS

HEAD_BYTES = 2**16

# A string, which may be cut off, or what gives the text its structure.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{},]', re.DOTALL)
_OPENING = re.compile(rb"^[ \t]*[\[{]", re.MULTILINE)
_VALUE_BYTES = 2**14
_OPENINGS = 20
"""The most places at which a first object is looked for."""
_CLOSER = {b"{": b"}", b"[": b"]"}


class Head:
    """The first bytes of a text, and the JSON in them as far as it goes, or what is known of it."""

    def __init__(self, content: bytes, value: Any = None) -> None:
        self.data = content[:HEAD_BYTES]
        self._known = value

    @cached_property
    def value(self) -> Any:
        """The first JSON object or array, without what is cut off; None where there is none.

        Lines before it, which a program may have printed, do not count.
        """
        if self._known is not None:
            return self._known
        for opening in islice(_OPENING.finditer(self.data), _OPENINGS):
            try:
                return msgspec.json.decode(_closed(self.data[opening.end() - 1 :]))
            except DECODE_ERRORS:
                continue  # a line that begins like JSON, such as "[INFO] started"
        return None

    @cached_property
    def is_json(self) -> bool:
        """Whether it begins like an object or an array."""
        return self.data.lstrip()[:1] in (b"{", b"[")

    @cached_property
    def first(self) -> Mapping[str, Any]:
        """The first object: the value, or the first item of lists of lists; else empty."""
        return first_object(self.value)


def first_object(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else the first one in lists of lists; empty without one."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, dict) else {}


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[dict[str, msgspec.Raw]])


def names_beyond(content: bytes) -> Any:
    """The object of a text, or the first of its list, with the beginning of each of its values."""
    text = content
    for _ in range(2):
        try:
            found = _OBJECT.decode(text)
        except DECODE_ERRORS:
            text = content.partition(b"\n")[0]  # the first of several lines
            continue
        first = found if isinstance(found, dict) else next(iter(found), {})
        return {key: _beginning(bytes(value)) for key, value in first.items()}
    return None


def _beginning(text: bytes) -> Any:
    """A value as far as its first bytes go; a text that is cut off is empty."""
    try:
        return msgspec.json.decode(_closed(text[:_VALUE_BYTES]))
    except DECODE_ERRORS:
        return ""


def within(value: Any, *keys: str) -> Any:
    """What stands below these keys, one in the other; of a list its first object counts."""
    for key in keys:
        value = first_object(value).get(key)
    return value


def _closed(text: bytes) -> bytes:
    """The first value of the text, up to the last item that is whole, with its brackets closed."""
    open_, end = list[bytes](), 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in (b"{", b"["):
            open_.append(_CLOSER[token])
            end = match.end()
        elif token in (b"}", b"]"):
            end = match.end()
            if not open_ or open_.pop() != token:
                break
            if not open_:
                return text[:end]
        elif token == b",":
            end = match.start()
    return text[:end] + b"".join(reversed(open_))

"""Attributes as the file of a trace holds them: OTLP JSON, without secrets.

A program sends the same attributes again and again. Each that is short is decoded, redacted and
written once, and found by its bytes from then on.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from trading_graph.otel.redaction import Redactor
from trading_graph.otel.vocabularies.witness import declared_spans
from trading_graph.service.server.receiving.message import KeyValue, Value

DEEPEST: Final = 32
"""How deep values may stand in one another."""
_KNOWN = 2**14
_LONGEST = 256
"""How many attributes are known, and up to how many bytes of each: some 8 MiB at most."""


class TooDeepError(Exception):
    """Values stand too deep in one another."""


class _Attribute(msgspec.Struct, frozen=True, gc=False):
    """An attribute as JSON, and the count of spans that it declares, if it does."""

    text: msgspec.Raw
    declared: int | None


class AttributeTexts:
    """The texts of attributes in one encoding, which `decode` decodes; for one thread."""

    def __init__(self, redactor: Redactor, decode: Callable[[bytes], KeyValue]) -> None:
        self._redactor = redactor
        self._decode = decode
        self._known: dict[bytes, _Attribute] = {}

    def of(self, encoded: Sequence[msgspec.Raw]) -> tuple[list[msgspec.Raw], int | None]:
        """The texts of encoded attributes, and the count of spans that one of them declares.

        Raises TooDeepError, MalformedMessageError or UnicodeEncodeError.
        """
        texts, declared = [], None
        get = self._known.get
        for each in encoded:
            content = bytes(each)
            attribute = get(content)
            if attribute is None:
                attribute = self._make(content)
            texts.append(attribute.text)
            if attribute.declared is not None:
                declared = attribute.declared
        return texts, declared

    def _make(self, content: bytes) -> _Attribute:
        item = self._decode(content)
        value, declared = item.value, None
        if value is not None:
            self._redact(item.key, value, DEEPEST)
            if item.key in declared_spans.keys:
                declared = value.int_value
        attribute = _Attribute(msgspec.Raw(msgspec.json.encode(item)), declared)
        if len(content) <= _LONGEST:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[content] = attribute
        return attribute

    def _redact(self, key: str, value: Value, room: int) -> None:
        if not room:
            raise TooDeepError
        if value.string_value is not None:
            value.string_value = self._redactor.attribute(key, value.string_value)
        if value.array_value is not None:
            for each in value.array_value.values or ():
                self._redact(key, each, room - 1)
        if value.kvlist_value is not None:
            for item in value.kvlist_value.values or ():
                if item.value is not None:
                    self._redact(item.key, item.value, room - 1)

"""The tool calls that an LLM's answer asks for: in JSON, or in flat, numbered attributes.

The forms of JSON are those of OpenTelemetry's conventions (a part of the type `tool_call`), of
OpenAI (`tool_calls`; `function_call` items of its Responses API), of Anthropic (a block of the type
`tool_use`), of LangChain (`tool_calls` beside raw ones) and of the Vercel AI SDK (`toolCallId`).
"""

from functools import cached_property
from itertools import count
from typing import Any

import msgspec

from trading_graph.otel.vocabularies.values import Attributes, document

_CALL_TYPES = frozenset({"tool_call", "tool-call", "tool_use", "function_call"})
_ID_KEYS = ("id", "call_id", "toolCallId", "tool_call_id")
_CALL_LISTS = ("tool_calls", "toolCalls")
_DEEPEST = 40


class Calls:
    """The tool calls of an answer: their ids, and the number of those without one.

    Some libraries write a call twice in one message: equal ids are one call, and of those without
    ids only the longest list counts.
    """

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._nameless = 0

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, in the order of the answer."""
        return tuple(self._ids)

    @property
    def count(self) -> int:
        """The number of calls."""
        return max(len(self._ids), self._nameless)

    def add(self, ids: list[str | None]) -> None:
        """Add the calls of one list: the id of each, or None."""
        self._ids.update(dict.fromkeys([each for each in ids if each]))
        self._nameless = max(self._nameless, ids.count(None))


def read_calls(value: object, calls: Calls) -> bool:
    """Add the calls in an answer, as text or decoded; whether it could be read.

    A text that is no JSON asks for no call, unless it is JSON that was cut off.
    """
    content = document(value)
    if isinstance(content, dict | list):
        _walk(content, calls, 0)
        return True
    text = value.strip() if isinstance(value, str) else ""
    return bool(text) and not text.startswith(("{", "["))


def _walk(content: Any, calls: Calls, depth: int) -> None:
    if depth > _DEEPEST:
        return
    if isinstance(content, list):
        calls.add([_id(each) for each in content if _is_call(each)])
        for each in content:
            if not _is_call(each):
                _walk(each, calls, depth + 1)
    elif isinstance(content, dict):
        for key, value in content.items():
            if key in _CALL_LISTS:
                # The Vercel AI SDK's list of calls may be JSON inside JSON.
                items = document(value)
                if isinstance(items, list):
                    calls.add([_id(each) for each in items if isinstance(each, dict)])
            elif isinstance(value, dict | list):
                _walk(value, calls, depth + 1)


def _is_call(item: object) -> bool:
    return isinstance(item, dict) and (item.get("type") in _CALL_TYPES or "toolCallId" in item)


def _id(call: Any) -> str | None:
    # An item of OpenAI's Responses API has an id of its own beside the call's.
    keys = ("call_id", *_ID_KEYS) if call.get("type") == "function_call" else _ID_KEYS
    for key in keys:
        if isinstance(value := call.get(key), str) and value:
            return value
    return None


class FlatMessages(msgspec.Struct, frozen=True, dict=True):
    """How a vocabulary numbers the messages of an answer, and the tool calls of a message.

    `message` and `call` have a place for the number; `name` is the key of a call's tool. A message
    that has none of the `signs` does not exist. `old_call` is the key of the one call that a
    message had before there were lists of them.
    """

    message: str
    call: str
    name: str
    signs: tuple[str, ...]
    old_call: str | None = None

    @cached_property
    def first(self) -> frozenset[str]:
        """The keys of which an answer has one at least."""
        return frozenset(self.message.format(0) + sign for sign in self.signs)

    def read_calls(self, attributes: Attributes, calls: Calls) -> bool:
        """Add the calls of the answer's messages; whether there is a message."""
        if self.first.isdisjoint(attributes):
            return False
        for number in count():
            message = self.message.format(number)
            if not any(message + sign in attributes for sign in self.signs):
                return number > 0
            ids = self._ids(attributes, message)
            if not ids and self.old_call and message + self.old_call in attributes:
                ids.append(None)
            calls.add(ids)
        raise AssertionError  # count() has no end

    def _ids(self, attributes: Attributes, message: str) -> list[str | None]:
        """The id of each call of a message, or None."""
        ids: list[str | None] = []
        for number in count():
            call = message + self.call.format(number)
            call_id = attributes.get(call + "id")
            if call_id is None and call + self.name not in attributes:
                break
            ids.append(call_id if isinstance(call_id, str) and call_id else None)
        return ids

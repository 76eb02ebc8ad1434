"""The tool calls that an LLM's answer asks for, in a message that is written as JSON.

The forms are those of OpenTelemetry's conventions (a part of the type `tool_call`), of OpenAI
(`tool_calls`; `function_call` items of its Responses API), of Anthropic (a block of the type
`tool_use`), of LangChain (`tool_calls` beside raw ones) and of the Vercel AI SDK (`toolCallId`).
"""

from typing import Any

from trading_graph.otel.vocabularies.values import document

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

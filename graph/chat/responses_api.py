"""The answers of the Responses API: their events gathered into one message.

The items of the service's output go back to it as they came: reasoning, messages and calls. An
answer is whole when its status is `completed`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from langchain_core.messages import AIMessageChunk

from trading_graph.graph.chat.answer import call_chunks
from trading_graph.graph.chat.usage import usage_metadata

OUTPUT_ITEMS = "output_items"
"""Under this name a message keeps the items of the service's output."""

_FINISH_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


class ResponseReader:
    """Gathers the events of one response."""

    def __init__(self) -> None:
        self._items: dict[int, dict[str, Any]] = {}
        self._response: dict[str, Any] = {}
        self._text = ""

    def add(self, event: object) -> str:
        """Take an event, or the whole response; returns the text that it adds."""
        match event:
            case {"type": "response.output_text.delta", "delta": str() as text}:
                self._text += text
                return text
            case {"type": "response.output_item.done", "item": dict() as item, **more}:
                index = more.get("output_index")
                self._items[index if isinstance(index, int) else len(self._items)] = item
            case {"type": str() as kind, "response": dict() as response} if kind in _ENDS:
                return self._end(response)
            case {"response": dict() as response}:
                self._response = {**response, "status": None}
            case dict() if event.get("object") == "response":
                return self._end(event)
        return ""

    def last(self, done: bool) -> AIMessageChunk:
        """Everything but the text: tool calls, the items that go back, tokens, how it ended."""
        response = self._response
        items = [self._items[index] for index in sorted(self._items)]
        calls = [item for item in items if item.get("type") == "function_call"]
        chunks = call_chunks((_id(call), _name(call), _arguments(call)) for call in calls)
        for chunk, call in zip(chunks, calls, strict=True):
            call["call_id"] = chunk["id"]
        facts = {
            "finish_reason": _finish_reason(response, bool(calls)),
            "model_name": response.get("model"),
            "model_provider": "openai",
        }
        return AIMessageChunk(
            content="",
            id=response.get("id"),
            tool_call_chunks=chunks,
            additional_kwargs={OUTPUT_ITEMS: items} if items else {},
            usage_metadata=usage_metadata(response.get("usage")),
            response_metadata={name: each for name, each in facts.items() if each},
        )

    def _end(self, response: dict[str, Any]) -> str:
        self._response = response
        output = [each for each in response.get("output") or () if isinstance(each, dict)]
        if output:
            self._items = dict(enumerate(output))
        # Some services tell the text only here.
        return "" if self._text else "".join(_texts(output))


_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.done")


def _finish_reason(response: Mapping[str, Any], calls: bool) -> str | None:
    match response:
        case {"status": "completed"}:
            return "tool_calls" if calls else "stop"
        case {"incomplete_details": {"reason": str() as reason}}:
            return _FINISH_REASONS.get(reason, reason)
        case {"status": "incomplete"}:
            return "length"
        case _:
            return None


def _id(call: Mapping[str, Any]) -> str:
    return str(call.get("call_id") or call.get("id") or "")


def _name(call: Mapping[str, Any]) -> str:
    return str(call.get("name") or "")


def _arguments(call: Mapping[str, Any]) -> str:
    arguments = call.get("arguments")
    if isinstance(arguments, str):
        return arguments
    return msgspec.json.encode(arguments or {}).decode()


def _texts(items: list[dict[str, Any]]) -> list[str]:
    parts = [part for item in items for part in item.get("content") or ()]
    return [
        part["text"]
        for part in parts
        if isinstance(part, dict) and part.get("type") == "output_text" and "text" in part
    ]

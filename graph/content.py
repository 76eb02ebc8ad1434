"""Messages as the semantic conventions for generative AI want them on spans, where content is asked
for.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage
from opentelemetry.trace import Span

from trading_graph.otel.spans import content_is_captured
from trading_graph.otel.trace import semconv

_ROLES = {"human": "user", "ai": "assistant", "tool": "tool"}


def record_input(span: Span, messages: Sequence[BaseMessage]) -> None:
    """Put what the model is sent on its span."""
    if not content_is_captured():
        return
    system = [each for each in messages if isinstance(each, SystemMessage)]
    others = [each for each in messages if not isinstance(each, SystemMessage)]
    parts = [part for each in system for part in _parts(each)]
    span.set_attribute(semconv.SYSTEM_INSTRUCTIONS, json.dumps(parts))
    span.set_attribute(semconv.INPUT_MESSAGES, _encoded(others))


def record_output(span: Span, message: BaseMessage) -> None:
    """Put what the model answered on its span."""
    if content_is_captured():
        span.set_attribute(semconv.OUTPUT_MESSAGES, _encoded([message]))


def record_tool(span: Span, key: str, content: str) -> None:
    """Put the arguments or the result of a tool call on its span, under the convention's key."""
    if content_is_captured():
        span.set_attribute(key, content)


def _encoded(messages: Iterable[BaseMessage]) -> str:
    return json.dumps(
        [
            {"role": _ROLES.get(each.type, each.type), "parts": list(_parts(each))}
            for each in messages
        ]
    )


def _parts(message: BaseMessage) -> Iterable[dict[str, Any]]:
    if isinstance(message, ToolMessage):
        answered = {"id": message.tool_call_id, "response": message.text}
        yield {"type": "tool_call_response", **answered}
        return
    if message.text:
        yield {"type": "text", "content": message.text}
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            asked = {"id": call["id"], "name": call["name"], "arguments": call["args"]}
            yield {"type": "tool_call", **asked}

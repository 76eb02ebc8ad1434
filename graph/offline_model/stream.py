"""An answer as the bytes of OpenAI's protocol: server-sent events, or one JSON object.

A streamed answer is encoded whole before its first byte is sent, so that the event loop has nothing
to do between the chunks but to wait and to write.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

from trading_graph.graph.offline_model.answer import Answer, ToolCall

CHARACTERS_PER_TOKEN = 4
"""How many characters count as one token: a stated approximation, no tokenizer."""

_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, estimated."""

    prompt: int
    completion: int

    def as_json(self) -> dict[str, int]:
        """The usage in OpenAI's field names."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        }


def tokens(characters: int) -> int:
    """The estimated tokens of a text of that many characters, rounded up."""
    return -(-characters // CHARACTERS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Head:
    """What stands in every chunk of an answer."""

    id: str
    model: str
    created: int

    def event(self, choices: list[Any], **more: Any) -> bytes:
        """One server-sent event."""
        body = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
            **more,
        }
        return b"data: " + msgspec.json.encode(body) + b"\n\n"


def encode_stream(answer: Answer, head: Head, chunks: int, usage: Usage | None) -> list[bytes]:
    """The answer as at least `chunks` writes; the last one also ends the stream."""
    pieces = _tool_pieces(answer.tool_calls, chunks) if answer.tool_calls else None
    deltas = pieces or [{"content": piece} for piece in _cut(answer.text, chunks)]
    deltas[0] = {"role": "assistant", **deltas[0]}
    events = [head.event([_choice(delta)]) for delta in deltas]
    end = [head.event([_choice({}, _finish_reason(answer))])]
    if usage is not None:
        end.append(head.event([], usage=usage.as_json()))
    events[-1] = b"".join((events[-1], *end, _DONE))
    return events


def encode_whole(answer: Answer, head: Head, usage: Usage) -> bytes:
    """The answer as one JSON object."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in answer.tool_calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(answer)}
    body = {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [choice],
        "usage": usage.as_json(),
    }
    return msgspec.json.encode(body)


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.tool_calls else "stop"


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _tool_pieces(calls: tuple[ToolCall, ...], chunks: int) -> list[dict[str, Any]]:
    """The calls' deltas: of each call first id and name, then its arguments piece by piece.

    Pieces are shared out by the arguments' lengths, so that none is empty while there is text.
    """
    total = sum(len(call.arguments) for call in calls) or 1
    pieces = max(chunks - len(calls), len(calls))
    deltas: list[dict[str, Any]] = []
    done = 0
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": ""}
        deltas.append(_call_delta(index, id=call.id, type="function", function=function))
        first, done = done, done + len(call.arguments)
        share = max(1, round(done * pieces / total) - round(first * pieces / total))
        for piece in _cut(call.arguments, share):
            deltas.append(_call_delta(index, function={"arguments": piece}))
    return deltas


def _call_delta(index: int, **fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **fields}]}


def _cut(text: str, pieces: int) -> list[str]:
    """The text in exactly so many pieces of nearly equal length."""
    bounds = [len(text) * i // pieces for i in range(pieces + 1)]
    return [text[start:end] for start, end in pairwise(bounds)]

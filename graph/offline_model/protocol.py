"""The part of OpenAI's chat-completions protocol that the offline model speaks.

Requests are decoded into typed objects; unknown fields are ignored, since clients of several
versions call. Answers become server-sent events. An answer is encoded completely before its first
byte is sent, so that between chunks the event loop only waits and writes.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

CHARACTERS_PER_TOKEN = 4
"""How many characters count as one token: a published approximation, no tokenizer."""

_DONE = b"data: [DONE]\n\n"


class FunctionCall(msgspec.Struct):
    """The function of a tool call; `arguments` is JSON text."""

    name: str
    arguments: str = ""


class PastCall(msgspec.Struct):
    """A tool call of an earlier answer."""

    id: str
    function: FunctionCall


class ContentPart(msgspec.Struct):
    """A part of a message's content; only text is read."""

    text: str = ""


class Message(msgspec.Struct):
    """One message of the conversation."""

    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[PastCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The content as text, whichever form it has."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class FunctionName(msgspec.Struct):
    """A function by its name."""

    name: str


class ToolReference(msgspec.Struct):
    """A tool that the request offers, or the one that `tool_choice` forces."""

    function: FunctionName


class StreamOptions(msgspec.Struct):
    """Whether a streamed answer ends with its usage."""

    include_usage: bool | None = False


class ChatRequest(msgspec.Struct):
    """The body of POST /v1/chat/completions."""

    model: str
    messages: list[Message]
    tools: list[ToolReference] | None = None
    tool_choice: str | ToolReference | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The names of the tools on offer, in order."""
        return tuple(tool.function.name for tool in self.tools or ())

    @property
    def forced_tool(self) -> str | None:
        """The tool that must be called: the one that the caller names, or the only one on offer."""
        if isinstance(self.tool_choice, ToolReference):
            return self.tool_choice.function.name
        if self.tool_choice in ("required", "any") and len(self.tool_names) == 1:
            return self.tool_names[0]
        return None

    @property
    def include_usage(self) -> bool:
        """Whether a streamed answer must end with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


_DECODER = msgspec.json.Decoder(ChatRequest)


def decode_request(body: bytes) -> ChatRequest:
    """Decode the body; raises ValueError with one sentence."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ValueError(
            f"The body is not a chat-completions request: {error}; send JSON with 'model' and "
            "'messages'."
        ) from error


@dataclass(frozen=True, slots=True)
class OutgoingCall:
    """A tool call in an answer; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """The content of one answer: text, or tool calls."""

    text: str = ""
    tool_calls: tuple[OutgoingCall, ...] = ()

    @property
    def characters(self) -> int:
        """The length of the whole content, for the count of tokens."""
        return len(self.text) + sum(len(c.name) + len(c.arguments) for c in self.tool_calls)


@dataclass(frozen=True, slots=True)
class TokenCount:
    """The estimated tokens of one call."""

    prompt: int
    completion: int

    def as_json(self) -> dict[str, int]:
        """The count in OpenAI's field names."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        }


def estimate_tokens(characters: int) -> int:
    """The estimated tokens of a text of this length, rounded up."""
    return -(-characters // CHARACTERS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Head:
    """The fields that every chunk of an answer repeats."""

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


def encode_stream(
    answer: ModelAnswer, head: Head, chunks: int, usage: TokenCount | None
) -> list[bytes]:
    """The answer as at least `chunks` writes; the last one also ends the stream."""
    pieces = _tool_pieces(answer.tool_calls, chunks) if answer.tool_calls else None
    deltas = pieces or [{"content": piece} for piece in _split(answer.text, chunks)]
    deltas[0] = {"role": "assistant", **deltas[0]}
    events = [head.event([_choice(delta)]) for delta in deltas]
    end = [head.event([_choice({}, "tool_calls" if answer.tool_calls else "stop")])]
    if usage is not None:
        end.append(head.event([], usage=usage.as_json()))
    events[-1] = b"".join((events[-1], *end, _DONE))
    return events


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _tool_pieces(calls: tuple[OutgoingCall, ...], chunks: int) -> list[dict[str, Any]]:
    """The deltas of the calls: for each call first id and name, then its arguments in pieces.

    Each call gets pieces in proportion to its arguments, so none is empty while there is text.
    """
    total = sum(len(call.arguments) for call in calls) or 1
    pieces = max(chunks - len(calls), len(calls))
    deltas: list[dict[str, Any]] = []
    position = 0
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": ""}
        deltas.append(_call_delta(index, id=call.id, type="function", function=function))
        start, position = position, position + len(call.arguments)
        share = max(1, round(position * pieces / total) - round(start * pieces / total))
        for piece in _split(call.arguments, share):
            deltas.append(_call_delta(index, function={"arguments": piece}))
    return deltas


def _call_delta(index: int, **fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **fields}]}


def _split(text: str, pieces: int) -> list[str]:
    """The text in exactly this many pieces of nearly equal length."""
    bounds = [len(text) * i // pieces for i in range(pieces + 1)]
    return [text[start:end] for start, end in pairwise(bounds)]

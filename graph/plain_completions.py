"""Chat completions as plain dicts, in parts that a reader can still follow.

The client library makes every chunk an object of a dozen fields, in Python, and langchain-openai
makes a dict of it again, then a message whose tool arguments it parses so far as they go. So chunks
stay dicts, and those that only add to one text are gathered for a moment and told as one.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from openai import AsyncOpenAI, AsyncStream

from trading_graph.graph.errors import BadModelAnswer

# Twenty parts a second read as a flow.
_GATHERED_S = 0.05


class PlainCompletions:
    """What langchain-openai needs of a client's `chat.completions` to stream."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    @property
    def with_raw_response(self) -> Any:
        """The client's own, for answers whose headers matter."""
        return self._client.chat.completions.with_raw_response

    async def create(self, **payload: Any) -> "_Chunks":
        """Ask for a streamed answer; raises an OpenAIError."""
        return await self._client.post(
            "/chat/completions", cast_to=object, body=payload, stream=True, stream_cls=_Chunks
        )


@dataclass(frozen=True, slots=True)
class _Text:
    """The one text that a chunk adds to, and where it stands in the chunk."""

    chunk: object
    of: object
    holder: dict[str, str]
    key: str


class _Chunks(AsyncStream[object]):
    async def __stream__(self) -> AsyncIterator[object]:
        waiting: _Text | None = None
        told = float("-inf")
        async for chunk in super().__stream__():
            for choice in chunk.get("choices") or () if isinstance(chunk, dict) else ():
                # Some services leave it out where it would be empty.
                choice.setdefault("delta", None)
            text = _text(chunk)
            if waiting is not None:
                if text is not None and text.of == waiting.of:
                    waiting.holder[waiting.key] += text.holder[text.key]
                    chunk, text = waiting.chunk, waiting
                else:
                    yield waiting.chunk
            now = time.monotonic()
            if text is not None and now - told < _GATHERED_S:
                waiting = text
            else:
                waiting, told = None, now
                yield chunk
        if waiting is not None:
            yield waiting.chunk
        if told < 0:
            raise BadModelAnswer(
                "The model's service answered with no streamed completion; check OPENAI_BASE_URL."
            )


def _text(chunk: object) -> _Text | None:
    """What a chunk adds to, if that is all it does."""
    match chunk:
        case {"choices": [{"delta": dict() as delta, **choice}], **more} if not (
            more.get("usage") or choice.get("finish_reason") or choice.get("logprobs")
        ):
            said = {key: value for key, value in delta.items() if value is not None}
        case _:
            return None
    match said:
        case {"content": str(), **other} if not other:
            return _Text(chunk, "content", delta, "content")
        case {"tool_calls": [{"index": of, "function": function, **call}], **other}:
            match function:
                case {"arguments": str(), **named} if not (named or call or other):
                    return _Text(chunk, of, function, "arguments")
    return None

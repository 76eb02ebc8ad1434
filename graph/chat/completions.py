"""The streamed answers of `chat/completions`, as plain dicts that are merged for a moment."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from openai import AsyncOpenAI, AsyncStream

from trading_graph.graph.errors import BadModelAnswerError

# Twenty parts a second look continuous to a reader.
_MERGE_S = 0.05


class PlainCompletions:
    """What langchain-openai needs of a client's `chat.completions` to stream: chunks as dicts.

    The client library makes every chunk an object of a dozen fields, in Python. langchain-openai
    turns it into a dict again, then into a message whose partial tool arguments it parses. So here
    chunks stay dicts, and chunks that only add to the same text are merged for a moment.
    """

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    @property
    def with_raw_response(self) -> Any:
        """The client's own, for answers whose headers matter."""
        return self._client.chat.completions.with_raw_response

    async def create(self, **payload: Any) -> "_Chunks":
        """Request a streamed answer; raises an OpenAIError."""
        return await self._client.post(
            "/chat/completions", cast_to=object, body=payload, stream=True, stream_cls=_Chunks
        )


@dataclass(frozen=True, slots=True)
class _TextDelta:
    """The one text that a chunk adds to, and where its piece stands in the chunk."""

    chunk: object
    target: object
    holder: dict[str, str]
    key: str


class _Chunks(AsyncStream[object]):
    async def __stream__(self) -> AsyncIterator[object]:
        pending: _TextDelta | None = None
        last_yield_s = float("-inf")
        async for chunk in super().__stream__():
            for choice in chunk.get("choices") or () if isinstance(chunk, dict) else ():
                # Some services omit an empty delta.
                choice.setdefault("delta", None)
            delta = _text_delta(chunk)
            if pending is not None:
                if delta is not None and delta.target == pending.target:
                    pending.holder[pending.key] += delta.holder[delta.key]
                    chunk, delta = pending.chunk, pending
                else:
                    yield pending.chunk
            now = time.monotonic()
            if delta is not None and now - last_yield_s < _MERGE_S:
                pending = delta
            else:
                pending, last_yield_s = None, now
                yield chunk
        if pending is not None:
            yield pending.chunk
        if last_yield_s < 0:
            raise BadModelAnswerError(
                "The model's service answered with no streamed completion; check OPENAI_BASE_URL."
            )


def _text_delta(chunk: object) -> _TextDelta | None:
    """What a chunk adds to, if that is all it does."""
    match chunk:
        case {"choices": [{"delta": dict() as delta, **choice}], **more} if not (
            more.get("usage") or choice.get("finish_reason") or choice.get("logprobs")
        ):
            fields = {key: value for key, value in delta.items() if value is not None}
        case _:
            return None
    match fields:
        case {"content": str(), **other} if not other:
            return _TextDelta(chunk, "content", delta, "content")
        case {"tool_calls": [{"index": index, "function": function, **call}], **other}:
            match function:
                case {"arguments": str(), **rest} if not (rest or call or other):
                    return _TextDelta(chunk, index, function, "arguments")
    return None

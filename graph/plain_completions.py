"""Chat completions as the service sends them: a chunk of an answer is a plain dict.

The client library makes every chunk an object of a dozen fields, in Python, and langchain-openai
makes a dict of it again: in a profile that was more than four tenths of a streamed answer.
"""

from collections.abc import AsyncIterator
from typing import Any

from openai import AsyncOpenAI, AsyncStream


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


class _Chunks(AsyncStream[object]):
    async def __stream__(self) -> AsyncIterator[object]:
        async for chunk in super().__stream__():
            for choice in chunk.get("choices") or () if isinstance(chunk, dict) else ():
                # Some services leave it out where it would be empty.
                choice.setdefault("delta", None)
            yield chunk

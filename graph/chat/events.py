"""The events of a streamed answer as plain JSON values, and whether `[DONE]` came.

The client library makes every event an object of a dozen fields, in Python; here they stay what
they are. A service that does not stream answers with one JSON value, which is one event.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import openai
from openai import AsyncOpenAI, AsyncStream

from trading_graph.graph.chat.refusal import Refusal
from trading_graph.graph.errors import BadModelAnswerError

_decode = msgspec.json.Decoder().decode


class Events(AsyncStream[object]):
    """The JSON values of an answer; `done` says whether the service ended it with `[DONE]`."""

    done: bool = False

    async def __stream__(self) -> AsyncIterator[object]:
        try:
            if "json" in self.response.headers.get("content-type", ""):
                yield self._checked(self._value((await self.response.aread()).decode()))
                return
            async for event in self._iter_events():
                data = event.data.strip()
                if self.done or not data:
                    continue  # What follows is read too: only a finished connection is used again.
                if data.startswith("[DONE]"):
                    self.done = True
                    continue
                yield self._checked(self._value(data))
        finally:
            await self.response.aclose()

    def _value(self, text: str) -> object:
        try:
            return _decode(text)
        except (msgspec.DecodeError, RecursionError):
            raise BadModelAnswerError(
                "The model's service sent something that is not JSON in the middle of an answer; "
                "run it again."
            ) from None

    def _checked(self, value: object) -> object:
        """The value, unless it is an error; raises openai.APIError."""
        match value:
            case {"error": error} | {"type": "error", **error} if error:
                raise self._error(error)
            case {"type": "response.failed", "response": {"error": error}} if error:
                raise self._error(error)
            case _:
                return value

    def _error(self, error: object) -> openai.APIError:
        status = error.get("code") if isinstance(error, Mapping) else None
        status = status if isinstance(status, int) else 0
        words = Refusal.of(status, error).words or "An error occurred during streaming"
        return openai.APIError(words, self.response.request, body=error)


async def request_events(client: AsyncOpenAI, path: str, payload: Mapping[str, Any]) -> Events:
    """Send a request for a streamed answer; raises an OpenAIError."""
    # With `stream` the library hands the answer over as it comes, whatever the payload asks for.
    return await client.post(
        path, cast_to=object, body=dict(payload), stream=True, stream_cls=Events
    )

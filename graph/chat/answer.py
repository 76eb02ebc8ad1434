"""An answer as it comes, by either protocol: its events, its text in pieces, its tool calls."""

import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol

import msgspec
import openai
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from openai import AsyncOpenAI, AsyncStream

from trading_graph.graph.chat.refusal import Refusal
from trading_graph.graph.errors import BadModelAnswerError

# Twenty parts a second look continuous to a reader.
_MERGE_S = 0.05


class AnswerReader(Protocol):
    """Gathers the events of one answer."""

    def add(self, event: object) -> str:
        """Take an event, and return what it adds to the answer's text."""
        ...

    def last(self, done: bool) -> AIMessageChunk:
        """Everything but the text; `done` says whether the service ended the answer itself."""
        ...


class TextPieces:
    """Merges pieces of text that come together, so that a reader is not told of each."""

    def __init__(self) -> None:
        self._pending: list[str] = []
        self._told = float("-inf")

    def add(self, text: str) -> str | None:
        """What to tell now, if anything."""
        self._pending.append(text)
        now = time.monotonic()
        if now - self._told < _MERGE_S:
            return None
        self._told = now
        return self.rest()

    def rest(self) -> str:
        """What has not been told yet."""
        text = "".join(self._pending)
        self._pending.clear()
        return text


def call_chunks(calls: Iterable[tuple[str, str, str]]) -> list[ToolCallChunk]:
    """Whole tool calls from ids, names and arguments; each gets an id of its own.

    An id that is missing, empty or used before is made up: nine letters and digits, the form that
    the strictest service takes.
    """
    chunks: list[ToolCallChunk] = []
    used: set[str] = set()
    for index, (id_, name, arguments) in enumerate(calls):
        own = id_ if id_ and id_ not in used else secrets.token_hex(5)[:9]
        used.add(own)
        text = object_text(arguments)
        chunks.append(tool_call_chunk(name=name, args=text, id=own, index=index))
    return chunks


def object_text(arguments: str) -> str:
    """The text of the arguments' object, without what some services put around it.

    That is an empty object before the real one, or the quotes of a JSON text.
    """
    text = arguments.strip() or "{}"
    if text.startswith('"'):
        try:
            text = msgspec.json.decode(text, type=str).strip() or "{}"
        except msgspec.DecodeError:
            return text
    rest = text.removeprefix("{}").lstrip()
    return rest if rest.startswith("{") else text


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

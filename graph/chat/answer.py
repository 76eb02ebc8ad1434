"""What the two protocols have in common in an answer: its text in pieces, and its tool calls."""

import secrets
import time
from collections.abc import Iterable
from typing import Protocol

import msgspec
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk

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

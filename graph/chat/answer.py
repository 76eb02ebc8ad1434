"""What the two protocols have in common in an answer: its text in pieces, its end, its tokens."""

import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
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
        text = without_placeholder(arguments)
        chunks.append(tool_call_chunk(name=name, args=text, id=own, index=index))
    return chunks


def without_placeholder(arguments: str) -> str:
    """The arguments without the empty object that some services send before the real one."""
    text = arguments.strip() or "{}"
    rest = text.removeprefix("{}").lstrip()
    return rest if rest.startswith("{") else text


def usage_metadata(usage: Mapping[str, Any] | None) -> UsageMetadata | None:
    """The tokens of an answer, from the names of either protocol; None where there are none.

    Services that leave reasoning out of the completion's tokens count it in the total.
    """
    if not usage:
        return None
    input_tokens = _count(usage, "prompt_tokens", "input_tokens")
    output_tokens = _count(usage, "completion_tokens", "output_tokens")
    total = max(_count(usage, "total_tokens"), input_tokens + output_tokens)
    if not total:
        return None
    if total > input_tokens + output_tokens:
        output_tokens = total - input_tokens
    metadata = UsageMetadata(
        input_tokens=input_tokens, output_tokens=output_tokens, total_tokens=total
    )
    inward = _details(usage, "prompt_tokens_details", "input_tokens_details")
    outward = _details(usage, "completion_tokens_details", "output_tokens_details")
    if cached := _count(inward, "cached_tokens"):
        metadata["input_token_details"] = InputTokenDetails(cache_read=cached)
    if reasoning := _count(outward, "reasoning_tokens"):
        metadata["output_token_details"] = OutputTokenDetails(reasoning=reasoning)
    return metadata


def _count(counts: Mapping[str, Any], *names: str) -> int:
    values = (counts.get(name) for name in names)
    return next((int(each) for each in values if isinstance(each, int | float) and each > 0), 0)


def _details(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    values = (usage.get(name) for name in names)
    return next((each for each in values if isinstance(each, Mapping)), {})

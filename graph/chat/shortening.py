"""A conversation that is too long for a model, made shorter: its longest passages are cut."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

_SHARE = 0.5
"""What is left of a conversation: the service seldom says by how much it is too long."""

_SHORTEST = 200
_BLOCK = re.compile(r"<(report|statement)\b[^>]*>(?P<passage>.*?)</\1>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shortened:
    """A shorter conversation, and how many of its passages were cut and by how much."""

    messages: Sequence[BaseMessage]
    passages: int
    characters: int

    @property
    def words(self) -> str:
        """What was done, in a few words."""
        what = "passage was" if self.passages == 1 else "passages were"
        return (
            f"the conversation was too long for the model, so its {self.passages} longest {what} "
            f"shortened by {self.characters} characters"
        )


def shorten(messages: Sequence[BaseMessage]) -> Shortened | None:
    """Cut the longest reports, statements and tool answers; None where none is long enough."""
    lengths = [length for message in messages for length in _passage_lengths(message)]
    surplus = round(sum(len(message.text) for message in messages) * (1 - _SHARE))
    limit = _limit(lengths, surplus)
    cut = [length - limit for length in lengths if length > limit]
    if not cut:
        return None
    return Shortened([_cut(message, limit) for message in messages], len(cut), sum(cut))


def _limit(lengths: Sequence[int], surplus: int) -> int:
    """The length to cut passages to, so that this many characters go; the longest lose most."""
    ordered = sorted(lengths, reverse=True)
    for count, _ in enumerate(ordered, 1):
        limit = (sum(ordered[:count]) - surplus) // count
        if count == len(ordered) or limit >= ordered[count]:
            return max(limit, _SHORTEST)
    return _SHORTEST


def _passage_lengths(message: BaseMessage) -> list[int]:
    if isinstance(message, ToolMessage):
        return [len(message.text)]
    if isinstance(message, HumanMessage):
        return [len(block["passage"]) for block in _BLOCK.finditer(message.text)]
    return []


def _cut(message: BaseMessage, limit: int) -> BaseMessage:
    text = str(message.text)
    if isinstance(message, ToolMessage):
        text = _head(text, limit)
    elif isinstance(message, HumanMessage):
        text = _BLOCK.sub(
            lambda block: block[0].replace(block["passage"], _head(block["passage"], limit)), text
        )
    return message if text == message.text else message.model_copy(update={"content": text})


def _head(passage: str, limit: int) -> str:
    return passage if len(passage) <= limit else f"{passage[:limit]} [shortened]"

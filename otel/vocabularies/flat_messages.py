"""The tool calls that an LLM's answer asks for, in messages that are flat, numbered attributes."""

from functools import cached_property
from itertools import count

import msgspec

from trading_graph.otel.vocabularies.messages import Calls
from trading_graph.otel.vocabularies.values import Attributes


class FlatMessages(msgspec.Struct, frozen=True, dict=True):
    """How a vocabulary numbers the messages of an answer, and the tool calls of a message.

    `message` and `call` have a place for the number; `name` is the key of a call's tool. A message
    that has none of the `signs` does not exist. `old_call` is the key of the one call that a
    message had before there were lists of them.
    """

    message: str
    call: str
    name: str
    signs: tuple[str, ...]
    old_call: str | None = None

    @cached_property
    def first(self) -> frozenset[str]:
        """The keys of which an answer has one at least."""
        return frozenset(self.message.format(0) + sign for sign in self.signs)

    def read_calls(self, attributes: Attributes, calls: Calls) -> bool:
        """Add the calls of the answer's messages; whether there is a message."""
        if self.first.isdisjoint(attributes):
            return False
        for number in count():
            message = self.message.format(number)
            if not any(message + sign in attributes for sign in self.signs):
                return number > 0
            ids = self._ids(attributes, message)
            if not ids and self.old_call and message + self.old_call in attributes:
                ids.append(None)
            calls.add(ids)
        raise AssertionError  # count() has no end

    def _ids(self, attributes: Attributes, message: str) -> list[str | None]:
        """The id of each call of a message, or None."""
        ids: list[str | None] = []
        for number in count():
            call = message + self.call.format(number)
            call_id = attributes.get(call + "id")
            if call_id is None and call + self.name not in attributes:
                break
            ids.append(call_id if isinstance(call_id, str) and call_id else None)
        return ids

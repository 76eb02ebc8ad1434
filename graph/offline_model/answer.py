"""The offline model's answer to one request: text, or tool calls."""

import itertools
from dataclasses import dataclass
from uuid import uuid4

import msgspec

from trading_graph.graph.offline_model.analysts import tool_requests, write_analyst_report
from trading_graph.graph.offline_model.conversation import (
    ANALYSTS,
    DECIDERS,
    RESEARCHERS,
    Conversation,
)
from trading_graph.graph.offline_model.deciders import decide
from trading_graph.graph.offline_model.researchers import argue
from trading_graph.graph.offline_model.risk_team import assess


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; `arguments` is JSON text, unless a fault spoiled it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def characters(self) -> int:
        """The length of everything said, for the count of tokens."""
        return len(self.text) + sum(len(c.name) + len(c.arguments) for c in self.tool_calls)


_serial = itertools.count(1)
_process = uuid4().hex[:8]


def call_of(name: str, arguments: str) -> ToolCall:
    """A tool call with an id of its own."""
    return ToolCall(f"call_{_process}_{next(_serial)}", name, arguments)


def answer(conversation: Conversation) -> Answer:
    """The answer by the published rules, or BadConversation."""
    agent = conversation.agent
    if agent in ANALYSTS:
        wanted = () if conversation.results else ask_for_tools(conversation)
        return Answer(tool_calls=wanted) if wanted else Answer(write_analyst_report(conversation))
    if agent in RESEARCHERS:
        return Answer(argue(conversation))
    if agent in DECIDERS:
        text = decide(conversation).model_dump_json()
        return structured(conversation, text)
    return Answer(assess(conversation))


def ask_for_tools(conversation: Conversation) -> tuple[ToolCall, ...]:
    """All tool calls of the analyst's first turn."""
    return tuple(
        call_of(name, msgspec.json.encode(arguments).decode())
        for name, arguments in tool_requests(conversation)
    )


def structured(conversation: Conversation, text: str) -> Answer:
    """The JSON text as the request wants it: arguments of the forced tool, or plain text."""
    if conversation.forced is not None:
        return Answer(tool_calls=(call_of(conversation.forced, text),))
    return Answer(text)

"""What the offline model answers to one request: text or tool calls, by the rules of each agent."""

import itertools
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec

from trading_graph.graph.offline_model.conversation import Conversation
from trading_graph.graph.offline_model.deciders import decide
from trading_graph.graph.offline_model.fundamentals_analyst import FUNDAMENTALS_ANALYST
from trading_graph.graph.offline_model.market_analyst import MARKET_ANALYST
from trading_graph.graph.offline_model.news_analyst import NEWS_ANALYST
from trading_graph.graph.offline_model.protocol import ModelAnswer, OutgoingCall
from trading_graph.graph.offline_model.report import (
    BENCHMARK,
    Analyst,
    Observation,
    write_report,
)
from trading_graph.graph.offline_model.researchers import argue
from trading_graph.graph.offline_model.risk_team import assess
from trading_graph.graph.offline_model.social_analyst import SOCIAL_ANALYST
from trading_graph.graph.options import DEBATERS, DECIDERS

_ANALYSTS: Mapping[str, Analyst] = {
    "market_analyst": MARKET_ANALYST,
    "social_analyst": SOCIAL_ANALYST,
    "news_analyst": NEWS_ANALYST,
    "fundamentals_analyst": FUNDAMENTALS_ANALYST,
}

_serial = itertools.count(1)
_process = uuid4().hex[:8]


def answer_request(conversation: Conversation) -> ModelAnswer:
    """The answer by the published rules; raises BadConversationError."""
    agent = conversation.agent
    if agent in _ANALYSTS:
        calls = () if conversation.results else first_calls(conversation)
        if calls:
            return ModelAnswer(tool_calls=calls)
        return ModelAnswer(write_analyst_report(conversation))
    if agent in DEBATERS:
        return ModelAnswer(argue(conversation))
    if agent in DECIDERS:
        return structured_answer(conversation, decide(conversation).model_dump_json())
    return ModelAnswer(assess(conversation))


def first_calls(conversation: Conversation) -> tuple[OutgoingCall, ...]:
    """All tool calls of the analyst's first turn."""
    return tuple(
        outgoing_call(name, msgspec.json.encode(arguments).decode())
        for name, arguments in tool_requests(conversation)
    )


def outgoing_call(name: str, arguments: str) -> OutgoingCall:
    """A tool call with an id of its own."""
    return OutgoingCall(f"call_{_process}_{next(_serial)}", name, arguments)


def structured_answer(conversation: Conversation, text: str) -> ModelAnswer:
    """The JSON text in the requested form: arguments of the forced tool, or plain text."""
    if conversation.forced_tool is not None:
        return ModelAnswer(tool_calls=(outgoing_call(conversation.forced_tool, text),))
    return ModelAnswer(text)


def tool_requests(conversation: Conversation) -> list[tuple[str, dict[str, Any]]]:
    """The calls of the analyst's first turn, as tool name and arguments."""
    return [
        (request.tool, request.arguments(conversation.symbol))
        for request in _ANALYSTS[conversation.agent].requests
        if request.tool in conversation.tools
        and not (request.benchmark and conversation.symbol == BENCHMARK)
    ]


def write_analyst_report(conversation: Conversation) -> str:
    """The report on the tool results in the conversation."""
    analyst = _ANALYSTS[conversation.agent]
    observations = list(analyst.observations(conversation))
    for result in conversation.results:
        if result.problem is not None:
            about = f"{result.symbol}: " if result.symbol else ""
            observations.append(Observation(0, f"No data: {about}{result.problem}", result.tool))
    if not conversation.results:
        text = "No data: no tool has answered, so there is nothing to report on"
        observations.append(Observation(0, text, "no tool"))
    return write_report(analyst.title, conversation, observations)

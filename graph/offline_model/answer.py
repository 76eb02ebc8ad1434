"""What the offline model answers to one request: text or tool calls, by the rules of each agent."""

import itertools
from collections.abc import Mapping
from uuid import uuid4

import msgspec

from trading_graph.graph.offline_model.conversation import SCHEMAS, Conversation, rows
from trading_graph.graph.offline_model.deciders import decide
from trading_graph.graph.offline_model.discussions import argue, assess
from trading_graph.graph.offline_model.fundamentals_analyst import FUNDAMENTALS_ANALYST
from trading_graph.graph.offline_model.market_analyst import MARKET_ANALYST
from trading_graph.graph.offline_model.news_analyst import NEWS_ANALYST
from trading_graph.graph.offline_model.protocol import ModelAnswer, OutgoingCall
from trading_graph.graph.offline_model.report import (
    Analyst,
    Bullet,
    benchmark_of,
    write_report,
)
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
        return structured_answer(agent, decide(conversation).model_dump_json())
    return ModelAnswer(assess(conversation))


def first_calls(conversation: Conversation) -> tuple[OutgoingCall, ...]:
    """All tool calls of the analyst's first turn."""
    symbol = conversation.symbol
    return tuple(
        outgoing_call(request.tool, msgspec.json.encode(request.arguments(symbol)).decode())
        for request in _ANALYSTS[conversation.agent].requests
        if request.tool in conversation.tools and (benchmark_of(symbol) or not request.benchmark)
    )


def outgoing_call(name: str, arguments: str) -> OutgoingCall:
    """A tool call with an id of its own."""
    return OutgoingCall(f"call_{_process}_{next(_serial)}", name, arguments)


def structured_answer(agent: str, arguments: str) -> ModelAnswer:
    """A call of the function that carries the agent's decision."""
    return ModelAnswer(tool_calls=(outgoing_call(SCHEMAS[agent], arguments),))


def write_analyst_report(conversation: Conversation) -> str:
    """The report on the tool results in the conversation."""
    analyst = _ANALYSTS[conversation.agent]
    bullets = list(analyst.bullets(conversation))
    bullets += _warnings(conversation)
    for result in conversation.results:
        if result.problem is not None:
            about = f"{result.symbol}: " if result.symbol else ""
            bullets.append(Bullet(0, f"No data: {about}{result.problem}", result.tool))
    if not conversation.results:
        text = "No data: no tool has answered, so there is nothing to report on"
        bullets.append(Bullet(0, text, "no tool"))
    return write_report(analyst.title, conversation, bullets)


def _warnings(conversation: Conversation) -> list[Bullet]:
    """What the tools say about numbers that are not to be trusted blindly, each once."""
    texts = {
        f"{result.symbol}: {warning}" if result.symbol else warning: result.tool
        for result in conversation.results
        for warning in rows(result.data, "warnings")
        if isinstance(warning, str)
    }
    return [Bullet(0, f"Warning: {text}", tool) for text, tool in texts.items()]

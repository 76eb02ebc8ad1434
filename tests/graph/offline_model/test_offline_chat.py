"""Every agent through the real client: tools at once, reports, statements, structured answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.faulty_model import FaultyModel
from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.graph.options import ANALYSTS, RISK_ANALYSTS

Serve = Callable[[OfflineModel], Awaitable[ChatOpenAI]]
AnswerT = TypeVar("AnswerT", bound=BaseModel)
ToolAnswer = Callable[[str, dict[str, Any]], str]

WANTED: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "market_analyst": [
        ("get_prices", {"symbol": "AAPL"}),
        ("get_indicators", {"symbol": "AAPL"}),
        ("get_prices", {"symbol": "^GSPC"}),
    ],
    "social_analyst": [
        ("get_attention", {"symbol": "AAPL"}),
        ("get_attention", {"symbol": "^GSPC"}),
    ],
    "news_analyst": [
        ("get_company_events", {"symbol": "AAPL", "forms": ["8-K"]}),
        ("get_company_events", {"symbol": "AAPL", "forms": ["10-Q", "10-K"]}),
    ],
    "fundamentals_analyst": [
        ("get_income_statement", {"symbol": "AAPL"}),
        ("get_balance_sheet", {"symbol": "AAPL"}),
        ("get_cash_flow", {"symbol": "AAPL"}),
        ("get_ratios", {"symbol": "AAPL"}),
    ],
}
LEVELS = (
    '<price_levels>{"session":"2025-11-14","close":272.41,"low_20":247.0,"high_20":277.3,'
    '"atr_14":4.87}</price_levels>'
)


def function(name: str) -> dict[str, Any]:
    """A tool in OpenAI's format."""
    parameters = {"type": "object", "properties": {"symbol": {"type": "string"}}}
    schema = {"name": name, "description": name, "parameters": parameters}
    return {"type": "function", "function": schema}


def opening(agent: str, text: str = "") -> list[BaseMessage]:
    """The opening of a conversation, as the graph writes it."""
    head = "Symbol: AAPL\nAs of: 2025-11-14\n\n"
    return [SystemMessage(f"Agent: {agent}\nDo your work."), HumanMessage(head + text)]


async def ask(chat: Any, messages: Sequence[BaseMessage]) -> AIMessage:
    """One streamed call."""
    parts = [part async for part in chat.astream(list(messages))]
    whole = parts[0].__add__(parts[1:])
    assert isinstance(whole, AIMessage)
    return whole


async def report(chat: ChatOpenAI, agent: str, tool_answer: ToolAnswer) -> str:
    """An analyst's two turns."""
    messages = opening(agent)
    tools = [function(name) for name in dict.fromkeys(name for name, _ in WANTED[agent])]
    first = await ask(chat.bind_tools(tools), messages)
    answers = [
        ToolMessage(tool_answer(call["name"], call["args"]), tool_call_id=call["id"])
        for call in first.tool_calls
    ]
    return (await ask(chat, [*messages, first, *answers])).text


async def decide(chat: ChatOpenAI, agent: str, schema: type[AnswerT], *blocks: str) -> AnswerT:
    """A decider's turn, by function calling."""
    tool = function(schema.__name__)
    answer = await ask(
        chat.bind_tools([tool], tool_choice=schema.__name__), opening(agent, "\n".join(blocks))
    )
    [call] = answer.tool_calls
    assert call["name"] == schema.__name__
    return schema.model_validate(call["args"])


@pytest.mark.parametrize("agent", ANALYSTS)
async def test_an_analyst_calls_all_its_tools_at_once(serve: Serve, agent: str) -> None:
    """One turn asks for everything, each call with an id of its own."""
    chat = await serve(OfflineModel(latency_s=0.02))
    tools = [function(name) for name, _ in WANTED[agent]]
    answer = await ask(chat.bind_tools(tools), opening(agent))
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == WANTED[agent]
    assert len({call["id"] for call in answer.tool_calls}) == len(WANTED[agent])
    assert answer.text == ""


async def test_only_offered_tools_are_called(serve: Serve) -> None:
    """A tool that the request does not offer is not asked for."""
    chat = await serve(OfflineModel(latency_s=0))
    answer = await ask(chat.bind_tools([function("get_indicators")]), opening("market_analyst"))
    assert [call["name"] for call in answer.tool_calls] == ["get_indicators"]


async def test_an_analyst_without_tools_says_that_it_has_nothing(serve: Serve) -> None:
    """No tools and no results: no invented report."""
    chat = await serve(OfflineModel(latency_s=0))
    answer = await ask(chat, opening("market_analyst"))
    assert "there is nothing to report on" in answer.text


async def test_a_whole_analysis_comes_to_a_decision(serve: Serve, tool_answer: ToolAnswer) -> None:
    """All twelve agents in their order, each fed with what the earlier ones answered."""
    model = FaultyModel(latency_s=0.02)
    chat = await serve(model)
    texts = await asyncio.gather(*(report(chat, agent, tool_answer) for agent in ANALYSTS))
    blocks = [
        f'<report agent="{agent}">{text}</report>'
        for agent, text in zip(ANALYSTS, texts, strict=True)
    ]
    for agent in ("bull_researcher", "bear_researcher"):
        reply = await ask(chat, opening(agent, "\n".join(blocks)))
        assert reply.text.splitlines()[-1].startswith("Conviction: 0.")
        blocks.append(f'<statement agent="{agent}" round="1">{reply.text}</statement>')
    plan = await decide(chat, "research_manager", ResearchPlan, *blocks)
    assert plan.action is Action.BUY
    assert any("272.41" in point for point in plan.bull_points)
    planned = f"<plan>{plan.model_dump_json()}</plan>"
    proposal = await decide(chat, "trader", TradeProposal, *blocks, planned, LEVELS)
    assert proposal.entry == 272.41
    blocks.append(f"<proposal>{proposal.model_dump_json()}</proposal>")
    for agent in RISK_ANALYSTS:
        reply = await ask(chat, opening(agent, "\n".join([*blocks, LEVELS])))
        assert reply.text.splitlines()[-1].startswith("Stance: ")
        blocks.append(f'<statement agent="{agent}" round="1">{reply.text}</statement>')
    decision = await decide(chat, "risk_judge", FinalDecision, *blocks, LEVELS)
    assert decision.action is Action.BUY
    assert decision.position_pct is not None
    assert proposal.position_pct is not None
    assert decision.position_pct <= proposal.position_pct
    assert model.requests == dict.fromkeys(ANALYSTS, 2) | dict.fromkeys(
        (
            *("bull_researcher", "bear_researcher", "research_manager", "trader"),
            *(*RISK_ANALYSTS, "risk_judge"),
        ),
        1,
    )


async def test_structured_output_works(serve: Serve) -> None:
    """The client's own structured output gets a valid plan by function calling."""
    chat = await serve(OfflineModel(latency_s=0))
    structured = chat.with_structured_output(
        ResearchPlan, method="function_calling", include_raw=True
    )
    block = '<report agent="market_analyst">Score: +0.40</report>'
    answer = await structured.ainvoke(opening("research_manager", block))
    assert isinstance(answer, dict)
    assert isinstance(answer["parsed"], ResearchPlan)
    assert answer["parsed"].action is Action.BUY


async def test_tool_answers_in_plain_text_are_missing_data(serve: Serve) -> None:
    """`error:` and `no data:` of the graph end up as bullets with the tool and the reason."""
    chat = await serve(OfflineModel(latency_s=0))
    messages = opening("social_analyst")
    first = await ask(chat.bind_tools([function("get_attention")]), messages)
    texts = ["no data: AAPL has no volume.", "error: the source is down."]
    answers = [
        ToolMessage(text, tool_call_id=call["id"])
        for text, call in zip(texts, first.tool_calls, strict=True)
    ]
    text = (await ask(chat, [*messages, first, *answers])).text
    assert "- [0] No data: AAPL: AAPL has no volume. (get_attention)" in text
    assert "- [0] No data: ^GSPC: the source is down. (get_attention)" in text
    assert text.endswith("Score: +0.00")


async def test_usage_is_counted_by_characters(serve: Serve) -> None:
    """Four characters are one token, of what was heard and of what was said."""
    chat = await serve(OfflineModel(latency_s=0))
    messages = opening("market_analyst", json.dumps("x" * 400))
    answer = await ask(chat, messages)
    assert answer.usage_metadata is not None
    characters = sum(len(message.text) for message in messages)
    assert answer.usage_metadata["input_tokens"] == -(-characters // 4)
    assert answer.usage_metadata["output_tokens"] == -(-len(answer.text) // 4)

"""Every fault as the real client meets it, and that it ends when it should."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import ValidationError

from tests.faulty_model import Fault, FaultyModel
from trading_graph.graph.decisions import ResearchPlan, TradeProposal

Serve = Callable[[FaultyModel], Awaitable[ChatOpenAI]]

PLAN = ResearchPlan(
    action="BUY", confidence=0.6, summary="s", bull_points=[], bear_points=[], evidence=[]
)
TRADER = (
    f"<plan>{PLAN.model_dump_json()}</plan>"
    '<price_levels>{"session":"2025-11-14","close":100.0,"low_20":95.0,"high_20":103.0,'
    '"atr_14":2.0}</price_levels>'
)


def function(name: str) -> dict[str, Any]:
    """A tool in OpenAI's format."""
    parameters = {"type": "object", "properties": {}}
    described = {"name": name, "description": name, "parameters": parameters}
    return {"type": "function", "function": described}


def opening(agent: str, text: str = "") -> list[BaseMessage]:
    """The opening of a conversation."""
    head = "Symbol: AAPL\nAs of: 2025-11-14\n"
    return [SystemMessage(f"Agent: {agent}"), HumanMessage(head + text)]


async def ask(chat: Any, messages: list[BaseMessage]) -> AIMessage:
    """One streamed call."""
    parts = [part async for part in chat.astream(messages)]
    whole = parts[0].__add__(parts[1:])
    assert isinstance(whole, AIMessage)
    return whole


async def market(chat: ChatOpenAI) -> AIMessage:
    """The market analyst's first turn."""
    tools = [function("get_prices"), function("get_indicators")]
    return await ask(chat.bind_tools(tools), opening("market_analyst"))


async def trade(chat: ChatOpenAI) -> AIMessage:
    """The trader's turn."""
    tool = function("TradeProposal")
    bound = chat.bind_tools([tool], tool_choice="TradeProposal")
    return await ask(bound, opening("trader", TRADER))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
async def test_a_status_is_an_error_of_the_client(
    serve: Serve, status: int, error: type[openai.APIStatusError]
) -> None:
    """The client raises its own error for each status, once, and the next call is served."""
    chat = await serve(
        FaultyModel(latency_s=0, faults=[Fault("market_analyst", "status", value=status)])
    )
    with pytest.raises(error, match="a fault asked for it") as caught:
        await market(chat)
    assert caught.value.status_code == status
    retry_after = caught.value.response.headers.get("retry-after")
    assert retry_after == ("1" if status == 429 else None)
    assert (await market(chat)).tool_calls


async def test_a_hang_lasts_until_the_client_gives_up(serve: Serve) -> None:
    """The request is never answered, and the server can be stopped all the same."""
    chat = await serve(FaultyModel(latency_s=0, faults=[Fault("market_analyst", "hang")]))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await market(chat)
    assert (await market(chat)).tool_calls


async def test_a_cut_connection_comes_after_a_part_of_the_answer(serve: Serve) -> None:
    """Some chunks arrive, then the stream breaks off with an error, never as a short answer."""
    chat = await serve(FaultyModel(latency_s=0.1, faults=[Fault("market_analyst", "disconnect")]))
    parts = []

    async def listen() -> None:
        async for part in chat.astream(opening("market_analyst")):
            parts.append(part)

    with pytest.raises(openai.APIError):
        await listen()
    assert 1 < len(parts) < 60


async def test_slow_adds_its_seconds(serve: Serve) -> None:
    """The slow call takes longer than the one after it by about what was asked for."""
    clock = asyncio.get_running_loop().time
    fault = Fault("market_analyst", "slow", value=0.5)
    chat = await serve(FaultyModel(latency_s=0.1, faults=[fault]))
    moments = [clock()]
    for _ in range(2):
        await market(chat)
        moments.append(clock())
    slow, usual = moments[1] - moments[0], moments[2] - moments[1]
    assert slow >= 0.6
    assert slow > 2 * usual


async def test_an_empty_answer_is_empty(serve: Serve) -> None:
    """Neither text nor tool calls."""
    chat = await serve(FaultyModel(latency_s=0, faults=[Fault("market_analyst", "empty_answer")]))
    answer = await market(chat)
    assert (answer.text, answer.tool_calls, answer.invalid_tool_calls) == ("", [], [])


async def test_a_malformed_tool_call_leaves_the_others(serve: Serve) -> None:
    """The first call's arguments are no JSON, the turn's other calls are as usual."""
    fault = Fault("market_analyst", "malformed_tool_call")
    chat = await serve(FaultyModel(latency_s=0, faults=[fault]))
    answer = await market(chat)
    assert [call["name"] for call in answer.invalid_tool_calls] == ["get_prices"]
    assert [call["name"] for call in answer.tool_calls] == ["get_indicators", "get_prices"]


async def test_an_unknown_tool_is_one_that_was_not_offered(serve: Serve) -> None:
    """The first call names a tool that does not exist."""
    chat = await serve(FaultyModel(latency_s=0, faults=[Fault("market_analyst", "unknown_tool")]))
    names = [call["name"] for call in (await market(chat)).tool_calls]
    assert names == ["get_tomorrows_close", "get_indicators", "get_prices"]


async def test_wrong_arguments_are_json_of_the_wrong_types(serve: Serve) -> None:
    """The symbol is a number; a trader's proposal does not validate."""
    faults = [Fault("market_analyst", "wrong_arguments"), Fault("trader", "wrong_arguments")]
    chat = await serve(FaultyModel(latency_s=0, faults=faults))
    assert (await market(chat)).tool_calls[0]["args"]["symbol"] == 42
    with pytest.raises(ValidationError):
        TradeProposal.model_validate((await trade(chat)).tool_calls[0]["args"])


async def test_endless_tools_last_while_tools_are_offered(serve: Serve) -> None:
    """Tools are asked for in every turn; when they are withheld, there is a report."""
    chat = await serve(FaultyModel(latency_s=0, faults=[Fault("market_analyst", "endless_tools")]))
    tools = [function("get_prices")]
    messages = opening("market_analyst")
    for _ in range(3):
        answer = await ask(chat.bind_tools(tools), messages)
        assert [call["name"] for call in answer.tool_calls] == ["get_prices", "get_prices"]
        messages = [*messages, answer]
        messages += [ToolMessage("{}", tool_call_id=call["id"]) for call in answer.tool_calls]
    assert "Score: " in (await ask(chat, messages)).text


async def test_wrong_json_does_not_fit_the_schema(serve: Serve) -> None:
    """Valid JSON, invalid proposal; asked again, the model answers properly."""
    chat = await serve(FaultyModel(latency_s=0, faults=[Fault("trader", "wrong_json")]))
    with pytest.raises(ValidationError):
        TradeProposal.model_validate((await trade(chat)).tool_calls[0]["args"])
    TradeProposal.model_validate((await trade(chat)).tool_calls[0]["args"])


async def test_bad_prices_fit_the_schema_and_not_the_market(serve: Serve) -> None:
    """The proposal is valid, and its entry is far above the last 20 sessions' range."""
    chat = await serve(FaultyModel(latency_s=0, faults=[Fault("trader", "bad_prices")]))
    bad = TradeProposal.model_validate((await trade(chat)).tool_calls[0]["args"])
    assert bad.entry is not None
    assert bad.entry > 103.0 * 1.05
    good = TradeProposal.model_validate((await trade(chat)).tool_calls[0]["args"])
    assert good.entry == 100.0


async def test_prose_comes_where_a_tool_was_forced(serve: Serve) -> None:
    """Text, and no tool call."""
    chat = await serve(FaultyModel(latency_s=0, faults=[Fault("trader", "prose_instead_of_tool")]))
    answer = await trade(chat)
    assert answer.text
    assert answer.tool_calls == []


async def test_a_fault_meets_exactly_the_calls_it_names(serve: Serve) -> None:
    """`call` and `times` count the agent's own requests; other agents are not touched."""
    fault = Fault("market_analyst", "empty_answer", call=2, times=2)
    model = FaultyModel(latency_s=0, faults=[fault])
    chat = await serve(model)
    assert (await trade(chat)).tool_calls
    met = [not (await market(chat)).tool_calls for _ in range(4)]
    assert met == [False, True, True, False]
    assert model.requests == {"trader": 1, "market_analyst": 4}


async def test_a_fault_of_any_agent_can_last_for_ever(serve: Serve) -> None:
    """`*` and no end: a wrong key is wrong for all agents and all calls."""
    fault = Fault("*", "status", value=401, times=None)
    chat = await serve(FaultyModel(latency_s=0, faults=[fault]))
    for turn in (market, trade, market):
        with pytest.raises(openai.AuthenticationError):
            await turn(chat)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"agent": "trader", "kind": "typo"}, "no fault 'typo'"),
        ({"agent": "nobody", "kind": "hang"}, "cannot happen to 'nobody'"),
        ({"agent": "trader", "kind": "endless_tools"}, "cannot happen to 'trader'"),
        ({"agent": "market_analyst", "kind": "bad_prices"}, "cannot happen"),
        ({"agent": "trader", "kind": "status"}, "status 0"),
        ({"agent": "trader", "kind": "slow"}, "needs its extra seconds"),
        ({"agent": "trader", "kind": "hang", "call": 0}, "count from 1"),
    ],
)
def test_a_fault_that_could_never_happen_is_refused(fault: dict[str, Any], complaint: str) -> None:
    """A test with a fault that does nothing would prove nothing."""
    with pytest.raises(ValueError, match=complaint):
        Fault(**fault)

"""The service refuses what its habits refuse, serves what they take, and records it all."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.model_service import (
    Demand,
    Failing,
    Failure,
    Framing,
    Later,
    LoopbackService,
    RateLimit,
    Wording,
)
from tests.model_service.framings import ACCENT, THOUGHT
from trading_graph.graph.decisions import ResearchPlan
from trading_graph.toolkit.loopback import LoopbackServer

Json = dict[str, Any]
Ask = Callable[..., Awaitable[tuple[int, str, Any]]]

SYSTEM = {"role": "system", "content": "Agent: market_analyst\nYou analyse price and trend."}
USER = {"role": "user", "content": "Symbol: NVDA\nAs of: 2025-11-14\n\nReport on it."}
ARGUMENTS = '{"symbol":"NVDA"}'


def tool(name: str, **schema: Any) -> Json:
    parameters = {"type": "object", "properties": {"symbol": {"type": "string"}}, **schema}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


PRICES = tool("get_prices")


def first_turn(**more: Any) -> Json:
    body = {"model": "m", "stream": True, "messages": [SYSTEM, USER], "tools": [PRICES]}
    return body | more


def call(**more: Any) -> Json:
    function = {"name": "get_prices", "arguments": ARGUMENTS}
    return {"id": "call00001", "type": "function", "function": function} | more


def second_turn(assistant: Json, *after: Json, **more: Any) -> Json:
    answers = [
        {"role": "tool", "tool_call_id": each["id"], "content": "{}"}
        for each in assistant["tool_calls"]
    ]
    message = {"role": "assistant", "content": ""} | assistant
    return first_turn(messages=[SYSTEM, USER, message, *answers, *after]) | more


WRITE = {"role": "user", "content": "Write your report now."}


def decider_turn(**more: Any) -> Json:
    """What the research manager asks."""
    system = {"role": "system", "content": "Agent: research_manager\nRule on the debate."}
    material = "Symbol: NVDA\nAs of: 2025-11-14\n\n" + "".join(
        f'<report agent="{name}">[+] It rises [get_prices]\nScore: 0.4</report>'
        for name in ("market_analyst", "news_analyst")
    )
    material += '<statement agent="bull_researcher" round="1">Conviction: 0.8</statement>'
    messages = [system, {"role": "user", "content": material}]
    return {"model": "m", "stream": True, "messages": messages, **more}


@asynccontextmanager
async def serving(service: LoopbackService) -> AsyncIterator[Ask]:
    server = LoopbackServer(service.make_app)
    await asyncio.to_thread(server.start)

    async def ask(body: Json, path: str = "/v1/chat/completions") -> tuple[int, str, Any]:
        headers = {"Authorization": "Bearer sk-of-mine"}
        async with session.post(server.url + path, json=body, headers=headers) as response:
            return response.status, (await response.read()).decode(), response.headers

    async with aiohttp.ClientSession() as session:
        yield ask
    await asyncio.to_thread(server.stop)


def chunks_of(text: str) -> list[Json]:
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line not in ("[DONE]", "null", "")]


def deltas_of(text: str) -> list[Json]:
    return [
        choice.get("delta") or {}
        for chunk in chunks_of(text)
        for choice in chunk.get("choices", ())
    ]


def content_of(text: str) -> str:
    return "".join(delta.get("content") or "" for delta in deltas_of(text))


NAMED = {"type": "function", "function": {"name": "get_prices"}}
CALLS = {"tool_calls": [call()]}
NO_TOOLS: Json = {"tools": []}

DEMANDS: dict[Demand, tuple[Json, Json]] = {
    Demand.NO_NAMED_CHOICE: (
        first_turn(tool_choice=NAMED),
        first_turn(tool_choice="required"),
    ),
    Demand.NO_OBJECT_CHOICE: (
        first_turn(tool_choice=NAMED),
        first_turn(tool_choice="required"),
    ),
    Demand.NO_FORCED_CHOICE: (
        first_turn(tool_choice="required"),
        first_turn(tool_choice="auto"),
    ),
    Demand.NO_TOOLS: (first_turn(), first_turn(tools=[])),
    Demand.NO_STREAM_OPTIONS: (first_turn(stream_options={}), first_turn()),
    Demand.FORBIDDEN_STREAM_OPTIONS: (first_turn(stream_options={}), first_turn()),
    Demand.NO_USER_AFTER_TOOL: (second_turn(CALLS, WRITE), second_turn(CALLS)),
    Demand.TOOLS_WITH_CALLS: (
        second_turn(CALLS, tools=[]),
        second_turn(CALLS, tool_choice="none"),
    ),
    Demand.TOOLS_WITHOUT_EFFORT: (first_turn(), first_turn(reasoning_effort="none")),
    Demand.OWN_IDS: (
        second_turn({"tool_calls": [call(), call()]}),
        second_turn({"tool_calls": [call(), call(id="call00002")]}),
    ),
    Demand.TEXT_ARGUMENTS: (
        second_turn({"tool_calls": [call(function={"name": "get_prices", "arguments": {}})]}),
        second_turn(CALLS),
    ),
    Demand.NO_SCHEMA_KEYWORDS: (
        first_turn(tools=[tool("get_prices", additionalProperties=False)]),
        first_turn(),
    ),
    Demand.NO_PARALLEL_FIELD: (first_turn(parallel_tool_calls=True), first_turn()),
    Demand.NO_NULL_CONTENT: (second_turn(CALLS | {"content": None}), second_turn(CALLS)),
    Demand.NO_SYSTEM_ROLE: (
        first_turn(),
        first_turn(messages=[{**USER, "content": f"{SYSTEM['content']}\n\n{USER['content']}"}]),
    ),
    Demand.NO_DEVELOPER_ROLE: (
        first_turn(messages=[SYSTEM | {"role": "developer"}, USER]),
        first_turn(),
    ),
    Demand.SHORT_IDS: (
        second_turn({"tool_calls": [call(id="call_000001")]}),
        second_turn(CALLS),
    ),
    Demand.NO_REASONING_BACK: (
        second_turn(CALLS | {"reasoning_content": "hm"}),
        second_turn(CALLS),
    ),
    Demand.NO_UNKNOWN_FIELDS: (second_turn(CALLS | {"refusal": None}), second_turn(CALLS)),
    Demand.NO_CHOICE_NONE: (
        second_turn(CALLS, tool_choice="none"),
        second_turn(CALLS),
    ),
    Demand.NO_AUTO_CHOICE: (first_turn(), first_turn(tool_choice="required")),
    Demand.NO_RESPONSE_FORMAT: (
        first_turn(response_format={"type": "json_schema"}),
        first_turn(),
    ),
    Demand.NO_EMPTY_CONTENT: (second_turn(CALLS), second_turn(CALLS | {"content": None})),
    Demand.ALTERNATING: (first_turn(messages=[SYSTEM, USER, WRITE]), first_turn()),
    Demand.NO_TEMPERATURE: (first_turn(temperature=0), first_turn(temperature=1)),
}


@pytest.mark.parametrize("demand", DEMANDS)
async def test_a_demand_refuses_what_breaks_it_and_serves_what_keeps_it(demand: Demand) -> None:
    against, along = DEMANDS[demand]
    async with serving(service := LoopbackService(demand)) as ask:
        status, text, _ = await ask(against)
        assert 400 <= status < 500, text
        assert json.loads(text)
        status, text, _ = await ask(along)
        assert status == 200, text
    assert [each.habit for each in service.record] == [demand, ""]
    assert [each.served for each in service.record] == [False, True]
    assert service.record.paid == 1
    async with serving(LoopbackService()) as ask:
        assert (await ask(against))[0] == 200, "without the habit it is no offence"


def sent_calls(text: str) -> list[Json]:
    """The calls of a plain stream, joined."""
    joined: dict[int, Json] = {}
    for delta in deltas_of(text):
        for piece in delta.get("tool_calls") or ():
            whole = joined.setdefault(piece["index"], {"function": {"name": "", "arguments": ""}})
            whole |= {name: piece[name] for name in ("id", "extra_content") if name in piece}
            for name, value in piece["function"].items():
                whole["function"][name] += value
    return list(joined.values())


async def test_what_was_sent_along_has_to_come_back() -> None:
    for demand, field in (
        (Demand.REASONING_BACK, "reasoning_content"),
        (Demand.SIGNATURE_BACK, "extra_content"),
    ):
        async with serving(service := LoopbackService(demand)) as ask:
            _, text, _ = await ask(first_turn())
            calls = sent_calls(text)
            thought = "".join(delta.get("reasoning_content", "") for delta in deltas_of(text))
            whole: Json = {"tool_calls": calls}
            if thought:
                whole["reasoning_content"] = thought
            assert (await ask(second_turn(whole)))[0] == 200
            for holder in (whole, *calls):
                holder.pop(field, None)
            assert (await ask(second_turn(whole)))[0] == 400
        assert service.record.refused_by(demand) == 1


async def test_details_go_back_in_one_piece() -> None:
    async with serving(LoopbackService(Demand.DETAILS_BACK)) as ask:
        _, text, _ = await ask(first_turn())
        pieces = [each for delta in deltas_of(text) for each in delta.get("reasoning_details", ())]
        whole = {**pieces[-1], "text": "".join(each["text"] for each in pieces)}
        calls = {"tool_calls": sent_calls(text)}
        assert len(pieces) > 2
        assert (await ask(second_turn(calls | {"reasoning_details": pieces})))[0] == 400
        assert (await ask(second_turn(calls | {"reasoning_details": [whole]})))[0] == 200


async def test_a_model_for_the_responses_api_is_not_served_elsewhere() -> None:
    body = {"model": "m", "stream": True, "input": [SYSTEM, USER], "tools": []}
    function = PRICES["function"]
    body["tools"] = [{"type": "function", **function}]
    service = LoopbackService(Demand.RESPONSES_ONLY, Demand.REASONING_ITEM_BACK)
    async with serving(service) as ask:
        assert (await ask(first_turn()))[0] == 404
        status, text, _ = await ask(body, "/v1/responses")
        assert status == 200
        *_, last = chunks_of(text)
        response = last["response"]
        assert (last["type"], response["status"]) == ("response.completed", "completed")
        reasoning, *calls = response["output"]
        outputs = [
            {"type": "function_call_output", "call_id": each["call_id"], "output": "{}"}
            for each in calls
        ]
        without = body | {"input": [SYSTEM, USER, *calls, *outputs]}
        assert (await ask(without, "/v1/responses"))[0] == 400
        whole = body | {"input": [SYSTEM, USER, reasoning, *calls, *outputs]}
        status, text, _ = await ask(whole, "/v1/responses")
        assert status == 200
        assert "Score:" in text


PLAIN_TURN = second_turn(CALLS)


@pytest.mark.parametrize("framing", list(Framing))
async def test_a_framing_keeps_the_report(framing: Framing) -> None:
    stream = {"stream_options": {"include_usage": True}}
    async with serving(LoopbackService()) as ask:
        _, plain, _ = await ask(PLAIN_TURN | stream)
    async with serving(LoopbackService(framing)) as ask:
        status, text, _ = await ask(PLAIN_TURN | stream)
    assert status == 200
    if framing is Framing.PLAIN_JSON:
        content = json.loads(text)["choices"][0]["message"]["content"]
    elif framing is Framing.CONTENT_PARTS:
        parts = [part for delta in deltas_of(text) for part in delta.get("content") or ()]
        content = "".join(part.get("text", "") for part in parts)
    else:
        content = content_of(text)
    assert content_of(plain) in content
    assert "[DONE]" in plain


async def test_framings_of_calls_and_thoughts() -> None:
    async def turn(*habits: Framing) -> str:
        async with serving(LoopbackService(*habits)) as ask:
            return (await ask(first_turn()))[1]

    def functions(text: str) -> list[Json]:
        pieces = [p for delta in deltas_of(text) for p in delta.get("tool_calls") or ()]
        return [piece["function"] for piece in pieces]

    assert next(each["arguments"] for each in functions(await turn(Framing.PLACEHOLDER))) == "{}"
    assert isinstance(functions(await turn(Framing.OBJECT_ARGUMENTS))[0]["arguments"], dict)
    assert len({each["name"] for each in functions(await turn(Framing.NAME_REPEATED))}) == 1
    for framing, ids in (
        (Framing.SAME_IDS, {"call_0"}),
        (Framing.EMPTY_IDS, {""}),
        (Framing.NO_IDS, {None}),
    ):
        sent = sent_calls(await turn(framing))
        assert {each.get("id") for each in sent} == ids
    assert '"index": 0, "id"' not in await turn(Framing.NO_INDEX)
    assert THOUGHT in content_of(await turn(Framing.THINK))
    async with serving(LoopbackService(Framing.ACCENTS, Framing.SPLIT_BYTES)) as ask:
        assert ACCENT in content_of((await ask(PLAIN_TURN))[1])


async def test_a_decision_comes_in_the_form_that_is_asked_for() -> None:
    schema = ResearchPlan.model_json_schema()
    function = {"name": "ResearchPlan", "parameters": schema}
    tools = [{"type": "function", "function": function}]
    fields = ", ".join(ResearchPlan.model_fields)
    async with serving(service := LoopbackService()) as ask:
        _, text, _ = await ask(decider_turn(tools=tools, tool_choice="auto"))
        plan = ResearchPlan.model_validate_json(sent_calls(text)[0]["function"]["arguments"])
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        _, text, _ = await ask(decider_turn(response_format=form))
        assert ResearchPlan.model_validate_json(content_of(text)) == plan
        body = decider_turn()
        body["messages"].append({"role": "user", "content": f"Answer in JSON: {fields}"})
        _, text, _ = await ask(body)
        assert ResearchPlan.model_validate_json(content_of(text)) == plan
        _, text, _ = await ask(decider_turn())
        assert "{" not in content_of(text), "nobody told it the form"
    assert [each.choice for each in service.record] == ["auto", "json_schema", "", ""]


@pytest.mark.parametrize("wording", list(Wording))
async def test_a_wording_changes_the_decision(wording: Wording) -> None:
    tools = [{"type": "function", "function": {"name": "ResearchPlan", "parameters": {}}}]
    async with serving(LoopbackService()) as ask:
        _, plain, _ = await ask(decider_turn(tools=tools))
    async with serving(LoopbackService(wording)) as ask:
        status, text, _ = await ask(decider_turn(tools=tools))
    assert status == 200

    def said(stream: str) -> tuple[list[Json], str]:
        return [each["function"] for each in sent_calls(stream)], content_of(stream)

    changes = wording not in (Wording.CURRENCY,)  # A plan has no prices.
    assert (said(text) != said(plain)) is changes


@pytest.mark.parametrize("failure", list(Failure))
async def test_a_failure_happens_once_and_is_recorded(failure: Failure) -> None:
    failing = Failing(failure, "market_analyst", wait_s=0.01, limit=10)
    async with serving(service := LoopbackService(failings=[failing])) as ask:
        try:
            status, text, headers = await ask(first_turn())
        except aiohttp.ClientPayloadError:
            status, text, headers = 200, "", {}
        assert status == 200 or "<html>" in text or "message" in json.dumps(json.loads(text))
        if "Retry-After in" in failure:
            assert float(headers["Retry-After"]) == 0.01
        assert failure is not Failure.WRONG_KEY or "sk-of-mine" in text
        await asyncio.sleep(0.02)
        assert (await ask(first_turn()))[0] == 200
    assert [each.habit for each in service.record] == [failure, ""]
    assert not any(each.early for each in service.record)


async def test_who_comes_too_early_is_refused_again() -> None:
    failing = Failing(Failure.RATE_MS, wait_s=0.2)
    async with serving(service := LoopbackService(failings=[failing])) as ask:
        statuses = [(await ask(first_turn()))[0] for _ in range(2)]
        await asyncio.sleep(0.25)
        statuses.append((await ask(first_turn()))[0])
    assert statuses == [429, 429, 200]
    assert [each.early for each in service.record] == [False, True, False]


async def test_a_rate_limit_lets_so_many_through() -> None:
    limit = RateLimit(2, 0.3)
    async with serving(service := LoopbackService(limit=limit)) as ask:
        statuses = [(await ask(first_turn()))[0] for _ in range(3)]
        await asyncio.sleep(0.35)
        statuses.append((await ask(first_turn()))[0])
    assert statuses == [200, 200, 429, 200]
    assert service.record.paid == 3


async def test_a_habit_can_come_later_and_addresses_are_exact() -> None:
    habit = Later(Demand.NO_STREAM_OPTIONS, 2)
    async with serving(service := LoopbackService(habit)) as ask:
        body = first_turn(stream_options={"include_usage": True})
        assert [(await ask(body))[0] for _ in range(2)] == [200, 400]
        assert (await ask(body, "/chat/completions"))[0] == 404
    assert len(service.record) == 2


async def test_a_small_question_gets_a_small_answer() -> None:
    async with serving(LoopbackService()) as ask:
        question = {"model": "m", "stream": True, "messages": [USER | {"content": "Say OK"}]}
        assert content_of((await ask(question))[1]) == "OK"
        _, text, _ = await ask(question | {"tools": [PRICES]})
        (small,) = sent_calls(text)
        assert json.loads(small["function"]["arguments"]) == {"symbol": "OK"}

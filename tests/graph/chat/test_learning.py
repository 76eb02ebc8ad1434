"""A refused parameter is given up once, for all calls, and for later runs."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN

from tests.graph.chat.scripted_service import (
    FUNCTION,
    SCHEMA,
    Answer,
    Json,
    ask,
    refuse,
    serving,
    text,
)
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.capabilities import Api, Forcing, Override, Withholding
from trading_graph.graph.chat.conversation import Offer
from trading_graph.graph.chat.memory import Memory
from trading_graph.graph.chat.models import build_models
from trading_graph.graph.errors import BudgetReachedError, ModelRefusalError
from trading_graph.graph.options import Budget
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv

DECIDE = Offer(answer=FUNCTION)
TOOLS = Offer([FUNCTION])


def forcing(body: Json) -> str:
    """How a request asks for a structured answer."""
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return "named"
    if body.get("tools"):
        return choice or "auto"
    return "json_schema" if "response_format" in body else "json_text"


LADDER = ["named", "required", "auto", "json_schema", "json_text"]


def accepting(least: str) -> Any:
    """A service that takes a way of asking, and those below it on the ladder."""

    def script(path: str, body: Json) -> Answer:
        way = forcing(body)
        if LADDER.index(way) >= LADDER.index(least):
            return text('{"a": "b"}')
        refusals = {
            "auto": "this model does not support tools",
            "json_schema": "response_format is not supported",
        }
        return refuse(refusals.get(way, "tool_choice is not supported"))

    return script


@pytest.mark.parametrize("least", LADDER)
async def test_the_richest_way_that_is_accepted_is_used(least: str) -> None:
    async with serving(accepting(least)) as (service, models):
        await ask(models, offer=DECIDE)
        ways = [forcing(body) for body in service.bodies]
        assert ways == LADDER[: LADDER.index(least) + 1]
        await ask(models, offer=DECIDE)
        assert [forcing(body) for body in service.bodies[len(ways) :]] == [least]
        assert models.deep.learning.current.forcing == least


async def test_where_parameters_cannot_say_it_the_prompt_does() -> None:
    async with serving(accepting("json_text")) as (service, models):
        await ask(models, [SystemMessage("s"), HumanMessage("Well?")], DECIDE)
    last = service.bodies[-1]["messages"][-1]["content"]
    assert last.startswith("Well?")
    assert json.dumps(SCHEMA["required"]) in last


async def test_a_refusal_that_names_nothing_gives_up_nothing() -> None:
    async with serving(lambda path, body: refuse("No.")) as (service, models):
        with pytest.raises(ModelRefusalError, match=r"“No\."):
            await ask(models, offer=DECIDE)
        assert len(service.requests) == 1


def without_stream_options(path: str, body: Json) -> Answer:
    if "stream_options" in body:
        return refuse("unknown field stream_options")
    return text()


async def test_of_calls_at_once_one_learns_for_all(tmp_path: Path) -> None:
    async with serving(without_stream_options, memory=tmp_path / "m.json") as (service, models):
        await asyncio.gather(*(ask(models, offer=TOOLS) for _ in range(4)))
        assert Counter("stream_options" in each for each in service.bodies) == {True: 1, False: 4}


async def test_of_two_refusals_one_after_the_other_each_is_met_once() -> None:
    def script(path: str, body: Json) -> Answer:
        if body["messages"][0]["role"] == "system":
            return refuse("System role not supported")
        return without_stream_options(path, body)

    messages = [SystemMessage("s"), HumanMessage("u")]
    async with serving(script) as (service, models):
        await asyncio.gather(*(ask(models, messages, TOOLS) for _ in range(4)))
        assert len(service.requests) == 4 + 2
    assert service.bodies[-1]["messages"] == [{"role": "user", "content": "s\n\nu"}]


async def test_what_was_learned_is_remembered(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "cache" / "models.json")
    async with serving(without_stream_options, memory=memory.path) as (service, models):
        await ask(models)
        await models.deep.learning.aclose()
        again = await asyncio.to_thread(build_models, models.service)
        await ask(again)
        await again.aclose()
        (lesson,) = await asyncio.to_thread(memory.lessons)
    assert ["stream_options" in body for body in service.bodies] == [True, False, False]
    assert lesson.changes == {"stream_options": False}
    assert "unknown field stream_options" in lesson.reasons[0]


async def test_a_memory_that_cannot_be_used_stops_nothing(tmp_path: Path) -> None:
    # A folder is no file, and cannot be written as one.
    async with serving(without_stream_options, memory=tmp_path) as (_, models):
        assert (await ask(models)).text


async def test_a_refused_request_is_counted_and_told() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.get_empty())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with serving(without_stream_options) as (_, models):
        spending = Spending(Budget(), INVALID_SPAN)
        async with spans.run("test", provider=provider, attributes={}):
            await ask(models, spending=spending)
        (usage,) = spending.claim("trader")
        (call,) = (each for each in exporter.get_finished_spans() if each.name == "chat deep")
        (event,) = call.events
        assert event.name == semconv.CAPABILITY_EVENT
        told = dict(event.attributes or {})
        assert told[semconv.CAPABILITY_PARAMETER] == "stream_options"
        assert told[semconv.CAPABILITY_REFUSAL] == "unknown field stream_options"
        assert usage.requests == 2
    async with serving(without_stream_options) as (service, models):
        with pytest.raises(BudgetReachedError):
            await ask(models, spending=Spending(Budget(llm_calls=1), INVALID_SPAN))
        assert len(service.requests) == 1


async def test_settings_say_how_a_model_is_asked(tmp_path: Path) -> None:
    overrides = {
        "de*": Override(Api.CHAT, Forcing.REQUIRED, reasoning_effort="low", temperature=0.2)
    }
    async with serving(lambda path, body: text(), overrides=overrides) as (service, models):
        await ask(models, offer=DECIDE)
    (body,) = service.bodies
    assert body["reasoning_effort"] == "low"
    assert body["temperature"] == 0.2
    assert body["tool_choice"] == "required"


CALLED = AIMessage("", tool_calls=[{"id": "t-1", "name": "Plan", "args": {"a": "b"}}])
HISTORY = [HumanMessage("u"), CALLED, ToolMessage("r", tool_call_id="t-1")]


async def test_in_a_last_turn_the_tools_are_withheld() -> None:
    async with serving(lambda path, body: text()) as (service, models):
        await ask(models, HISTORY, Offer([FUNCTION], withheld=True))
        await ask(models, HISTORY[:1], Offer([FUNCTION], withheld=True))
    with_calls, without = service.bodies
    assert (len(with_calls["tools"]), with_calls["tool_choice"]) == (1, "none")
    assert "tools" not in without


async def test_where_tools_must_be_offered_the_prompt_withholds_them() -> None:
    def script(path: str, body: Json) -> Answer:
        if body.get("tool_choice"):
            return refuse("tool_choice none is not supported")
        return text() if body.get("tools") else refuse("the history has calls: set `tools=`")

    async with serving(script) as (service, models):
        await ask(models, HISTORY, Offer([FUNCTION], withheld=True))
        assert models.deep.learning.current.withholding is Withholding.OFFERED
    assert [each["role"] for each in service.bodies[-1]["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]
    assert "Call no further tool" in service.bodies[-1]["messages"][-1]["content"]


async def test_an_instruction_after_a_tool_is_no_message_of_its_own() -> None:
    async with serving(lambda path, body: text()) as (service, models):
        await ask(models, [*HISTORY, HumanMessage("again")])
    assert service.bodies[0]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "t-1",
        "content": "r\n\nagain",
    }


@pytest.mark.parametrize("given", ["", "/", "/v1", "/v1/", "/v1/chat/completions", "/v1/responses"])
async def test_an_address_is_understood(given: str) -> None:
    async with serving(lambda path, body: text(), path=given) as (service, models):
        await ask(models)
    assert [path for path, _ in service.requests] == ["/v1/chat/completions"]


async def test_a_service_without_v1_is_found() -> None:
    def script(path: str, body: Json) -> Answer:
        return text() if path == "/chat/completions" else refuse("Not Found", 404)

    async with serving(script, path="") as (service, models):
        await ask(models)
        await ask(models)
    assert [path for path, _ in service.requests] == [
        "/v1/chat/completions",
        "/chat/completions",
        "/chat/completions",
    ]
    async with serving(script, path="/v1") as (service, models):
        with pytest.raises(ModelRefusalError, match="OPENAI_BASE_URL"):
            await ask(models)
        assert len(service.requests) == 1


async def test_what_does_not_stream_is_asked_without() -> None:
    def script(path: str, body: Json) -> Answer:
        if body.get("stream"):
            return refuse("Your organization must be verified to stream this model", param="stream")
        message = {"role": "assistant", "content": "x"}
        return Answer(value={"choices": [{"message": message, "finish_reason": "stop"}]})

    async with serving(script) as (service, models):
        assert (await ask(models)).text == "x"
    assert "stream_options" not in service.bodies[-1]

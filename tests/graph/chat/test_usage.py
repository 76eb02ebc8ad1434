"""Tokens are those that the service reports, once for each attempt, in whatever form it does."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk, HumanMessage
from opentelemetry.trace import INVALID_SPAN
from pydantic import SecretStr

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.call import converse
from trading_graph.graph.chat.capabilities import Api, Override
from trading_graph.graph.chat.models import build_models
from trading_graph.graph.chat.usage import Tally, TokenCount, token_count, usage_metadata
from trading_graph.graph.errors import BudgetReachedError, ModelError, ModelRefusalError
from trading_graph.graph.options import Budget
from trading_graph.graph.state import Usage

OPENAI = {
    "prompt_tokens": 70,
    "completion_tokens": 30,
    "total_tokens": 100,
    "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
# As xAI reports it: wei-shaw/sub2api #5771.
XAI = {
    "prompt_tokens": 10120,
    "completion_tokens": 1499,
    "total_tokens": 14428,
    "prompt_tokens_details": {"cached_tokens": 128},
    "completion_tokens_details": {"reasoning_tokens": 2809},
}
RESPONSES = {
    "input_tokens": 70,
    "output_tokens": 30,
    "total_tokens": 100,
    "input_tokens_details": {"cached_tokens": 64},
    "output_tokens_details": {"reasoning_tokens": 20},
}
DEEPSEEK = {
    "prompt_tokens": 70,
    "completion_tokens": 30,
    "total_tokens": 100,
    "prompt_cache_hit_tokens": 64,
    "prompt_cache_miss_tokens": 6,
}


@pytest.mark.parametrize(
    ("usage", "count"),
    [
        (OPENAI, TokenCount(70, 30, cached=64, written=2, reasoning=20)),
        (XAI, TokenCount(10120, 1499 + 2809, cached=128, reasoning=2809)),
        (RESPONSES, TokenCount(70, 30, cached=64, reasoning=20)),
        (DEEPSEEK, TokenCount(70, 30, cached=64)),
        # A proxy of Gemini whose model only thought: CLIProxyAPI #5733.
        (
            {
                "prompt_tokens": 21,
                "completion_tokens": 0,
                "total_tokens": 81,
                "completion_tokens_details": {"reasoning_tokens": 60},
            },
            TokenCount(21, 60, reasoning=60),
        ),
        ({"prompt_tokens": 7, "completion_tokens": 3}, TokenCount(7, 3)),
        ({"prompt_tokens": 7, "completion_tokens": None, "total_tokens": "10"}, TokenCount(7)),
    ],
)
def test_every_form_of_usage_is_read(usage: dict[str, Any], count: TokenCount) -> None:
    metadata = usage_metadata(usage)
    assert metadata is not None
    assert token_count(metadata) == count


@pytest.mark.parametrize("usage", [None, {}, [], "12", {"prompt_tokens": 0, "total_tokens": 0}])
def test_what_tells_of_no_tokens_is_no_report(usage: object) -> None:
    assert usage_metadata(usage) is None


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=3)),
    lambda inner: st.dictionaries(st.sampled_from([*OPENAI, *RESPONSES, *XAI]), inner),
    max_leaves=8,
)


@given(ANYTHING)
def test_whatever_is_reported_is_read_or_left(usage: object) -> None:
    metadata = usage_metadata(usage)
    if metadata is not None:
        count = token_count(metadata)
        assert min(count.input, count.output, count.cached, count.reasoning) >= 0
        assert count.total > 0


def test_attempts_add_up_and_what_is_not_reported_is_counted() -> None:
    def part(usage: object = None) -> AIMessageChunk:
        return AIMessageChunk(content="x", usage_metadata=usage_metadata(usage))

    tally = Tally()
    with tally.attempt():
        tally.read(part({"prompt_tokens": 7, "completion_tokens": 1}))
        tally.read(part({"prompt_tokens": 7, "completion_tokens": 3}))
    with tally.attempt():
        pass  # refused: nothing was answered, so nothing was taken
    with contextlib.suppress(RuntimeError), tally.attempt():
        tally.read(part())
        raise RuntimeError
    with tally.attempt():
        tally.read(part({"prompt_tokens": 5, "completion_tokens": 5}))
    assert tally.total == TokenCount(12, 8)
    assert tally.uncounted == 1
    assert tally.latest == TokenCount(5, 5)


Answer = Sequence[dict[str, Any] | None]
"""The chunks of a streamed answer; None cuts the connection."""


def chunk(content: str = "", usage: object = None, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return {"id": "c", "model": "m", "choices": [choice], "usage": usage}


def report(usage: object) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [], "usage": usage}


Ask = Callable[..., Awaitable[Usage]]


@asynccontextmanager
async def asked(
    answers: Sequence[Answer], budget: Budget, api: Api = Api.CHAT
) -> AsyncIterator[Ask]:
    """A call of the real client; the service gives the answers one after the other."""
    coming = iter(answers)

    async def complete(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for each in next(coming):
            if each is None:
                assert request.transport is not None
                await asyncio.sleep(0.05)
                request.transport.close()
                return response
            await response.write(f"data: {json.dumps(each)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    path = "responses" if api is Api.RESPONSES else "chat/completions"
    app.router.add_post(f"/v1/{path}", complete)
    async with TestServer(app) as server:
        service = ModelService(
            str(server.make_url("/v1")),
            SecretStr("k"),
            "quick",
            "deep",
            overrides={"*": Override(api=api)},
            memory=None,
        )
        models = await asyncio.to_thread(build_models, service)
        spending = Spending(budget, INVALID_SPAN)

        async def ask(error: type[Exception] | None = None) -> Usage:
            with pytest.raises(error) if error else contextlib.nullcontext():
                await converse(
                    models.deep,
                    [HumanMessage("?")],
                    agent="trader",
                    turn=1,
                    spending=spending,
                )
            (usage,) = spending.claim("trader")
            return usage

        try:
            yield ask
        finally:
            await models.aclose()


def growing(final: dict[str, int]) -> list[dict[str, Any]]:
    """Usage in every chunk, cumulative, as vLLM and Ollama report it."""
    words = [
        chunk("word ", {**final, "completion_tokens": number + 1})
        for number in range(final["completion_tokens"])
    ]
    return [*words, chunk(finish="stop", usage=final)]


FINAL = {"prompt_tokens": 500, "completion_tokens": 40}


@pytest.mark.parametrize("last", [[], [report(FINAL)]])
async def test_cumulative_usage_is_not_added_up(last: list[dict[str, Any]]) -> None:
    async with asked([[*growing(FINAL), *last]], Budget()) as ask:
        usage = await ask()
    assert (usage.input_tokens, usage.output_tokens, usage.uncounted) == (500, 40, 0)


async def test_usage_that_comes_in_two_halves_is_whole() -> None:
    halves = [
        chunk("Buy", {"prompt_tokens": 500, "completion_tokens": 0}),
        chunk(finish="stop", usage={"prompt_tokens": 0, "completion_tokens": 40}),
    ]
    async with asked([halves], Budget()) as ask:
        usage = await ask()
    assert (usage.input_tokens, usage.output_tokens) == (500, 40)


async def test_a_budget_of_tokens_is_kept_with_cumulative_usage() -> None:
    """As many calls fit into it as by their true tokens."""
    budget = Budget(tokens=3 * 540)
    async with asked([growing(FINAL)] * 4, budget) as ask:
        for _ in range(3):
            await ask()
        with pytest.raises(BudgetReachedError, match="--max-tokens"):
            await ask()


async def test_an_attempt_that_broke_off_is_paid_for() -> None:
    broken = [*growing(FINAL)[:10], None]
    async with asked([broken, growing(FINAL)], Budget()) as ask:
        usage = await ask()
    assert usage.requests == 2
    assert usage.input_tokens == 1000
    assert usage.output_tokens == 40 + 10
    assert usage.uncounted == 0


async def test_an_answer_that_was_cut_off_is_paid_for_each_time() -> None:
    cut = [chunk("half"), chunk(finish="length"), report(FINAL)]
    async with asked([cut] * 3, Budget()) as ask:
        usage = await ask(ModelError)
    assert (usage.input_tokens, usage.output_tokens) == (500 * usage.requests, 40 * usage.requests)


async def test_tokens_that_nobody_reports_are_unknown_and_not_0() -> None:
    silent = [chunk("Buy"), chunk(finish="stop")]
    async with asked([silent], Budget()) as ask:
        usage = await ask()
    assert usage.uncounted == 1
    async with asked([silent], Budget(tokens=1000)) as ask:
        with pytest.raises(ModelRefusalError, match="use --max-calls instead"):
            await ask()


async def test_responses_report_their_tokens_too() -> None:
    item = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Buy"}],
    }
    answer: Answer = [
        {"type": "response.output_text.delta", "delta": "Buy"},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {
            "type": "response.completed",
            "response": {
                "id": "r",
                "object": "response",
                "model": "m",
                "status": "completed",
                "output": [item],
                "usage": RESPONSES,
            },
        },
    ]
    async with asked([answer], Budget(), Api.RESPONSES) as ask:
        usage = await ask()
    assert (usage.input_tokens, usage.output_tokens) == (70, 30)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (64, 20)

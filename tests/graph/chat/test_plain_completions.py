"""Chunks that stay dicts, gathered, make the same answers as the client library's objects."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.chat.completions import PlainCompletions
from trading_graph.graph.chat.models import build_models
from trading_graph.toolkit.loopback import LoopbackServer

TOOL: dict[str, Any] = {"name": "get_prices", "arguments": '{"symbol": '}


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    fixed = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
    return {**fixed, "choices": list(choices), **more}


def delta(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return chunk({"index": 0, "delta": delta, "finish_reason": finish})


def call(**function: Any) -> dict[str, Any]:
    return {"index": 0, "function": function}


USAGE: dict[str, Any] = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
ANSWERS = {
    "words": [
        delta(role="assistant", content=""),
        delta(content="Buy"),
        delta(content=" it."),
        delta(finish="stop"),
        chunk(usage=USAGE, service_tier="default"),
    ],
    "a tool call in parts": [
        delta(
            role="assistant",
            tool_calls=[{"id": "t-1", "type": "function", **call(**TOOL)}],
        ),
        delta(tool_calls=[call(arguments='"AAPL"}')]),
        delta(finish="tool_calls", system_fingerprint="f"),
        chunk(usage=USAGE),
    ],
    "what else there may be": [
        delta(role="assistant", content=None, refusal="No."),
        delta(content="x", reasoning_content="hidden"),
        chunk(
            {"index": 0, "delta": {"content": "y"}, "logprobs": {"content": [], "refusal": None}}
        ),
        delta(finish="length"),
    ],
    "no delta at the end": [
        delta(role="assistant", content="z"),
        chunk({"index": 0, "finish_reason": "stop"}),
        chunk({"index": 0, "delta": None, "finish_reason": "stop"}),
        {"id": "c-1", "choices": None, "usage": USAGE},
    ],
}


@asynccontextmanager
async def answering(chunks: Sequence[object], key: str = "k") -> AsyncIterator[ChatOpenAI]:
    """A model whose service streams these."""

    async def complete(request: web.Request) -> web.Response:
        lines = [f"data: {json.dumps(each)}\n\n" for each in chunks]
        text = "".join([*lines, "data: [DONE]\n\n"])
        return web.Response(text=text, content_type="text/event-stream")

    def make_app() -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", complete)
        return app

    server = LoopbackServer(make_app)
    await asyncio.to_thread(server.start)
    service = ModelService(f"{server.url}/v1", SecretStr(key), "quick", "deep")
    models = await asyncio.to_thread(build_models, service)
    try:
        yield models.quick
    finally:
        await models.aclose()
        await asyncio.to_thread(server.stop)


async def streamed(model: ChatOpenAI) -> list[AIMessageChunk]:
    """The parts of an answer, less the id that langchain gives it."""
    parts = [part async for part in model.astream("Well?")]
    assert all(isinstance(part, AIMessageChunk) for part in parts)
    return [part.model_copy(update={"id": None}) for part in parts]


def whole(parts: Sequence[AIMessageChunk]) -> AIMessageChunk:
    return parts[0].__add__(list(parts[1:]))


async def told_as_by_the_library(chunks: Sequence[object]) -> None:
    """Assert that they add up to the answer that the client library makes of them."""
    async with answering(chunks) as model:
        assert isinstance(model.async_client, PlainCompletions)
        plain = await streamed(model)
        model.async_client = model.root_async_client.chat.completions
        parts = await streamed(model)
    assert whole(plain) == whole(parts)
    assert plain[0] == parts[0]


@pytest.mark.parametrize("chunks", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_is_the_one_that_the_library_makes(chunks: Sequence[object]) -> None:
    await told_as_by_the_library(chunks)


TOKEN: dict[str, Any] = {"token": "h", "logprob": -1.0, "bytes": None, "top_logprobs": []}
LOGPROBS: dict[str, Any] = {"content": [TOKEN], "refusal": None}
POOL: list[dict[str, Any]] = [
    *[delta(content=text) for text in ("a", "b", "")],
    *[delta(tool_calls=[call(arguments=text)]) for text in ("1", "", " ")],
    delta(tool_calls=[{**call(arguments="2"), "index": 1}]),
    delta(tool_calls=[call(arguments="3"), {**call(arguments="4"), "index": 1}]),
    delta(tool_calls=[{**call(name="f", arguments="5"), "id": "t-9", "type": "function"}]),
    delta(content=None, tool_calls=None, refusal=None),
    delta(content="c", tool_calls=[call(arguments="6")]),
    delta(content="d", role="assistant"),
    delta(content="e", finish="stop"),
    delta(content=["f"]),
    chunk({"index": 0, "delta": {"content": "g"}}, usage=USAGE),
    chunk({"index": 0, "delta": {"content": "h"}, "logprobs": LOGPROBS}),
    chunk(usage=USAGE),
]


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_comes_in_whatever_order(seed: int) -> None:
    chosen = random.Random(seed)
    chunks = chosen.choices(POOL, k=60)
    await told_as_by_the_library([delta(role="assistant", content=""), *chunks])


async def test_what_comes_together_is_told_together() -> None:
    words = [delta(content=f"{number} ") for number in range(50)]
    async with answering([delta(role="assistant", content=""), *words]) as model:
        parts = await streamed(model)
    assert len(parts) < len(words) / 2


async def test_what_comes_after_a_pause_is_told_at_once() -> None:
    arrival = asyncio.Event()

    async def complete(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for word in ("Buy", " it", "."):
            await answer.write(f"data: {json.dumps(delta(content=word))}\n\n".encode())
            # Nothing more comes before the reader has this.
            await arrival.wait()
            arrival.clear()
            await asyncio.sleep(0.06)
        return answer

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    async with TestServer(app) as server, asyncio.timeout(20):
        service = ModelService(str(server.make_url("/v1")), SecretStr("k"), "quick", "deep")
        models = await asyncio.to_thread(build_models, service)
        async for part in models.quick.astream("Well?"):
            if part.text:
                arrival.set()
        await models.aclose()


async def test_with_a_key_of_langsmiths_gateway_its_headers_are_read_by_the_library() -> None:
    async with answering(ANSWERS["words"], "lsv2_k") as model:
        parts = await streamed(model)
    assert "".join(part.text for part in parts) == "Buy it."


async def test_an_error_in_the_stream_is_raised_as_by_the_library() -> None:
    async with answering([*ANSWERS["words"][:2], {"error": {"message": "overloaded"}}]) as model:
        with pytest.raises(openai.APIError, match="overloaded"):
            await streamed(model)

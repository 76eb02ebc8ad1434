"""A service is given up when it is silent; whatever it sends, and to whomever, is life."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from tests.graph.chat.scripted_service import ask
from trading_graph.graph.backend_choice import ModelService, TimeLimits
from trading_graph.graph.chat.models import Models, build_models
from trading_graph.graph.errors import ModelUnavailableError

SILENCE_S = 0.4
ANSWER = b'data: {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}\n\n'
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def models_of(handler: Handler, limits: TimeLimits) -> AsyncIterator[Models]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with TestServer(app) as server:
        url = str(server.make_url("/v1"))
        service = ModelService(url, SecretStr("k"), "quick", "deep", limits=limits)
        models = await asyncio.to_thread(build_models, service)
        try:
            yield models
        finally:
            await models.aclose()


async def begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


@pytest.mark.parametrize(
    "sign",
    [
        b": keep-alive\n\n",
        ANSWER.replace(b"content", b"reasoning").replace(b"stop", b""),
        b"\n",
    ],
    ids=["comment", "reasoning", "blank line"],
)
async def test_what_it_sends_is_life(sign: bytes) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        for _ in range(6):
            await asyncio.sleep(SILENCE_S / 3)
            await response.write(sign)
        await response.write(ANSWER)
        return response

    async with models_of(handler, TimeLimits(SILENCE_S, SILENCE_S)) as models:
        assert (await ask(models)).text == "x"


@pytest.mark.parametrize("begins", [False, True], ids=["before the answer", "in the answer"])
async def test_silence_ends_a_call(begins: bool) -> None:
    over = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        if begins:
            await response.write(ANSWER.replace(b'"stop"', b"null"))
        await over.wait()
        return response

    limits = TimeLimits(*((60, SILENCE_S) if begins else (SILENCE_S, 60)))
    async with models_of(handler, limits) as models:
        try:
            async with asyncio.timeout(30):
                with pytest.raises(ModelUnavailableError, match="did not answer in time"):
                    await ask(models)
        finally:
            over.set()


async def test_who_waits_in_line_is_not_given_up_while_others_are_served() -> None:
    line = asyncio.Lock()
    requests = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        async with line:
            await asyncio.sleep(SILENCE_S / 2)
            response = await begin(request)
            await response.write(ANSWER)
        return response

    async with models_of(handler, TimeLimits(SILENCE_S, SILENCE_S)) as models:
        # The last one waits for three times as long as the service may be silent.
        answers = await asyncio.gather(
            *(ask(models, [HumanMessage(str(number))]) for number in range(6))
        )
    assert [answer.text for answer in answers] == ["x"] * 6
    assert requests == 6

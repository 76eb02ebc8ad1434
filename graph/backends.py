"""What an analysis needs to be running: models, market data, and the loopback servers behind them.

Without a key and without a network both come from servers on loopback, reached through the same
clients as real ones: an in-process look-up would never overlap with anything and prove nothing.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from graph import models
from graph.backend_choice import DEEP_OFFLINE, QUICK_OFFLINE, BackendChoice
from graph.models import Models, ModelService
from graph.offline_model import OfflineModel
from toolkit import embedded_server, indicators
from toolkit.cache import SingleFlightCache
from toolkit.loopback import LoopbackServer
from toolkit.market_data import AsyncToolkit
from toolkit.pool import HttpPool

YAHOO_URL = "https://query2.finance.yahoo.com"


@dataclass(frozen=True, slots=True)
class Backends:
    """Running back ends: what a run talks to."""

    choice: BackendChoice
    models: Models
    toolkit: AsyncToolkit


@asynccontextmanager
async def open_backends(
    choice: BackendChoice, offline_model: OfflineModel | None = None
) -> AsyncIterator[Backends]:
    """Start what the choice needs, and stop it afterwards.

    `offline_model` replaces the default one where the choice names no model service.
    """
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(warm_up)
        service = choice.model
        if service is None:
            offline = offline_model or OfflineModel(latency_s=choice.chat_latency_s)
            server = await _serve(stack, LoopbackServer(offline.make_app))
            service = ModelService(
                base_url=f"{server.url}/v1",
                api_key=SecretStr("offline"),
                quick=QUICK_OFFLINE,
                deep=DEEP_OFFLINE,
            )
        base_url = YAHOO_URL
        if choice.data == "offline":
            latency = choice.fetch_latency_s
            data = LoopbackServer(lambda: embedded_server.make_app(latency_s=latency))
            base_url = (await _serve(stack, data)).url
        built = await asyncio.to_thread(models.build, service)
        stack.push_async_callback(built.aclose)
        pool = await stack.enter_async_context(HttpPool(pooled=choice.pool))
        cache = SingleFlightCache(enabled=choice.cache)
        yield Backends(
            choice, built, AsyncToolkit(pool, cache, mode=choice.data, base_url=base_url)
        )


async def _serve(stack: AsyncExitStack, server: LoopbackServer) -> LoopbackServer:
    await asyncio.to_thread(server.start)
    stack.push_async_callback(asyncio.to_thread, server.stop)
    return server


def warm_up() -> None:
    """Do all first-use imports now, so that a cold run does not do them on its event loop."""
    for module in _FIRST_USE:
        importlib.import_module(module)
    indicators.warm_up()


_FIRST_USE = (
    "langchain_openai",
    "openai.resources.chat.completions",
    "openai.lib.streaming.chat",
    "langgraph.pregel._runner",
    "tiktoken",
)

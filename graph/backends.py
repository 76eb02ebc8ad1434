"""The running back ends of an analysis: models, market data, and the loopback servers behind them.

Without a key and a network, both come from servers on loopback, reached through the same clients as
real ones: in-process look-ups would never overlap, so they would prove nothing.
"""

import asyncio
import gc
import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache

from pydantic import SecretStr

from trading_graph.graph.backend_choice import (
    OFFLINE_DEEP_MODEL,
    OFFLINE_QUICK_MODEL,
    BackendChoice,
    ModelService,
)
from trading_graph.graph.models import Models, build_models
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.toolkit import embedded_server, indicators
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.rate_limits import HOST_POLICIES


@dataclass(frozen=True, slots=True)
class Backends:
    """The running back ends of a run."""

    choice: BackendChoice
    models: Models
    toolkit: AsyncToolkit
    pool: HttpPool


@asynccontextmanager
async def open_backends(
    choice: BackendChoice, offline_model: OfflineModel | None = None
) -> AsyncIterator[Backends]:
    """Start the back ends of the choice, and stop them afterwards.

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
                quick=OFFLINE_QUICK_MODEL,
                deep=OFFLINE_DEEP_MODEL,
            )
        base_url = None
        if choice.data != "live":
            latency = choice.fetch_latency_s
            data = LoopbackServer(lambda: embedded_server.make_app(latency_s=latency))
            base_url = (await _serve(stack, data)).url
        models = await asyncio.to_thread(build_models, service)
        stack.push_async_callback(models.aclose)
        pool = await stack.enter_async_context(HttpPool(policies=HOST_POLICIES, pooled=choice.pool))
        cache = SingleFlightCache(enabled=choice.cache)
        stack.push_async_callback(cache.close)
        toolkit = AsyncToolkit(
            pool, cache, mode=choice.data, base_url=base_url, access=choice.access
        )
        yield Backends(choice, models, toolkit, pool)


async def _serve(stack: AsyncExitStack, server: LoopbackServer) -> LoopbackServer:
    await asyncio.to_thread(server.start)
    stack.push_async_callback(asyncio.to_thread, server.stop)
    return server


@cache
@pause_collection()
def warm_up() -> None:
    """Do all first-use work now, off the event loop of a cold run; blocks.

    The imported objects are frozen in the garbage collector, since a full collection over them
    would block the loop too.
    """
    for module in _FIRST_USE:
        importlib.import_module(module)
    indicators.warm_up()
    gc.collect()
    gc.freeze()


# The difference of `sys.modules` before and after a cold run.
_FIRST_USE = (
    "anyio._backends._asyncio",
    "langchain_core.messages.block_translators.langchain_v0",
    "langchain_core.tracers.context",
    "langchain_core.tracers.run_collector",
    "langchain_core.tracers.stdout",
    "openai.lib.streaming.chat",
    "openai.resources.chat.completions",
    "tiktoken",
)

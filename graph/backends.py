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
from trading_graph.graph.chat.models import Models, build_models
from trading_graph.graph.chat.rate_limits import EVERY_MODEL
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.toolkit import indicators
from trading_graph.toolkit.house import House
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.market_data import AsyncToolkit, open_toolkit
from trading_graph.toolkit.pool import HttpPool


@dataclass(frozen=True, slots=True)
class Backends:
    """The running back ends of a run."""

    choice: BackendChoice
    models: Models
    toolkit: AsyncToolkit
    pool: HttpPool


@asynccontextmanager
async def open_backends(
    choice: BackendChoice,
    offline_model: OfflineModel | None = None,
    house: House | None = None,
) -> AsyncIterator[Backends]:
    """Start the back ends of the choice, and stop them afterwards.

    `offline_model` replaces the default one where the choice names no model service. Limits and
    cache are those of the `house`, if there is one.
    """
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(warm_up)
        service = choice.model
        if service is None:
            offline = offline_model or OfflineModel(latency_s=choice.chat_latency_s)
            server = LoopbackServer(offline.make_app)
            await asyncio.to_thread(server.start)
            stack.push_async_callback(asyncio.to_thread, server.stop)
            service = ModelService(
                base_url=f"{server.url}/v1",
                api_key=SecretStr("offline"),
                quick=OFFLINE_QUICK_MODEL,
                deep=OFFLINE_DEEP_MODEL,
                is_ours=True,
                requests_per_minute=_of_every_model(choice.offline_requests_per_minute),
                tokens_per_minute=_of_every_model(choice.offline_tokens_per_minute),
            )
        limits = None if house is None else house.limits
        models = await asyncio.to_thread(build_models, service, limits)
        stack.push_async_callback(models.aclose)
        toolkit = await stack.enter_async_context(
            open_toolkit(
                choice.data,
                choice.access,
                embedded_latency_s=choice.fetch_latency_s,
                caching=choice.cache,
                pooled=choice.pool,
                cache_file=choice.cache_file,
                house=house,
            )
        )
        yield Backends(choice, models, toolkit, toolkit.pool)


def _of_every_model(limit: int | None) -> dict[str, int]:
    return {} if limit is None else {EVERY_MODEL: limit}


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

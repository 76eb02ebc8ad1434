"""A call of a model that is cancelled ends, whenever the cancellation arrives."""

import asyncio
import random

from opentelemetry.trace import INVALID_SPAN

from tests.analysis_runner import OPTIONS
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.backends import open_backends
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.call import converse
from trading_graph.graph.options import Budget
from trading_graph.graph.prompts import analyst_messages

CALL_S = 0.1


async def test_no_moment_of_a_stream_swallows_a_cancellation() -> None:
    """Chunks arrive all the time, so many cancellations come together with one."""
    choice = BackendChoice(chat_latency_s=CALL_S, fetch_latency_s=0.0)
    moments = random.Random(7)
    messages = analyst_messages("market_analyst", OPTIONS)
    async with open_backends(choice) as backends:
        models = backends.models
        spending = Spending(Budget(), INVALID_SPAN)
        ends: list[object] = []
        for _ in range(80):
            call = asyncio.create_task(
                converse(
                    models.quick,
                    messages,
                    agent="market_analyst",
                    turn=1,
                    spending=spending,
                )
            )
            await asyncio.sleep(moments.uniform(0.1, 0.9) * CALL_S)
            if not call.done():
                call.cancel()
                ends += await asyncio.gather(call, return_exceptions=True)
    assert len(ends) > 40
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)

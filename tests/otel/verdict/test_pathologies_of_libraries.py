"""The ways to be serial that LangGraph, the HTTP pool and the cache bring, in real programs."""

import asyncio
import datetime
import operator
from functools import partial
from typing import Annotated, Any, TypedDict

import pytest
from aiohttp import web
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from tests.recorded_program import looks_parallel, results, trace_of
from trading_graph.otel import spans
from trading_graph.otel.spans import GraphPlace
from trading_graph.otel.verdict import Outcome
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.pool import HttpPool

pytestmark = pytest.mark.idle

NAMES = ("market", "social", "news", "fundamentals")
CALL_S = 0.15


class State(TypedDict):
    done: Annotated[list[str], operator.add]


def task(config: RunnableConfig) -> GraphPlace:
    found = config["metadata"]
    return GraphPlace(found["langgraph_node"], found["langgraph_step"], "task")


def node(name: str, seconds: float) -> Any:
    """A node that is one step of the agent of that name; typed loosely, as LangGraph takes it."""

    async def run(state: State, config: RunnableConfig) -> State:
        with (
            spans.agent(name, task=task(config)),
            spans.chat("model", agent=name, turn=0),
        ):
            await asyncio.sleep(seconds)
        return {"done": [name]}

    return run


async def two_nodes_an_agent(slow_s: float) -> None:
    """Analyst and tools as nodes of one graph: each step waits for the slowest analyst."""
    graph = StateGraph(State)
    for name in NAMES:
        first_s = slow_s if name == "market" else 0.05
        graph.add_node(name, node(name, first_s))
        graph.add_node(f"{name}_tools", node(name, CALL_S))
        graph.add_edge(START, name)
        graph.add_edge(name, f"{name}_tools")
        graph.add_edge(f"{name}_tools", END)
    await graph.compile().ainvoke({"done": []})


def test_the_superstep_barrier() -> None:
    trace = trace_of(partial(two_nodes_an_agent, 4 * CALL_S))
    found = results(trace)["agents"]
    assert found.outcome is Outcome.FAIL
    assert found.grade.startswith("suspicious: branches waited for each other at superstep")
    assert "one node" in found.advice


def test_steps_of_equal_length_cost_no_barrier() -> None:
    found = results(trace_of(partial(two_nodes_an_agent, 0.05)))["agents"]
    assert found.outcome is Outcome.PASS
    assert found.grade == "proven"


async def sends(limit: int) -> None:
    async def one(state: dict[str, str], config: RunnableConfig) -> Any:
        return await node(state["name"], CALL_S)(state, config)

    graph = StateGraph(State)
    graph.add_node("dispatcher", lambda state: {"done": []})
    graph.add_node("analyst", one)
    graph.add_edge(START, "dispatcher")
    graph.add_conditional_edges(
        "dispatcher", lambda _: [Send("analyst", {"name": name}) for name in NAMES], ["analyst"]
    )
    await graph.compile().ainvoke({"done": []}, {"max_concurrency": limit})


@pytest.mark.parametrize(("limit", "told"), [(1, ""), (2, " (2 at once)")])
def test_max_concurrency(limit: int, told: str) -> None:
    found = results(trace_of(partial(sends, limit)))["agents"]
    assert found.outcome is Outcome.FAIL
    assert found.grade == f"serial: a limit on concurrency lets only some start{told}"
    assert found.advice == "Raise max_concurrency."


def test_a_limit_that_is_wide_enough_is_none() -> None:
    found = results(trace_of(partial(sends, len(NAMES))))["agents"]
    assert found.grade == "proven"


def test_too_few_connections() -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(CALL_S)
        return web.json_response({})

    def make_app() -> web.Application:
        app = web.Application()
        app.router.add_get("/", answer)
        return app

    server = LoopbackServer(make_app)
    server.start()

    async def program() -> None:
        async with HttpPool(limit_per_host=1) as pool:

            async def agent(name: str) -> None:
                with spans.agent(name), spans.fetch(name):
                    await pool.get_json(f"{server.url}/")

            await asyncio.gather(*(agent(name) for name in NAMES))

    try:
        trace = trace_of(program)
    finally:
        server.stop()
    found = results(trace)["agents"]
    assert looks_parallel(trace)
    assert looks_parallel(trace, "fetch ")
    assert found.outcome is Outcome.FAIL
    assert found.grade == "serial: requests waited for a free connection"
    assert "connection limit" in found.advice


KEY = CacheKey("bars", "source", "AAPL", datetime.date(2025, 11, 14))


async def load() -> str:
    with spans.fetch("source"):
        await asyncio.sleep(CALL_S)
    return "bars"


async def ask(cache: SingleFlightCache, name: str) -> None:
    with spans.tool(name, call_id=name, args_hash=name, turn=0):
        await cache.get(KEY, load, ttl=60)


def test_tools_that_hit_the_cache_prove_nothing() -> None:
    async def program() -> None:
        cache = SingleFlightCache()
        await cache.get(KEY, load, ttl=60)
        with spans.agent("market"):
            await asyncio.gather(*(ask(cache, name) for name in NAMES))

    found = results(trace_of(program))["turns"]
    assert found.outcome is Outcome.NOT_APPLICABLE


def test_tools_that_share_one_fetch_prove_nothing() -> None:
    async def program() -> None:
        cache = SingleFlightCache()
        with spans.agent("market"):
            await asyncio.gather(*(ask(cache, name) for name in NAMES))

    trace = trace_of(program)
    assert looks_parallel(trace, "execute_tool ")
    found = results(trace)["turns"]
    assert found.outcome is Outcome.NOT_APPLICABLE
    assert len(trace.rows("fetch ")) == 1

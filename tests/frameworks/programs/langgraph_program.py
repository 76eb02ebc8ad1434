# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "langgraph==1.2.24",
#   "langchain==1.5.2",
#   "langchain-openai==1.7.4",
#   "openinference-instrumentation-langchain==0.1.80",
#   "opentelemetry-instrumentation-langchain==0.62.4",
#   "langsmith[otel]==0.15.1",
#   "opentelemetry-sdk==1.45.2",
# ]
# ///
"""LangGraph and LangChain's agent, under three instrumentors."""

import asyncio
import operator
import os
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypedDict

# LangSmith reads these when it is imported.
os.environ |= {
    "LANGSMITH_OTEL_ENABLED": "true",
    "LANGSMITH_OTEL_ONLY": "true",
    "LANGSMITH_ENDPOINT": "http://127.0.0.1:9",
    "LANGSMITH_API_KEY": "none",
}

from langchain.agents import create_agent
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.tools import BaseTool, tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from recording import Job, record

INSTRUMENTORS = ("openinference", "openllmetry", "langsmith")
QUESTION = "How is the weather?"
CITIES = ("Oslo", "Rome", "Lima", "Quito")
# The length of an analyst's two tool calls: who is slow in one round is fast in the other, and
# waits for others in both. Without barriers the run would take 0.6 s less.
ROUNDS = {"Oslo": 0.8, "Cairo": 0.2, "Rome": 0.2, "Accra": 0.8, "Lima": 0.4, "Quito": 0.4}
PAIRS = (("Oslo", "Cairo"), ("Rome", "Accra"), ("Lima", "Quito"))


class State(TypedDict):
    """The messages of a conversation."""

    messages: Annotated[list[AnyMessage], operator.add]


class Desk(TypedDict):
    """What several reporters write."""

    city: str
    reports: Annotated[list[str], operator.add]


def instrument(job: Job) -> None:
    match job.instrumentor:
        case "openinference":
            from openinference.instrumentation.langchain import LangChainInstrumentor

            LangChainInstrumentor().instrument(tracer_provider=job.provider)
        case "openllmetry":
            from opentelemetry.instrumentation.langchain import LangchainInstrumentor

            LangchainInstrumentor().instrument(tracer_provider=job.provider)
        case "langsmith":
            os.environ["LANGSMITH_TRACING"] = "true"


def weather_tool(job: Job) -> BaseTool:
    if job.variant.wait == "thread":

        @tool
        def weather(city: str) -> str:
            """The weather of a city."""
            return job.workload.weather_in_thread(city)

        return weather

    @tool
    async def weather(city: str) -> str:  # type: ignore[no-redef]
        """The weather of a city."""
        if job.variant.name == "barrier":
            await job.workload.rest(ROUNDS[city])
            return "sunny"
        return await job.workload.weather(city)

    return weather


def model_of(job: Job) -> ChatOpenAI:
    return ChatOpenAI(model=job.variant.model, base_url=job.base_url, api_key="none")


async def run_agent(job: Job) -> None:
    agent = create_agent(model_of(job), [weather_tool(job)], name="weather_agent")
    await agent.ainvoke({"messages": [HumanMessage(QUESTION)]})


async def run_serial_node(job: Job) -> None:
    """Call the tools of a turn one after the other, in a node of our own."""
    weather = weather_tool(job)
    model = model_of(job).bind_tools([weather])

    async def agent(state: State) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def tools(state: State) -> dict[str, Any]:
        calls = state["messages"][-1].tool_calls
        return {
            "messages": [await weather.ainvoke({**call, "type": "tool_call"}) for call in calls]
        }

    graph = StateGraph(State)
    graph.add_node("agent", agent)
    graph.add_node("tools", tools)
    graph.add_edge(START, "agent")
    graph.add_conditional_edges(
        "agent", lambda state: "tools" if state["messages"][-1].tool_calls else END
    )
    graph.add_edge("tools", "agent")
    await graph.compile().ainvoke({"messages": [HumanMessage(QUESTION)]})


def reporter(job: Job) -> Callable[[Desk], Awaitable[dict[str, Any]]]:
    """Return a node that asks the model, calls the tool that it asks for, and asks again."""
    weather = weather_tool(job)
    model = model_of(job).bind_tools([weather])

    async def report(state: Desk) -> dict[str, Any]:
        before = " ".join(state.get("reports", [])) if job.variant.kind == "dependent" else ""
        messages: list[AnyMessage] = [HumanMessage(f"Weather in {state['city']}? {before}")]
        if job.variant.model == "plain":
            return {"reports": [(await model.ainvoke(messages)).text]}
        messages.append(await model.ainvoke(messages))
        messages += [await weather.ainvoke(call) for call in messages[-1].tool_calls]
        return {"reports": [(await model.ainvoke(messages)).text]}

    return report


async def run_fan(job: Job) -> None:
    """Send each city to a reporter."""
    cities = CITIES if job.variant.name == "maxcon" else CITIES[:3]
    graph = StateGraph(Desk)
    graph.add_node("reporter", reporter(job))
    graph.add_node("editor", lambda state: {"reports": []})
    graph.add_conditional_edges(
        START, lambda state: [Send("reporter", {"city": city}) for city in cities], ["reporter"]
    )
    graph.add_edge("reporter", "editor")
    config = {"max_concurrency": 2} if job.variant.name == "maxcon" else {}
    await graph.compile().ainvoke({"city": "", "reports": []}, config)


async def run_chain(job: Job) -> None:
    """Chain reporters by edges, whether or not one needs the other."""
    graph = StateGraph(Desk)
    report = reporter(job)
    before = START
    for city in CITIES[:3]:

        async def node(state: Desk, city: str = city) -> dict[str, Any]:
            return await report({**state, "city": city})

        name = f"{city.lower()}_reporter"
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    await graph.compile().ainvoke({"city": "", "reports": []})


async def run_barrier(job: Job) -> None:
    """Let three analysts and their tools be nodes of one graph, so that each step waits for all."""

    def append(old: dict[str, list[Any]], new: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return old | {key: old.get(key, []) + value for key, value in new.items()}

    class Desks(TypedDict):
        desks: Annotated[dict[str, list[AnyMessage]], append]

    weather = weather_tool(job)
    model = model_of(job).bind_tools([weather])
    graph = StateGraph(Desks)
    for first, second in PAIRS:
        analyst, tools = f"{first.lower()}_analyst", f"{first.lower()}_tools"

        async def ask(state: Desks, key: str = first, second: str = second) -> dict[str, Any]:
            mine = state["desks"].get(key) or [HumanMessage(f"Weather in {key}, then {second}?")]
            answer = await model.ainvoke(mine)
            return {"desks": {key: [answer] if key in state["desks"] else [*mine, answer]}}

        async def call(state: Desks, key: str = first) -> dict[str, Any]:
            calls = state["desks"][key][-1].tool_calls
            results = [weather.ainvoke({**each, "type": "tool_call"}) for each in calls]
            return {"desks": {key: list(await asyncio.gather(*results))}}

        def goes_on(state: Desks, key: str = first, tools: str = tools) -> str:
            return tools if state["desks"][key][-1].tool_calls else "editor"

        graph.add_node(analyst, ask)
        graph.add_node(tools, call)
        graph.add_edge(START, analyst)
        graph.add_conditional_edges(analyst, goes_on, [tools, "editor"])
        graph.add_edge(tools, analyst)
    graph.add_node("editor", lambda state: {"desks": {}})
    await graph.compile().ainvoke({"desks": {}})


async def run(job: Job) -> None:
    runs = {
        "serial": run_serial_node,
        "fan": run_fan,
        "maxcon": run_fan,
        "agents": run_chain,
        "row": run_chain,
        "barrier": run_barrier,
    }
    await runs.get(job.variant.name, run_agent)(job)
    if job.instrumentor == "langsmith":
        from langchain_core.tracers.langchain import wait_for_all_tracers

        wait_for_all_tracers()


if __name__ == "__main__":
    record(run, instrument, INSTRUMENTORS)

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "langgraph==1.2.24",
#   "langchain==1.5.2",
#   "langchain-openai==1.7.4",
#   "openinference-instrumentation-langchain==0.1.80",
#   "opentelemetry-instrumentation-langchain==0.62.4",
#   "opentelemetry-instrumentation-genai-langchain==1.3b0",
#   "langsmith[otel]==0.15.1",
#   "msgspec==0.22.0",
#   "pandas==3.1.1",
#   "opentelemetry-sdk==1.45.2",
# ]
# ///
"""A LangGraph agent under four instrumentors; the model asks for four tools at once."""

from setting import told

SETTING = told()
SETTING.install_witness()

import asyncio
import os

if SETTING.instrumentor == "langsmith":
    # LangSmith reads these when it is imported.
    os.environ |= {
        "LANGSMITH_OTEL_ENABLED": "true",
        "LANGSMITH_OTEL_ONLY": "true",
        "LANGSMITH_ENDPOINT": "http://127.0.0.1:9",
        "LANGSMITH_API_KEY": "none",
        "LANGSMITH_TRACING": "true",
    }

from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pathologies import Task, Work, httpx2_client, performance, rehearsal
from tracing import provider


def instrument() -> None:
    match SETTING.instrumentor:
        case "openinference":
            from openinference.instrumentation.langchain import LangChainInstrumentor

            LangChainInstrumentor().instrument(tracer_provider=provider)
        case "openllmetry":
            from opentelemetry.instrumentation.langchain import LangchainInstrumentor

            LangchainInstrumentor().instrument(tracer_provider=provider)
        case "genai":
            from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

            LangChainInstrumentor().instrument(tracer_provider=provider)


async def run(task: Task) -> None:
    async with httpx2_client(task) as fetch:
        work = Work(task, fetch)

        @tool
        async def weather(city: str) -> str:
            """The weather of a city."""
            return await work.weather()

        model = ChatOpenAI(model="par4", base_url=SETTING.model, api_key="none")
        model_with_tools = model.bind_tools([weather])

        async def agent(state: MessagesState) -> dict[str, Any]:
            return {"messages": [await model_with_tools.ainvoke(state["messages"])]}

        graph = StateGraph(MessagesState)
        graph.add_node("agent", agent)
        graph.add_node("tools", ToolNode([weather]))
        graph.add_edge(START, "agent")
        graph.add_conditional_edges("agent", tools_condition)
        graph.add_edge("tools", "agent")
        await graph.compile().ainvoke({"messages": [HumanMessage("How is the weather?")]})


async def main() -> None:
    await run(rehearsal(SETTING))
    await run(performance(SETTING))
    if SETTING.instrumentor == "langsmith":
        from langchain_core.tracers.langchain import wait_for_all_tracers

        wait_for_all_tracers()


if __name__ == "__main__":
    instrument()
    asyncio.run(main())

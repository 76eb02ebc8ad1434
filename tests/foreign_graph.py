"""A LangGraph program that is not ours, under one of the instrumentors that people use.

    python -m tests.foreign_graph openinference|openllmetry|langsmith OUT [--serial] [--manual]

Three analysts, each with one model call and one tool, at once or (--serial) one after the other.
--manual adds spans by hand as users do: one around the run, and one inside each node. The spans go
to OUT as OTLP JSON.
"""

import argparse
import asyncio
import operator
import os
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from opentelemetry import trace
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

CALL_S, TOOL_S = 0.2, 0.1
NAMES = ("market", "social", "news")


class State(TypedDict):
    """What nodes add to."""

    done: Annotated[list[str], operator.add]


class SlowChat(BaseChatModel):
    """A model that answers after a while."""

    model_name: str = "slow-model"

    @property
    def _llm_type(self) -> str:
        return "slow"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> ChatResult:
        await asyncio.sleep(CALL_S)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("fine"))])


@tool
async def prices(symbol: str) -> str:
    """Look prices up."""
    await asyncio.sleep(TOOL_S)
    return f"{symbol}: 1"


def build(serial: bool, manual: bool) -> Any:
    """The graph, compiled."""
    tracer = trace.get_tracer("by hand")

    def analyst(name: str) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
        async def work(state: dict[str, Any]) -> dict[str, Any]:
            await SlowChat().ainvoke("How is it?")
            await prices.ainvoke({"symbol": "NVDA"})
            return {"done": [name]}

        async def by_hand(state: dict[str, Any]) -> dict[str, Any]:
            with tracer.start_as_current_span(f"by hand {name}"):
                return await work(state)

        return by_hand if manual else work

    graph: Any = StateGraph(State)
    for name in NAMES:
        graph.add_node(name, analyst(name))
    if serial:
        for before, after in zip((START, *NAMES), (*NAMES, END), strict=True):
            graph.add_edge(before, after)
    else:
        graph.add_node("dispatcher", lambda state: {"done": []})
        graph.add_edge(START, "dispatcher")
        graph.add_conditional_edges(
            "dispatcher", lambda state: [Send(name, {"done": []}) for name in NAMES], list(NAMES)
        )
    return graph.compile()


def instrument(name: str, provider: TracerProvider) -> None:
    """Switch one instrumentor on."""
    if name == "openinference":
        from openinference.instrumentation.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=provider)
    elif name == "openllmetry":
        from opentelemetry.instrumentation.langchain import LangchainInstrumentor

        LangchainInstrumentor().instrument(tracer_provider=provider)
    else:
        os.environ["LANGSMITH_TRACING"] = "true"
        os.environ["LANGSMITH_TRACING_MODE"] = "otel"
        os.environ["LANGSMITH_API_KEY"] = "none"
        os.environ["LANGSMITH_ENDPOINT"] = "http://127.0.0.1:9"


async def run(graph: Any, manual: bool) -> None:
    """Run the graph once."""
    config = {"run_id": uuid.uuid4()}
    if not manual:
        await graph.ainvoke({"done": []}, config)
        return
    with trace.get_tracer("by hand").start_as_current_span("by hand"):
        await graph.ainvoke({"done": []}, config)


def main() -> None:
    """Run and write the spans."""
    parser = argparse.ArgumentParser()
    parser.add_argument("instrumentor", choices=["openinference", "openllmetry", "langsmith"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--serial", action="store_true")
    parser.add_argument("--manual", action="store_true")
    asked = parser.parse_args()
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    instrument(asked.instrumentor, provider)
    asyncio.run(run(build(asked.serial, asked.manual), asked.manual))
    if asked.instrumentor == "langsmith":
        from langchain_core.tracers.langchain import wait_for_all_tracers

        wait_for_all_tracers()
    encoded = encode_spans(memory.get_finished_spans()).to_dict()
    asked.out.write_bytes(msgspec.json.encode(encoded))


if __name__ == "__main__":
    main()

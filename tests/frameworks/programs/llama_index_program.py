# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "llama-index-core==0.14.25",
#   "llama-index-llms-openai-like==0.8.1",
#   "openinference-instrumentation-llama-index==4.6.1",
#   "opentelemetry-sdk==1.45.2",
# ]
# ///
"""LlamaIndex's FunctionAgent under OpenInference."""

import asyncio
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from recording import KEY, Job, record

QUESTION = "How is the weather?"
CITIES = ("Oslo", "Rome", "Lima")


def instrument(job: Job) -> None:
    from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

    LlamaIndexInstrumentor().instrument(tracer_provider=job.provider)


def weather_tool(job: Job) -> FunctionTool:
    if job.variant.wait == "thread":

        def weather(city: str) -> str:
            """The weather of a city."""
            return job.workload.weather_in_thread(city)

        return FunctionTool.from_defaults(fn=weather)

    async def weather(city: str) -> str:  # type: ignore[no-redef]
        """The weather of a city."""
        return await job.workload.weather(city)

    return FunctionTool.from_defaults(async_fn=weather)


def agent_of(job: Job, name: str = "weather agent") -> FunctionAgent:
    model = OpenAILike(
        model=job.variant.model,
        api_base=job.base_url,
        api_key=KEY,
        is_chat_model=True,
        is_function_calling_model=True,
    )
    return FunctionAgent(name=name, llm=model, tools=[weather_tool(job)])


async def report(job: Job, city: str, before: str = "") -> str:
    """Let one agent report on a city."""
    answer: Any = await agent_of(job, f"{city} reporter").run(f"Weather in {city}? {before}")
    return str(answer)


async def run(job: Job) -> None:
    match job.variant.name:
        case "fan":
            with job.tracer.start_as_current_span("news room"):
                await asyncio.gather(*(report(job, city) for city in CITIES))
        case "row" | "agents":
            with job.tracer.start_as_current_span("news room"):
                before = ""
                for city in CITIES:
                    text = await report(job, city, before)
                    before = text if job.variant.name == "agents" else ""
        case _:
            await agent_of(job).run(QUESTION)


if __name__ == "__main__":
    record(run, instrument, ("openinference",))

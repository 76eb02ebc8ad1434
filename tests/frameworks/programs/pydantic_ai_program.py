# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "pydantic-ai-slim[openai]==2.68.0",
#   "opentelemetry-sdk==1.45.2",
# ]
# ///
"""pydantic-ai with the instrumentation of its own."""

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic_ai import Agent, InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from recording import KEY, Job, record

QUESTION = "How is the weather?"
CITIES = ("Oslo", "Rome", "Lima")


def weather_tool(job: Job) -> Callable[..., Any]:
    if job.variant.wait == "thread":

        def weather(city: str) -> str:
            """The weather of a city."""
            return job.workload.weather_in_thread(city)

        return weather

    async def weather(city: str) -> str:  # type: ignore[no-redef]
        """The weather of a city."""
        return await job.workload.weather(city)

    return weather


def agent_of(job: Job, name: str = "weather_agent") -> Agent:
    model = OpenAIChatModel(
        job.variant.model, provider=OpenAIProvider(base_url=job.base_url, api_key=KEY)
    )
    return Agent(model, name=name, tools=[weather_tool(job)])


def instrument(job: Job) -> None:
    # Without content, as careful people record, the answer does not say which calls it asked for.
    content = job.instrumentor == "own"
    Agent.instrument_all(
        InstrumentationSettings(tracer_provider=job.provider, include_content=content)
    )


async def report(job: Job, city: str, before: str = "") -> str:
    """Let one agent report on a city."""
    agent = agent_of(job, f"{city.lower()}_reporter")
    return str((await agent.run(f"Weather in {city}? {before}")).output)


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
            mode = "sequential" if job.variant.name == "serial" else "parallel"
            with Agent.parallel_tool_call_execution_mode(mode):
                await agent_of(job).run(QUESTION)


if __name__ == "__main__":
    record(run, instrument, ("own", "nocontent"))

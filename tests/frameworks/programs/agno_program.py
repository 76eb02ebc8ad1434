# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "agno==3.1.10",
#   "openai==3.57.0",
#   "openinference-instrumentation-agno==1.0.15",
#   "opentelemetry-sdk==1.45.2",
# ]
# ///
"""agno under OpenInference."""

import asyncio
from collections.abc import Callable
from typing import Any

from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from recording import KEY, Job, record

QUESTION = "How is the weather?"
CITIES = ("Oslo", "Rome", "Lima")


def instrument(job: Job) -> None:
    from openinference.instrumentation.agno import AgnoInstrumentor

    AgnoInstrumentor().instrument(tracer_provider=job.provider)


def weather_tool(job: Job) -> Callable[..., Any]:
    if job.variant.wait == "thread" or job.variant.name == "serial":

        def weather(city: str) -> str:
            """The weather of a city."""
            return job.workload.weather_in_thread(city)

        return weather

    async def weather(city: str) -> str:  # type: ignore[no-redef]
        """The weather of a city."""
        return await job.workload.weather(city)

    return weather


def agent_of(job: Job, name: str = "weather agent") -> Agent:
    model = OpenAILike(id=job.variant.model, base_url=job.base_url, api_key=KEY)
    return Agent(name=name, model=model, tools=[weather_tool(job)], telemetry=False)


async def report(job: Job, city: str, before: str = "") -> str:
    """Let one agent report on a city."""
    answer = await agent_of(job, f"{city} reporter").arun(f"Weather in {city}? {before}")
    return str(answer.content)


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
        case "serial":
            # agno's run without asyncio calls the tools of a turn one after the other.
            await asyncio.to_thread(agent_of(job).run, QUESTION)
        case _:
            await agent_of(job).arun(QUESTION)


if __name__ == "__main__":
    record(run, instrument, ("openinference",))

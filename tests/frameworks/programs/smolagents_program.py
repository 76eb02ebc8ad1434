# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "smolagents[openai]==1.26.0",
#   "openinference-instrumentation-smolagents==0.1.43",
#   "opentelemetry-sdk==1.45.2",
# ]
# ///
"""smolagents' ToolCallingAgent under OpenInference: no event loop, tools in threads."""

import asyncio

from recording import KEY, Job, record
from smolagents import OpenAIServerModel, Tool, ToolCallingAgent, tool
from smolagents.monitoring import LogLevel

QUESTION = "How is the weather?"
CITIES = ("Oslo", "Rome", "Lima")


def instrument(job: Job) -> None:
    from openinference.instrumentation.smolagents import SmolagentsInstrumentor

    SmolagentsInstrumentor().instrument(tracer_provider=job.provider)


def weather_tool(job: Job) -> Tool:
    @tool
    def weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Which city.
        """
        return job.workload.weather_in_thread(city)

    return weather


def agent_of(job: Job, name: str = "weather_agent") -> ToolCallingAgent:
    model = OpenAIServerModel(job.variant.model, api_base=job.base_url, api_key=KEY)
    threads = 2 if job.variant.name == "pool" else None
    return ToolCallingAgent(
        name=name,
        tools=[weather_tool(job)],
        model=model,
        max_tool_threads=threads,
        verbosity_level=LogLevel.OFF,
    )


def report(job: Job, city: str, before: str = "") -> str:
    """Let one agent report on a city."""
    return str(agent_of(job, f"{city.lower()}_reporter").run(f"Weather in {city}? {before}"))


def work(job: Job) -> None:
    if job.variant.name in ("row", "agents"):
        with job.tracer.start_as_current_span("news room"):
            before = ""
            for city in CITIES:
                text = report(job, city, before)
                before = text if job.variant.name == "agents" else ""
    else:
        agent_of(job).run(QUESTION)


async def run(job: Job) -> None:
    await asyncio.to_thread(work, job)


if __name__ == "__main__":
    record(run, instrument, ("openinference",))

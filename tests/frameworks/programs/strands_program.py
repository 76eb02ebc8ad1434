# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "strands-agents[openai]==1.62.0",
#   "opentelemetry-sdk==1.45.1",
# ]
# ///
"""Strands Agents with the spans of its own."""

from itertools import pairwise
from typing import Any

from recording import KEY, Job, record
from strands import Agent, tool
from strands.models.openai import OpenAIModel
from strands.multiagent import GraphBuilder
from strands.tools.executors import ConcurrentToolExecutor, SequentialToolExecutor

QUESTION = "How is the weather?"
CITIES = ("Oslo", "Rome", "Lima")


def weather_tool(job: Job) -> Any:
    if job.variant.wait == "thread":

        @tool
        def weather(city: str) -> str:
            """The weather of a city."""
            return job.workload.weather_in_thread(city)

        return weather

    @tool
    async def weather(city: str) -> str:  # type: ignore[no-redef]
        """The weather of a city."""
        return await job.workload.weather(city)

    return weather


def agent_of(job: Job, name: str = "weather agent", prompt: str | None = None) -> Agent:
    serial = job.variant.name == "serial"
    return Agent(
        name=name,
        model=OpenAIModel(
            client_args={"api_key": KEY, "base_url": job.base_url}, model_id=job.variant.model
        ),
        tools=[weather_tool(job)],
        tool_executor=SequentialToolExecutor() if serial else ConcurrentToolExecutor(),
        system_prompt=prompt,
        callback_handler=None,
    )


async def run(job: Job) -> None:
    if job.variant.name not in ("fan", "row", "agents"):
        await agent_of(job).invoke_async(QUESTION)
        return
    builder = GraphBuilder()
    names = [f"{city.lower()}_reporter" for city in CITIES]
    for city, name in zip(CITIES, names, strict=True):
        builder.add_node(agent_of(job, name, f"Weather in {city}?"), name)
    if job.variant.name != "fan":
        for before, after in pairwise(names):
            builder.add_edge(before, after)
        builder.set_entry_point(names[0])
    await builder.build().invoke_async(QUESTION)


if __name__ == "__main__":
    record(run)

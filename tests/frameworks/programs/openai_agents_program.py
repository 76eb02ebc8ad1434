# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "openai-agents==0.24.0",
#   "openinference-instrumentation-openai-agents==2.6.0",
#   "opentelemetry-sdk==1.45.2",
# ]
# ///
"""openai-agents under OpenInference, over the Responses protocol or chat completions."""

import asyncio

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    Tool,
    function_tool,
    set_trace_processors,
    trace,
)
from openai import AsyncOpenAI
from recording import KEY, Job, record

INSTRUMENTORS = ("openinference", "openinference-chat")
QUESTION = "How is the weather?"
CITIES = ("Oslo", "Rome", "Lima")


def instrument(job: Job) -> None:
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    set_trace_processors([])
    OpenAIAgentsInstrumentor().instrument(tracer_provider=job.provider)


def weather_tool(job: Job) -> Tool:
    if job.variant.wait == "thread":

        @function_tool
        def weather(city: str) -> str:
            """The weather of a city."""
            return job.workload.weather_in_thread(city)

        return weather

    @function_tool
    async def weather(city: str) -> str:
        """The weather of a city."""
        return await job.workload.weather(city)

    return weather


def agent_of(job: Job, name: str = "weather agent") -> Agent:
    client = AsyncOpenAI(base_url=job.base_url, api_key=KEY)
    kind = OpenAIChatCompletionsModel if "chat" in job.instrumentor else OpenAIResponsesModel
    return Agent(
        name=name,
        model=kind(model=job.variant.model, openai_client=client),
        tools=[weather_tool(job)],
    )


async def report(job: Job, city: str, before: str = "") -> str:
    """Let one agent report on a city."""
    agent = agent_of(job, f"{city} reporter")
    return str((await Runner.run(agent, f"Weather in {city}? {before}")).final_output)


async def run(job: Job) -> None:
    match job.variant.name:
        case "fan":
            with trace("news room"):
                await asyncio.gather(*(report(job, city) for city in CITIES))
        case "row" | "agents":
            with trace("news room"):
                before = ""
                for city in CITIES:
                    text = await report(job, city, before)
                    before = text if job.variant.name == "agents" else ""
        case _:
            await Runner.run(agent_of(job), QUESTION)


if __name__ == "__main__":
    record(run, instrument, INSTRUMENTORS)

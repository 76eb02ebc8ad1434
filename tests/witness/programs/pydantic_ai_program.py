# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "pydantic-ai-slim[openai]==2.68.0",
#   "msgspec==0.22.0",
#   "pandas==3.1.1",
#   "opentelemetry-sdk==1.45.2",
# ]
# ///
"""pydantic-ai with the instrumentation of its own; the model asks for four tools at once."""

from setting import told

SETTING = told()
SETTING.install_witness()

import asyncio

from pathologies import Task, Work, httpx2_client, performance, rehearsal
from pydantic_ai import Agent, InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from tracing import provider


async def run(task: Task) -> None:
    async with httpx2_client(task) as fetch:
        work = Work(task, fetch)

        async def weather(city: str) -> str:
            """The weather of a city."""
            return await work.weather()

        service = OpenAIProvider(base_url=SETTING.model, api_key="none")
        agent = Agent(
            OpenAIChatModel("par4", provider=service), name="weather_agent", tools=[weather]
        )
        await agent.run("How is the weather?")


async def main() -> None:
    await run(rehearsal(SETTING))
    await run(performance(SETTING))


if __name__ == "__main__":
    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
    asyncio.run(main())

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "crewai==1.15.30",
#   "openinference-instrumentation-crewai==1.1.21",
#   "opentelemetry-sdk==1.45.2",
#   "chromadb==1.5.9", # This and what follows is CrewAI's own: pip would look for it for long.
#   "kubernetes==36.0.3",
#   "lancedb==0.40.0",
#   "openai==2.54.0",
# ]
# ///
"""CrewAI under OpenInference."""

import asyncio
import os
from typing import Any

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}

from crewai import LLM, Agent, Crew, Task
from crewai.tools import BaseTool
from recording import KEY, Job, record

QUESTION = "How is the weather?"
CITIES = ("Oslo", "Rome", "Lima")


def instrument(job: Job) -> None:
    from openinference.instrumentation.crewai import CrewAIInstrumentor

    CrewAIInstrumentor().instrument(tracer_provider=job.provider)


def agent_of(job: Job, name: str) -> Agent:
    class Weather(BaseTool):
        name: str = "weather"
        description: str = "The weather of a city."

        def _run(self, city: str) -> str:
            return job.workload.weather_in_thread(city)

    model = LLM(model=f"openai/{job.variant.model}", base_url=job.base_url, api_key=KEY)
    return Agent(role=name, goal="help", backstory="none", llm=model, tools=[Weather()])


def task_of(job: Job, city: str, **options: Any) -> Task:
    return Task(
        description=f"Weather in {city}?",
        expected_output="a sentence",
        agent=agent_of(job, f"{city} reporter"),
        **options,
    )


def crew_of(job: Job) -> Crew:
    tasks: list[Task]
    match job.variant.name:
        case "fan":
            tasks = [task_of(job, city, async_execution=True) for city in CITIES]
            editor = agent_of(job, "editor")
            editor.tools = []
            tasks.append(
                Task(description="Merge.", expected_output="a text", agent=editor, context=tasks[:])
            )
        case "row":
            tasks = [task_of(job, city, context=[]) for city in CITIES]
        case "agents":
            tasks = []
            for city in CITIES:
                tasks.append(task_of(job, city, context=tasks[-1:]))
        case _:
            agent = agent_of(job, "weather agent")
            tasks = [Task(description=QUESTION, expected_output="a sentence", agent=agent)]
    return Crew(agents=[task.agent for task in tasks if task.agent], tasks=tasks)


async def run(job: Job) -> None:
    await asyncio.to_thread(crew_of(job).kickoff)


if __name__ == "__main__":
    record(run, instrument, ("openinference",))

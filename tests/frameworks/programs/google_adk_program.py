# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "google-adk==2.13.0",
#   "litellm==1.110.2",
#   "opentelemetry-api==1.44.0", # The newest that ADK allows.
#   "opentelemetry-sdk==1.44.0",
# ]
# ///
"""google-adk with the spans of its own, over LiteLLM."""

from collections.abc import Callable
from typing import Any

from google.adk.agents import BaseAgent, LlmAgent, ParallelAgent, SequentialAgent
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.genai import types
from recording import KEY, Job, record

QUESTION = "How is the weather?"
CITIES = ("Oslo", "Rome", "Lima")


def weather_tool(job: Job) -> Callable[..., Any]:
    async def weather(city: str) -> str:
        """The weather of a city."""
        return await job.workload.weather(city)

    return weather


def agent_of(job: Job, name: str = "weather_agent", instruction: str = "") -> LlmAgent:
    model = LiteLlm(model=f"openai/{job.variant.model}", api_base=job.base_url, api_key=KEY)
    return LlmAgent(
        name=name,
        model=model,
        tools=[weather_tool(job)],
        instruction=instruction,
        output_key=f"{name}_text",
        # Each reporter reads the state, and not what the others said to the model.
        include_contents="none" if instruction else "default",
    )


def reporters(job: Job) -> list[BaseAgent]:
    """Return an agent for each city; in a pipeline each reads what the one before wrote."""
    made: list[BaseAgent] = []
    for city in CITIES:
        before = (
            "{" + f"{made[-1].name}_text" + "}" if made and job.variant.name == "agents" else ""
        )
        made.append(agent_of(job, f"{city.lower()}_reporter", f"Weather in {city}? {before}"))
    return made


async def run(job: Job) -> None:
    agent: BaseAgent
    match job.variant.name:
        case "fan":
            agent = ParallelAgent(name="news_room", sub_agents=reporters(job))
        case "row" | "agents":
            agent = SequentialAgent(name="news_room", sub_agents=reporters(job))
        case _:
            agent = agent_of(job)
    runner = InMemoryRunner(agent=agent, app_name="weather")
    session = await runner.session_service.create_session(app_name="weather", user_id="me")
    message = types.Content(role="user", parts=[types.Part(text=QUESTION)])
    async for _ in runner.run_async(user_id="me", session_id=session.id, new_message=message):
        pass


if __name__ == "__main__":
    record(run)

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "openai==3.57.0",
#   "httpx==0.28.1",
#   "opentelemetry-instrumentation-openai-v2==2.4b0",
#   "opentelemetry-util-genai==0.4b0",
#   "openinference-instrumentation-openai==0.1.66",
#   "opentelemetry-sdk==1.45.2",
# ]
# ///
"""OpenAI's client alone, under two instrumentors: calls below a span that the program opens."""

import asyncio
import os

from openai import AsyncOpenAI, OpenAI
from recording import KEY, Job, record

INSTRUMENTORS = ("openai-v2", "openinference")
CITIES = ("Oslo", "Rome", "Lima", "Quito")


def instrument(job: Job) -> None:
    if job.instrumentor == "openinference":
        from openinference.instrumentation.openai import OpenAIInstrumentor
    else:
        os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
    OpenAIInstrumentor().instrument(tracer_provider=job.provider)


async def run(job: Job) -> None:
    blocking = OpenAI(base_url=job.base_url, api_key=KEY)
    client = AsyncOpenAI(base_url=job.base_url, api_key=KEY)
    semaphore = asyncio.Semaphore(2)

    async def ask(text: str) -> str:
        messages = [{"role": "user", "content": text}]
        if job.variant.name == "chatfake":
            answer = blocking.chat.completions.create(model="plain", messages=messages)
        else:
            answer = await client.chat.completions.create(model="plain", messages=messages)
        return answer.choices[0].message.content or ""

    async def ask_in_turn(text: str) -> str:
        async with semaphore:
            return await ask(text)

    questions = [f"Summarise the news of {city}." for city in CITIES]
    with job.tracer.start_as_current_span("summarise all"):
        match job.variant.name:
            case "chatpar" | "chatfake":
                await asyncio.gather(*map(ask, questions))
            case "chatsem":
                await asyncio.gather(
                    *map(ask_in_turn, questions + [q + " Again." for q in questions])
                )
            case "chatrow":
                for question in questions:
                    await ask(question)
            case "chatchain":
                text = ""
                for question in questions:
                    text = await ask(f"{question} {text}")


if __name__ == "__main__":
    record(run, instrument, INSTRUMENTORS)

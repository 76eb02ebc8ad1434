"""An agent whose model asks for three prices at once, and whose tool blocks the event loop.

    pip install 'pydantic-ai-slim[openai]' requests
    trading-graph record -- python app.py

The model is a function and the prices come from a server on loopback: no key, no network.
"""

import asyncio

import requests
from prices import SOURCE
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Ask for three prices, and then end."""
    if len(messages) > 1:
        return ModelResponse([TextPart("They have been read.")])
    return ModelResponse([ToolCallPart("price", {"symbol": s}) for s in ("AAPL", "MSFT", "NVDA")])


agent = Agent(FunctionModel(answer), name="analyst")


@agent.tool_plain
async def price(symbol: str) -> float:
    """Read the price of a share."""
    return float(requests.get(f"{SOURCE}/{symbol}", timeout=10).json())  # noqa: ASYNC210


print(asyncio.run(agent.run("Read the prices of AAPL, MSFT and NVDA.")).output)

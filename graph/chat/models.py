"""The language models of a run.

The quick model serves most agents, the deep one those that decide; any OpenAI-compatible service
will do. The client is built off the event loop (reading certificates blocks) and once for each run
(a cached client fails on a second event loop). It never retries by itself, because its retries
would be invisible in the trace: `call.py` retries.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from openai import DefaultHttpxClient
from pydantic import BaseModel

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.chat.client import model_client
from trading_graph.graph.chat.completions import PlainCompletions

CALL_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Models:
    """The two chat models of a run, and the HTTP client that they share."""

    service: ModelService
    quick: ChatOpenAI
    deep: ChatOpenAI
    _client: httpx2.AsyncClient

    async def aclose(self) -> None:
        """Close the HTTP client."""
        await self._client.aclose()


def build_models(service: ModelService) -> Models:
    """Build both models; blocks, so call it off the event loop. Raises BadProxyError."""
    client = model_client()
    # langchain-openai wants a synchronous client too; nothing uses it.
    sync_client = DefaultHttpxClient(trust_env=False)

    def model(name: str) -> ChatOpenAI:
        chat = ChatOpenAI(
            model=name,
            api_key=service.api_key,
            base_url=service.base_url,
            stream_usage=True,
            max_retries=0,
            timeout=CALL_TIMEOUT_S,
            # It waits for each chunk with `asyncio.wait_for`, which on Python 3.11 swallows a
            # cancellation that arrives together with a chunk, so a cancelled run would continue.
            # `call.py` limits the whole call instead.
            stream_chunk_timeout=0,
            http_async_client=client,
            http_client=sync_client,
        )
        chat.async_client = PlainCompletions(chat.root_async_client)
        return chat

    return Models(service, model(service.quick), model(service.deep), client)


# Pydantic does not cache schemas, and every run needs the same few.
@functools.cache
def function_schema(name: str, description: str, arguments: type[BaseModel]) -> dict[str, Any]:
    """A function in OpenAI's tool format."""
    parameters = arguments.model_json_schema()
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def with_tools(
    model: ChatOpenAI, tools: Sequence[dict[str, Any]], choice: str | None = None
) -> Runnable[LanguageModelInput, AIMessage]:
    """The model with tools in OpenAI's format; `choice` names the one it must call, if any."""
    if not tools:
        return model
    return model.bind_tools(tools, tool_choice=choice)

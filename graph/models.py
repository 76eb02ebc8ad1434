"""The language models of a run: a quick one for the many, a deep one for those who decide.

Any OpenAI-compatible service serves. The client is built off the event loop (reading certificates
blocks it) and once a run (a cached client fails on a second event loop); it never retries by
itself, because its retries would be invisible in the trace.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable
    from langchain_openai import ChatOpenAI

CALL_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ModelService:
    """Where the models are and what they are called."""

    base_url: str | None
    api_key: SecretStr
    quick: str
    deep: str
    provider: str = "openai"


@dataclass(frozen=True, slots=True)
class Models:
    """The two chat models of a run, and the HTTP client that they share."""

    service: ModelService
    quick: "ChatOpenAI"
    deep: "ChatOpenAI"
    _client: Any

    async def aclose(self) -> None:
        """Close the HTTP client."""
        await self._client.aclose()


def build(service: ModelService) -> Models:
    """Build both models; blocks for a moment, so call it off the event loop. Raises BadProxy."""
    from langchain_openai import ChatOpenAI
    from openai import DefaultHttpxClient

    from trading_graph.graph.model_client import model_client
    from trading_graph.graph.plain_completions import PlainCompletions

    client = model_client()
    unused = DefaultHttpxClient(trust_env=False)

    def model(name: str) -> "ChatOpenAI":
        made = ChatOpenAI(
            model=name,
            api_key=service.api_key,
            base_url=service.base_url,
            stream_usage=True,
            max_retries=0,
            timeout=CALL_TIMEOUT_S,
            # It waits for each chunk with `asyncio.wait_for`, which on Python 3.11 swallows a
            # cancellation that arrives together with a chunk: a cancelled run went on. The whole
            # call has a limit of ours.
            stream_chunk_timeout=0,
            http_async_client=client,
            http_client=unused,
        )
        made.async_client = PlainCompletions(made.root_async_client)
        return made

    return Models(service, model(service.quick), model(service.deep), client)


def function_schema(name: str, description: str, arguments: type[BaseModel]) -> dict[str, Any]:
    """A function in OpenAI's tool format."""
    parameters = _json_schema(arguments)
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


@functools.cache
def _json_schema(arguments: type[BaseModel]) -> dict[str, Any]:
    # Pydantic generates it anew each time, and every run asks for the same five.
    return arguments.model_json_schema()


def with_tools(
    model: "ChatOpenAI", tools: Sequence[dict[str, Any]], choice: str | None = None
) -> "Runnable[LanguageModelInput, AIMessage]":
    """The model with tools in OpenAI's function format on offer; `choice` names one it must
    call.
    """
    if not tools:
        return model
    return model.bind_tools(tools, tool_choice=choice)

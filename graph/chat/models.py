"""The language models of a run.

The quick model serves most agents, the deep one those that decide; any OpenAI-compatible service
will do. The client is built off the event loop (reading certificates blocks) and once for each run
(a cached client fails on a second event loop). It never retries by itself, because its retries
would be invisible in the trace: `call.py` retries.
"""

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from openai import DefaultHttpxClient
from pydantic import BaseModel, Field

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.chat.answer import AnswerReader, TextPieces, request_events
from trading_graph.graph.chat.capabilities import Api, Capabilities, first_override
from trading_graph.graph.chat.client import CONNECT_S, ModelClient, model_client
from trading_graph.graph.chat.completions_api import CompletionReader
from trading_graph.graph.chat.conversation import Json, Offer, parameters, request_body
from trading_graph.graph.chat.house_rate import house_rate
from trading_graph.graph.chat.learning import Learning
from trading_graph.graph.chat.memory import Memory
from trading_graph.graph.chat.profiles import profile_for
from trading_graph.graph.chat.rate_limits import ModelRate, model_rate
from trading_graph.graph.chat.responses_api import ResponseReader
from trading_graph.graph.errors import BadModelAnswerError
from trading_graph.otel.redaction import Redactor, process_redactor
from trading_graph.toolkit.house import HouseLimits


class ServiceChat(ChatOpenAI):
    """LangChain's model of the protocol, which sends and reads what services really do.

    `ChatOpenAI` by itself drops what it does not know of: reasoning, signatures, the end of a
    stream. So the bodies of requests and the messages of answers are made here, by what
    `capabilities` say.
    """

    capabilities: Capabilities = Field(default=Capabilities(), exclude=True)
    root: str = Field(default="", exclude=True)
    on_accept: Callable[[], None] = Field(default=lambda: None, exclude=True)

    def body(self, messages: Sequence[BaseMessage], sent: Json) -> Json:
        """The body of a request with these parameters."""
        return request_body(self.model_name, messages, sent, self.capabilities)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **sent: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        now = self.capabilities
        path = "/responses" if now.api is Api.RESPONSES else "/chat/completions"
        root = self.root if now.version_path else self.root.removesuffix("/v1")
        events = await request_events(
            self.root_async_client, f"{root}{path}", self.body(messages, sent)
        )
        self.on_accept()
        reader: AnswerReader = ResponseReader() if now.api is Api.RESPONSES else CompletionReader()
        pieces = TextPieces()
        is_answer = False
        try:
            async with events:
                async for event in events:
                    is_answer = is_answer or isinstance(event, dict)
                    text = reader.add(event)
                    if (piece := pieces.add(text)) is not None:
                        yield await _told(AIMessageChunk(content=piece), run_manager)
        except Exception:
            # What an answer that breaks off has cost is known, where it was told so far.
            if usage := reader.last(done=False).usage_metadata:
                yield await _told(AIMessageChunk(content="", usage_metadata=usage), run_manager)
            raise
        if not is_answer:
            raise BadModelAnswerError(
                "The model's service answered with no completion; check OPENAI_BASE_URL."
            )
        last = reader.last(events.done)
        last.content = pieces.rest()
        yield await _told(last, run_manager)


async def _told(
    message: AIMessageChunk, run_manager: AsyncCallbackManagerForLLMRun | None
) -> ChatGenerationChunk:
    chunk = ChatGenerationChunk(message=message)
    if run_manager is not None:
        await run_manager.on_llm_new_token(message.text, chunk=chunk)
    return chunk


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model of a service, with what is known of it; `chat` asks it by way of that."""

    name: str
    service: ModelService
    learning: Learning
    rate: ModelRate
    client: ModelClient
    redactor: Redactor
    temperature: float | None
    _chat: ChatOpenAI

    def chat(self, on_accept: Callable[[], None]) -> ServiceChat:
        """The model as it accepts requests now; `on_accept` is called when it accepts one."""
        now = self.learning.current
        changes = {"capabilities": now, "on_accept": on_accept}
        chat = self._chat.model_copy(update=changes)
        assert isinstance(chat, ServiceChat)
        return chat

    def parameters(self, offer: Offer, messages: Sequence[BaseMessage]) -> Json:
        """The parameters of a request, by what the model accepts now."""
        now = self.learning.current
        sent = parameters(offer, messages, now)
        if self.temperature is not None and now.temperature:
            sent["temperature"] = self.temperature
        return sent


@dataclass(frozen=True, slots=True)
class Models:
    """The two models of a run, and the HTTP client that they share."""

    service: ModelService
    quick: Model
    deep: Model
    _client: httpx2.AsyncClient

    async def aclose(self) -> None:
        """Close the HTTP client, when what was learned is written."""
        await self.quick.learning.aclose()
        await self.deep.learning.aclose()
        await self._client.aclose()


def build_models(service: ModelService, house: HouseLimits | None = None) -> Models:
    """Build both models; blocks, so call it off the event loop. Raises BadProxyError.

    The limits of a `house` are shared by its processes, others by all runs of this process.
    """
    client = model_client(service.address, service.limits)
    # langchain-openai wants a synchronous client too; nothing uses it.
    sync_client = DefaultHttpxClient(trust_env=False)
    redactor = process_redactor([service.api_key.get_secret_value()])
    memory = None if service.is_ours else Memory(service.memory)

    @functools.cache
    def model(name: str) -> Model:
        override = first_override(service.overrides, name)
        start = override.apply(start_of(service, name))
        chat = ServiceChat(
            # LangSmith shows the name.
            name=ChatOpenAI.__name__,
            model=name,
            api_key=service.api_key,
            base_url=service.address,
            # From the environment it would contradict the client.
            openai_proxy="",
            # Sockets are the client's too; else the library warns of what it does not do.
            http_socket_options=(),
            max_retries=0,
            # The client limits silence.
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
            http_async_client=client,
            http_client=sync_client,
            root=service.address,
            capabilities=start,
        )
        learning = Learning(
            service.address,
            name,
            start,
            memory,
            fixed=service.fixed,
            given=frozenset(override.given),
        )
        rate = model_rate(service, name) if house is None else house_rate(house, service, name)
        return Model(name, service, learning, rate, client, redactor, override.temperature, chat)

    return Models(service, model(service.quick), model(service.deep), client)


def start_of(service: ModelService, model: str) -> Capabilities:
    """The capabilities of a model by the profile of its service."""
    return Capabilities().with_facts(profile_for(service.base_url, model).fields)


# Pydantic does not cache schemas, and every run needs the same few.
@functools.cache
def function_schema(name: str, description: str, arguments: type[BaseModel]) -> dict[str, Any]:
    """A function in OpenAI's tool format."""
    parameters = arguments.model_json_schema()
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }

"""The language models of a run, and the HTTP client between them and their service.

The quick model serves most agents, the deep one those that decide; any OpenAI-compatible service
will do. The client is built off the event loop (reading certificates blocks) and once for each run
(a cached client fails on a second event loop). It never retries by itself, because its retries
would be invisible in the trace: `llm_call.py` retries.
"""

import functools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
import httpx2
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, AsyncStream, DefaultAioHttpClient, DefaultHttpxClient
from pydantic import BaseModel

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.errors import BadModelAnswerError, BadProxyError

CALL_TIMEOUT_S = 60.0

# Twenty parts a second look continuous to a reader.
_MERGE_S = 0.05


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
            # `llm_call.py` limits the whole call instead.
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


def model_client() -> "ModelClient":
    """A client that uses the proxies of the environment; raises BadProxyError."""
    proxies = getproxies()
    urls = [proxies[name] for name in ("http", "https", "all") if name in proxies]
    try:
        # An address without a scheme means http://; aiohttp has no SOCKS.
        if any(urlsplit(url).scheme not in ("http", "https") for url in urls if "://" in url):
            raise ValueError
        return ModelClient()
    except ValueError:
        raise BadProxyError(
            "A proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; give "
            "it as http://HOST:PORT."
        ) from None


class ModelClient(DefaultAioHttpClient):
    """The client library's own client over aiohttp, with errors of the right kind.

    aiohttp parses in C what the library's usual transport parses in Python. But the library's
    adapter calls every lost or refused connection a timeout, and lets aiohttp's own error through
    for an answer that is not HTTP; both would be false in the trace. This client raises the
    `httpx2.TransportError` that fits.
    """

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; errors of the answer's stream are translated as well."""
        with _transport_errors(request):
            response = await super().send(request, **options)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _ModelStream(response.stream, request)
        return response


class _ModelStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _transport_errors(self._request):
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _transport_errors(request: httpx2.Request) -> Iterator[None]:
    try:
        yield
    except httpx2.TransportError as error:
        cause = error.__cause__
        if isinstance(cause, aiohttp.ClientError) and not isinstance(cause, TimeoutError):
            raise _error_kind(cause)(str(cause), request=request) from cause
        raise
    except aiohttp.ClientError as error:
        raise _error_kind(error)(str(error), request=request) from error


def _error_kind(error: aiohttp.ClientError) -> type[httpx2.TransportError]:
    match error:
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return httpx2.ProxyError
        case aiohttp.ClientConnectorError():
            return httpx2.ConnectError
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return httpx2.ReadError
        case _:
            return httpx2.RemoteProtocolError


class PlainCompletions:
    """What langchain-openai needs of a client's `chat.completions` to stream: chunks as dicts.

    The client library makes every chunk an object of a dozen fields, in Python. langchain-openai
    turns it into a dict again, then into a message whose partial tool arguments it parses. So here
    chunks stay dicts, and chunks that only add to the same text are merged for a moment.
    """

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    @property
    def with_raw_response(self) -> Any:
        """The client's own, for answers whose headers matter."""
        return self._client.chat.completions.with_raw_response

    async def create(self, **payload: Any) -> "_Chunks":
        """Request a streamed answer; raises an OpenAIError."""
        return await self._client.post(
            "/chat/completions", cast_to=object, body=payload, stream=True, stream_cls=_Chunks
        )


@dataclass(frozen=True, slots=True)
class _TextDelta:
    """The one text that a chunk adds to, and where its piece stands in the chunk."""

    chunk: object
    target: object
    holder: dict[str, str]
    key: str


class _Chunks(AsyncStream[object]):
    async def __stream__(self) -> AsyncIterator[object]:
        pending: _TextDelta | None = None
        last_yield_s = float("-inf")
        async for chunk in super().__stream__():
            for choice in chunk.get("choices") or () if isinstance(chunk, dict) else ():
                # Some services omit an empty delta.
                choice.setdefault("delta", None)
            delta = _text_delta(chunk)
            if pending is not None:
                if delta is not None and delta.target == pending.target:
                    pending.holder[pending.key] += delta.holder[delta.key]
                    chunk, delta = pending.chunk, pending
                else:
                    yield pending.chunk
            now = time.monotonic()
            if delta is not None and now - last_yield_s < _MERGE_S:
                pending = delta
            else:
                pending, last_yield_s = None, now
                yield chunk
        if pending is not None:
            yield pending.chunk
        if last_yield_s < 0:
            raise BadModelAnswerError(
                "The model's service answered with no streamed completion; check OPENAI_BASE_URL."
            )


def _text_delta(chunk: object) -> _TextDelta | None:
    """What a chunk adds to, if that is all it does."""
    match chunk:
        case {"choices": [{"delta": dict() as delta, **choice}], **more} if not (
            more.get("usage") or choice.get("finish_reason") or choice.get("logprobs")
        ):
            fields = {key: value for key, value in delta.items() if value is not None}
        case _:
            return None
    match fields:
        case {"content": str(), **other} if not other:
            return _TextDelta(chunk, "content", delta, "content")
        case {"tool_calls": [{"index": index, "function": function, **call}], **other}:
            match function:
                case {"arguments": str(), **rest} if not (rest or call or other):
                    return _TextDelta(chunk, index, function, "arguments")
    return None

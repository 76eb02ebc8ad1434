"""The offline model as an HTTP server in OpenAI's protocol, with a latency.

A streamed answer has at least `chunks` pieces. They are due at absolute times that divide the
latency evenly, so no piece inherits the delay of the one before.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from uuid import uuid4

import msgspec
from aiohttp import web

from trading_graph.graph.backend_choice import OFFLINE_DEEP_MODEL, OFFLINE_QUICK_MODEL
from trading_graph.graph.offline_model.answer import answer_request
from trading_graph.graph.offline_model.conversation import (
    BadConversationError,
    Conversation,
    read_conversation,
)
from trading_graph.graph.offline_model.protocol import (
    ChatRequest,
    Head,
    ModelAnswer,
    TokenCount,
    decode_request,
    encode_stream,
    estimate_tokens,
)

MAX_BODY_BYTES: Final = 4 * 2**20

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A request, its arrival by the event loop's clock, and what it asks for."""

    request: web.Request
    arrival: float
    chat: ChatRequest
    conversation: Conversation


class OfflineModel:
    """Answers every agent by published rules, after `latency_s` seconds; no language model.

    `chunks` is the minimum number of pieces of a streamed answer. `make_app` creates a server
    application.
    """

    def __init__(self, latency_s: float = 0.8, chunks: int = 60) -> None:
        if latency_s < 0 or chunks < 1:
            raise ValueError("The offline model needs a latency of 0 or more and 1 chunk or more.")
        self.latency_s = latency_s
        self.chunks = chunks

    def make_app(self) -> web.Application:
        """The server's application, for one event loop."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_guard])
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", _models)
        return app

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        arrival = asyncio.get_running_loop().time()
        try:
            chat = decode_request(await request.read())
        except ValueError as error:
            return _error(400, str(error))
        if not chat.stream:
            return _error(400, "The offline model streams its answers only; ask with stream=true.")
        try:
            return await self.respond(Call(request, arrival, chat, read_conversation(chat)))
        except BadConversationError as error:
            return _error(400, str(error))

    async def respond(self, call: Call) -> web.StreamResponse:
        """Answer one call; raises BadConversationError."""
        return await self.send(call, answer_request(call.conversation), self.latency_s)

    async def send(self, call: Call, answer: ModelAnswer, latency_s: float) -> web.StreamResponse:
        """Stream the answer over the latency."""
        return await stream(call, self.events(call, answer), latency_s)

    def events(self, call: Call, answer: ModelAnswer) -> list[bytes]:
        """The pieces of the answer."""
        head = Head(f"chatcmpl-{uuid4().hex}", call.chat.model, int(time.time()))
        usage = _usage(call, answer) if call.chat.include_usage else None
        return encode_stream(answer, head, self.chunks, usage)


async def stream(call: Call, events: list[bytes], latency_s: float) -> web.StreamResponse:
    """Send the pieces over the latency."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    interval = latency_s / len(events)
    try:
        await response.prepare(call.request)
        for number, event in enumerate(events, 1):
            await sleep_until(call.arrival + number * interval)
            await response.write(event)
        await response.write_eof()
    except ConnectionResetError:
        _log.debug("The client left before its answer was complete.")
    return response


async def sleep_until(moment: float) -> None:
    """Sleep until a moment of the event loop's clock."""
    pause = moment - asyncio.get_running_loop().time()
    if pause > 0:
        await asyncio.sleep(pause)


def _usage(call: Call, answer: ModelAnswer) -> TokenCount:
    characters = sum(len(message.text) for message in call.chat.messages)
    characters += sum(map(len, call.conversation.tools))
    return TokenCount(estimate_tokens(characters), estimate_tokens(answer.characters))


async def _models(_: web.Request) -> web.Response:
    models = [
        {"id": name, "object": "model", "created": 0, "owned_by": "trading-graph"}
        for name in (OFFLINE_QUICK_MODEL, OFFLINE_DEEP_MODEL)
    ]
    return web.json_response({"object": "list", "data": models})


@web.middleware
async def _guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Serve loopback only, and turn every error into OpenAI's error JSON."""
    if not _from_loopback(request):
        return _error(403, "The offline model serves this machine only; call it from 127.0.0.1.")
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _error(
            error.status,
            f"{request.method} {request.path} cannot be served: {error.reason}; POST "
            f"/v1/chat/completions with at most {MAX_BODY_BYTES} bytes, or GET /v1/models.",
        )
    except Exception:
        _log.exception("The offline model failed on %s.", request.path)
        return _error(500, "The offline model failed on this request; its log says why.")


def _from_loopback(request: web.Request) -> bool:
    try:
        return ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def _error(status: int, message: str) -> web.Response:
    """An error in OpenAI's form."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/json"
    )

"""The offline model as an HTTP server in OpenAI's protocol, with a latency and faults on request.

A streamed answer has at least `chunks` pieces. They are due at absolute times that divide the
latency evenly, so no piece inherits the delay of the one before.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import ip_address
from threading import Lock
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
from trading_graph.graph.offline_model.faults import Fault, spoil
from trading_graph.graph.offline_model.protocol import (
    ChatRequest,
    Head,
    ModelAnswer,
    TokenCount,
    decode_request,
    encode_stream,
    encode_whole,
    estimate_tokens,
)

MAX_BODY_BYTES: Final = 4 * 2**20

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = logging.getLogger(__name__)


class OfflineModel:
    """Answers every agent by published rules, after `latency_s` seconds; no language model.

    `chunks` is the minimum number of pieces of a streamed answer. `make_app` creates a server
    application; all applications of one object share its counts and its faults.
    """

    def __init__(
        self, latency_s: float = 0.8, chunks: int = 60, faults: Sequence[Fault] = ()
    ) -> None:
        if latency_s < 0 or chunks < 1:
            raise ValueError("The offline model needs a latency of 0 or more and 1 chunk or more.")
        self.latency_s = latency_s
        self.chunks = chunks
        self.faults = tuple(faults)
        self._lock = Lock()
        self._requests: Counter[str] = Counter()

    @property
    def requests(self) -> Mapping[str, int]:
        """The number of requests of each agent; a copy, safe to read from any thread."""
        with self._lock:
            return dict(self._requests)

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
            conversation = read_conversation(chat)
        except (ValueError, BadConversationError) as error:
            return _error(400, str(error))
        faults = self._count(conversation.agent)
        for fault in faults:
            if fault.kind == "status":
                return _refusal(fault)
            if fault.kind == "hang":
                await _hang()
        try:
            answer = answer_request(conversation)
        except BadConversationError as error:
            return _error(400, str(error))
        for fault in faults:
            answer = spoil(answer, fault.kind, conversation)
        latency = self.latency_s + sum(f.value for f in faults if f.kind == "slow")
        kinds = {fault.kind for fault in faults}
        disconnect = "disconnect" in kinds
        head = Head(f"chatcmpl-{uuid4().hex}", chat.model, int(time.time()))
        usage = _usage(chat, conversation, answer)
        if chat.stream:
            events = encode_stream(answer, head, self.chunks, usage if chat.include_usage else None)
            if disconnect or "half" in kinds:
                events, latency = events[: len(events) // 2], latency / 2
            return await _stream(request, events, arrival, latency, disconnect=disconnect)
        await _sleep_until(arrival + latency)
        if disconnect:
            _disconnect(request)
        return web.Response(body=encode_whole(answer, head, usage), content_type="application/json")

    def _count(self, agent: str) -> list[Fault]:
        """Count the request, and return the faults that meet it."""
        with self._lock:
            self._requests[agent] += 1
            call = self._requests[agent]
        return [fault for fault in self.faults if fault.meets(agent, call)]


async def _stream(
    request: web.Request, events: list[bytes], arrival: float, latency: float, *, disconnect: bool
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    interval = latency / len(events)
    try:
        await response.prepare(request)
        for number, event in enumerate(events, 1):
            await _sleep_until(arrival + number * interval)
            await response.write(event)
        if disconnect:
            _disconnect(request)
        else:
            await response.write_eof()
    except ConnectionResetError:
        _log.debug("The client left before its answer was complete.")
    return response


async def _sleep_until(moment: float) -> None:
    pause = moment - asyncio.get_running_loop().time()
    if pause > 0:
        await asyncio.sleep(pause)


async def _hang() -> None:
    """Wait until the server stops, which cancels this."""
    await asyncio.Event().wait()


def _disconnect(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


def _usage(chat: ChatRequest, conversation: Conversation, answer: ModelAnswer) -> TokenCount:
    characters = sum(len(message.text) for message in chat.messages)
    characters += sum(map(len, conversation.tools))
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


def _refusal(fault: Fault) -> web.Response:
    status = int(fault.value)
    headers = {}
    if status == 429:
        headers["Retry-After"] = f"{fault.retry_after_s:g}"
    message = f"The offline model refuses this request of {fault.agent}: a fault asked for it."
    return _error(status, message, headers=headers)


_ERROR_TYPES: Mapping[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def _error(status: int, message: str, *, headers: Mapping[str, str] | None = None) -> web.Response:
    default = ("server_error" if status >= 500 else "invalid_request_error", None)
    kind, code = _ERROR_TYPES.get(status, default)
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers=headers,
    )

"""A service on loopback that answers as a test says, event by event, and keeps what it was sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from opentelemetry.trace import INVALID_SPAN
from pydantic import SecretStr

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.call import converse
from trading_graph.graph.chat.conversation import NOTHING, Offer
from trading_graph.graph.chat.models import Models, build_models
from trading_graph.graph.options import Budget
from trading_graph.toolkit.loopback import LoopbackServer

Json = dict[str, Any]

SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
FUNCTION: Json = {"type": "function", "function": {"name": "Plan", "parameters": SCHEMA}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answers: events of a stream, or one JSON value with a status."""

    events: Sequence[object] = ()
    done: bool = True
    status: int = 200
    value: object = None
    headers: dict[str, str] = field(default_factory=dict)


def chunk(*choices: Json, **more: Any) -> Json:
    """A chunk of a completion."""
    fixed = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
    return {**fixed, "choices": list(choices), **more}


def delta(finish: str | None = None, **delta: Any) -> Json:
    """A chunk with one delta."""
    return chunk({"index": 0, "delta": delta, "finish_reason": finish})


def text(words: str = "Buy it.") -> Answer:
    """A whole answer of a few words."""
    return Answer([delta(role="assistant", content=words), delta("stop")])


def refuse(message: str, status: int = 400, **fields: Any) -> Answer:
    """A refusal in OpenAI's form."""
    return Answer(status=status, value={"error": {"message": message, **fields}})


class ScriptedService:
    """Answers each request by `script`, which gets its path and its body."""

    def __init__(self, script: Callable[[str, Json], Answer]) -> None:
        self.script = script
        self.requests: list[tuple[str, Json]] = []

    @property
    def bodies(self) -> list[Json]:
        """The bodies of all requests so far."""
        return [body for _, body in self.requests]

    def make_app(self) -> web.Application:
        """The server's application."""
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body: Json = await request.json()
        self.requests.append((request.path, body))
        answer = self.script(request.path, body)
        if answer.value is not None:
            return web.json_response(answer.value, status=answer.status, headers=answer.headers)
        lines = [f"data: {json.dumps(each)}\n\n" for each in answer.events]
        if answer.done:
            lines.append("data: [DONE]\n\n")
        return web.Response(text="".join(lines), content_type="text/event-stream")


@asynccontextmanager
async def serving(
    script: Callable[[str, Json], Answer],
    *,
    path: str = "/v1",
    memory: Path | None = None,
    **choices: Any,
) -> AsyncIterator[tuple[ScriptedService, Models]]:
    """A scripted service, and the models of a run on it."""
    scripted = ScriptedService(script)
    server = LoopbackServer(scripted.make_app)
    await asyncio.to_thread(server.start)
    service = ModelService(
        f"{server.url}{path}", SecretStr("k"), "quick", "deep", memory=memory, **choices
    )
    models = await asyncio.to_thread(build_models, service)
    try:
        yield scripted, models
    finally:
        await models.aclose()
        await asyncio.to_thread(server.stop)


async def ask(
    models: Models,
    messages: Sequence[BaseMessage] = (HumanMessage("Well?"),),
    offer: Offer = NOTHING,
    spending: Spending | None = None,
) -> AIMessage:
    """One call of the deep model."""
    return await converse(
        models.deep,
        messages,
        agent="trader",
        turn=1,
        spending=spending or Spending(Budget(), INVALID_SPAN),
        offer=offer,
    )

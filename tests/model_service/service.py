"""The server: it reads a request, lets the habits decide, answers, and records.

Its applications share one record and one state, and may be served by several loopback servers.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final, TypeVar

from aiohttp import web

from tests.model_service.demands import Demand, Issues
from tests.model_service.failures import (
    BROKEN,
    RATES,
    Failing,
    Failure,
    RateLimit,
    reply,
)
from tests.model_service.framings import (
    THOUGHT,
    Framing,
    Written,
    chunks,
    completion,
    events,
    split,
    thinking_chunk,
    wire_id,
    wire_text,
)
from tests.model_service.reading import agent_of, prompt_characters, read_question
from tests.model_service.records import Exchange, Record
from tests.model_service.refusals import refusal
from tests.model_service.responses import (
    chat_body,
    reasoning_item_id,
    response_events,
    response_object,
)
from tests.model_service.small_questions import answer_small_question
from tests.model_service.wordings import PROSE_TEXT, Wording, word
from trading_graph.graph.offline_model.answer import answer_request
from trading_graph.graph.offline_model.conversation import BadConversationError
from trading_graph.graph.offline_model.protocol import (
    ModelAnswer,
    OutgoingCall,
    TokenCount,
    estimate_tokens,
)

Json = dict[str, Any]
Habit = Demand | Framing | Wording
HabitT = TypeVar("HabitT", bound=Habit)

_BODY_BYTES: Final = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Later:
    """A habit that the service takes on with its `request`-th request, counted from 1."""

    habit: Habit
    request: int


@dataclass(frozen=True, slots=True)
class Only:
    """A habit of one of the service's models."""

    habit: Habit
    model: str


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the service is: seconds to the first byte, and for the answer after that.

    `alone` serves one request at a time. While it waits for the first byte it may send comments
    every `comment_s`; with `think_s` it streams its thinking for so long before the answer.
    `stall_s` is a silence in the middle of the first answer to each of `stalling` agents.
    """

    first_byte_s: float = 0
    answer_s: float = 0
    alone: bool = False
    comment_s: float = 0
    think_s: float = 0
    stall_s: float = 0
    stalling: tuple[str, ...] = ()


@dataclass(slots=True)
class _State:
    """What the service remembers between requests."""

    numbers: Any = field(default_factory=lambda: count(1))
    calls: Counter[str] = field(default_factory=Counter)
    waits: dict[str, tuple[float, Failing]] = field(default_factory=dict)
    admitted: deque[float] = field(default_factory=deque)
    issues: Issues = field(default_factory=lambda: Issues({}, {}, {}, {}))


@dataclass(frozen=True, slots=True)
class _Call:
    """A request under way."""

    request: web.Request
    path: str
    number: int
    call: int
    agent: str
    original: Json
    body: Json
    habits: frozenset[Habit]

    def of(self, kind: type[HabitT]) -> frozenset[HabitT]:
        """The habits of one kind."""
        return frozenset(each for each in self.habits if isinstance(each, kind))


class LoopbackService:
    """A service with these habits; `record` is what it was asked.

    `failings` happen to the requests that they meet; `limit` is a rate limit for all requests;
    `prefix` is where the API stands: another address is answered 404.
    """

    def __init__(
        self,
        *habits: Habit | Later | Only,
        failings: Iterable[Failing] = (),
        limit: RateLimit | None = None,
        pace: Pace | None = None,
        prefix: str = "/v1",
    ) -> None:
        self.record = Record()
        self._habits = habits
        self._failings = tuple(failings)
        self._limit = limit
        self._pace = pace or Pace()
        self._prefix = prefix
        self._state = _State()

    def make_app(self) -> web.Application:
        """The server's application, for one event loop."""
        turn = asyncio.Semaphore(1 if self._pace.alone else 10_000)

        def serve(path: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
            async def handler(request: web.Request) -> web.StreamResponse:
                return await self._serve(request, path, turn)

            return handler

        app = web.Application(client_max_size=_BODY_BYTES)
        app.router.add_post(f"{self._prefix}/chat/completions", serve("chat/completions"))
        app.router.add_post(f"{self._prefix}/responses", serve("responses"))
        app.router.add_get(f"{self._prefix}/models", _models)
        app.router.add_route("*", "/{tail:.*}", _nothing_here)
        return app

    async def _serve(
        self, request: web.Request, path: str, turn: asyncio.Semaphore
    ) -> web.StreamResponse:
        original = await request.json()
        body = chat_body(original) if path == "responses" else original
        number, agent = next(self._state.numbers), agent_of(body)
        self._state.calls[agent] += 1
        habits = frozenset(self._present(number, body["model"]))
        call_number = self._state.calls[agent]
        call = _Call(request, path, number, call_number, agent, original, body, habits)
        refused = self._refuse(call)
        if refused is not None:
            return refused
        async with turn:
            return await self._answer(call)

    def _present(self, number: int, model: str) -> Iterator[Habit]:
        """The habits that the service has at a request."""
        for each in self._habits:
            match each:
                case Later(habit, first):
                    if number >= first:
                        yield habit
                case Only(habit, name):
                    if model == name:
                        yield habit
                case _:
                    yield each

    def _refuse(self, call: _Call) -> web.Response | None:
        """The answer to a request that the service does not serve."""
        now = asyncio.get_running_loop().time()
        until, failing = self._state.waits.get(call.agent, (0.0, None))
        early = now < until
        if not early:
            failing = self._limited(call, now) or next(self._meeting(call, broken=False), None)
        if failing is not None:
            if failing.failure in RATES and not early:
                self._state.waits[call.agent] = (now + failing.wait_s, failing)
            key = call.request.headers.get("Authorization", "").removeprefix("Bearer ")
            answer = reply(failing, call.body["model"], key)
            self._note(call, answer.status, failing.failure, early=early)
            return web.Response(
                status=answer.status,
                text=answer.body if isinstance(answer.body, str) else json.dumps(answer.body),
                headers=answer.headers,
                content_type=answer.content_type,
            )
        for demand in sorted(call.of(Demand)):
            sent = call.original if demand is Demand.REASONING_ITEM_BACK else call.body
            if against := refusal(demand, sent, self._state.issues, call.path):
                self._note(call, against.status, demand)
                return web.json_response(against.body, status=against.status)
        return None

    def _limited(self, call: _Call, now: float) -> Failing | None:
        """The refusal of a request that is beyond the rate limit."""
        limit, admitted = self._limit, self._state.admitted
        if limit is None:
            return None
        while admitted and admitted[0] <= now - limit.window_s:
            admitted.popleft()
        if len(admitted) < limit.requests:
            admitted.append(now)
            return None
        return Failing(limit.failure, wait_s=admitted[0] + limit.window_s - now)

    def _meeting(self, call: _Call, *, broken: bool) -> Iterator[Failing]:
        for each in self._failings:
            if (each.failure in BROKEN) is not broken or not each.meets(call.agent, call.call):
                continue
            by_length = each.failure in (Failure.CONTEXT, Failure.TOO_LARGE)
            if not by_length or prompt_characters(call.body) > each.limit:
                yield each

    def _note(
        self,
        call: _Call,
        status: int,
        habit: str = "",
        tokens: TokenCount | None = None,
        early: bool = False,
    ) -> None:
        self.record.add(
            Exchange(
                call.number, call.path, call.agent, call.original, status, habit, tokens, early
            )
        )

    async def _answer(self, call: _Call) -> web.StreamResponse:
        try:
            answer = self._content(call)
        except BadConversationError as error:
            self._note(call, 400, "bad conversation")
            message = {"message": str(error), "type": "invalid_request_error"}
            return web.json_response({"error": message}, status=400)
        written = self._write(call, answer)
        failing = next(self._meeting(call, broken=True), None)
        if failing is not None and failing.failure is Failure.EMPTY:
            written = replace(written, answer=ModelAnswer())
        self._note(call, 200, failing.failure if failing else "", written.tokens)
        framings = call.of(Framing)
        if not call.body.get("stream") or Framing.PLAIN_JSON in framings:
            if call.path == "responses":
                return web.json_response(response_object(written, framings, call.original))
            return web.json_response(completion(written, framings))
        return await self._stream(call, written, failing.failure if failing else None)

    def _content(self, call: _Call) -> ModelAnswer:
        """What the model says; raises BadConversationError."""
        if not call.agent:
            return answer_small_question(call.body)
        question = read_question(call.body)
        answer = answer_request(question.conversation)
        if not question.schema:
            return answer
        if not (question.offered or question.described):
            return ModelAnswer(PROSE_TEXT)
        answer = word(answer, call.of(Wording), question.schema, call.call > 1)
        if question.offered or not answer.tool_calls:
            return answer
        return ModelAnswer(answer.tool_calls[0].arguments)

    def _write(self, call: _Call, answer: ModelAnswer) -> Written:
        """The answer with its thinking, signature and price, remembered for the next turn."""
        framings = call.of(Framing)
        if Demand.SHORT_IDS in call.habits:
            answer = replace(answer, tool_calls=tuple(map(_short_id, answer.tool_calls)))
        thinks = bool(
            framings & {Framing.REASONING, Framing.REASONING_SHORT}
            or call.of(Demand) & {Demand.REASONING_BACK, Demand.REASONING_ITEM_BACK}
            or self._pace.think_s
        )
        signs = bool(Framing.SIGNATURE in framings or call.of(Demand) & {Demand.SIGNATURE_BACK})
        reasoning = f"{THOUGHT} Number {call.number}." if thinks else ""
        detail = {"type": "reasoning.text", "index": 0, "text": f"{THOUGHT} {call.number}."}
        detail |= {"signature": f"seal-{call.number}", "format": "anthropic-claude-v1"}
        detailed = {Framing.REASONING_DETAILS, Demand.DETAILS_BACK} & call.habits
        said = answer.characters - len(answer.text) + len(wire_text(answer, framings))
        tokens = TokenCount(
            estimate_tokens(prompt_characters(call.original)),
            estimate_tokens(said + len(reasoning)),
        )
        model = call.body["model"]
        model = f"router/{model}-2025-11-01" if Framing.MODEL_PREFIX in framings else model
        stream_options = call.body.get("stream_options") or {}
        include = bool(
            stream_options.get("include_usage")
            or Framing.CUMULATIVE_USAGE in framings
            or Demand.FORBIDDEN_STREAM_OPTIONS in call.habits
        )
        written = Written(
            answer,
            f"{call.number:05d}",
            model,
            tokens,
            include,
            reasoning,
            f"signature-{call.number}" if signs else "",
            (detail,) if detailed else (),
        )
        self._remember(written, framings)
        return written

    def _remember(self, written: Written, framings: frozenset[Framing]) -> None:
        issues = self._state.issues
        for each in written.answer.tool_calls:
            key = str(wire_id(each, framings))
            issues.reasoning[key] = written.reasoning
            issues.signatures[key] = written.signature
            issues.details[key] = list(written.details)
            if written.reasoning:
                issues.items[key] = reasoning_item_id(written)

    async def _stream(
        self, call: _Call, written: Written, failure: Failure | None
    ) -> web.StreamResponse:
        framings = call.of(Framing)
        if call.path == "responses":
            limit = failure is Failure.LENGTH
            pieces = response_events(written, framings, call.original, incomplete=limit)
        else:
            pieces = _broken_chunks(written, framings, failure)
        if failure in (Failure.CUT, Failure.HALF, Failure.PLAIN_TEXT):
            pieces = pieces[: max(2, len(pieces) // 2)]
        if failure is Failure.PLAIN_TEXT:
            pieces.append(b"upstream error: read ECONNRESET\n\n")
        if Framing.SPLIT_BYTES in framings:
            whole = b"".join(pieces)
            pieces = [whole[start : start + 61] for start in range(0, len(whole), 61)]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if Framing.GZIP in framings:
            response.enable_compression(web.ContentCoding.gzip)
        try:
            await self._send(call, response, pieces)
            if failure is Failure.CUT and call.request.transport is not None:
                call.request.transport.close()
            else:
                await response.write_eof()
        except ConnectionResetError:
            pass  # The client left.
        return response

    async def _send(self, call: _Call, response: web.StreamResponse, pieces: list[bytes]) -> None:
        pace = self._pace
        if pace.comment_s:
            await response.prepare(call.request)
            for _ in range(round(pace.first_byte_s / pace.comment_s)):
                await asyncio.sleep(pace.comment_s)
                await response.write(b": keep-alive\n\n")
        else:
            await asyncio.sleep(pace.first_byte_s)
            await response.prepare(call.request)
        thoughts = split("Still deliberating, step by step. " * 4, 40) if pace.think_s else []
        for thought in thoughts:
            await response.write(b"".join(events([thinking_chunk(call.body["model"], thought)])))
            await asyncio.sleep(pace.think_s / len(thoughts))
        stalls = call.agent in pace.stalling and call.call == 1
        for number, piece in enumerate(pieces):
            if stalls and number == len(pieces) // 2:
                await asyncio.sleep(pace.stall_s)
            if pace.answer_s:
                await asyncio.sleep(pace.answer_s / len(pieces))
            await response.write(piece)


def _broken_chunks(
    written: Written, framings: frozenset[Framing], failure: Failure | None
) -> list[bytes]:
    """The events of the answer, with the failure in them."""
    bodies = chunks(written, framings)
    if failure is Failure.LENGTH:
        ends = [each for each in bodies if not each["choices"]]
        bodies = bodies[: max(2, len(bodies) // 2)]
        choice = {"index": 0, "delta": {}, "finish_reason": "length"}
        bodies += [{**bodies[0], "choices": [choice]}, *ends]
    if failure is Failure.ERROR_IN_STREAM:
        error = {"code": 502, "message": "Worker local total request limit reached (33/32)"}
        bodies = [*bodies[:2], {**bodies[0], "choices": [], "error": error}]
    return events(bodies, framings)


def _short_id(call: OutgoingCall) -> OutgoingCall:
    """The call with an id as Mistral makes them."""
    return replace(call, id=f"c{call.id.rpartition('_')[2]:0>8}")


async def _models(_: web.Request) -> web.Response:
    models = [{"id": name, "object": "model"} for name in ("quick", "deep")]
    return web.json_response({"object": "list", "data": models})


async def _nothing_here(request: web.Request) -> web.Response:
    return web.json_response({"detail": f"Not Found: {request.path}"}, status=404)

"""An offline model that commits faults on request, so that tests can see how a run handles them.

    kind                   what happens to a request that it meets
    status                 HTTP status `value` (400, 401, 404, 429, 500, 503) with OpenAI's error
                           JSON; 429 also carries Retry-After
    hang                   no answer at all
    disconnect             half an answer, then the connection is cut
    half                   half an answer, which ends as if it were complete
    slow                   the answer takes `value` seconds more
    empty_answer           an answer without content
    malformed_tool_call    a tool call whose arguments are not JSON
    unknown_tool           a call of a tool that does not exist
    wrong_arguments        a tool call whose arguments have the wrong types
    endless_tools          tool calls again, whenever tools are on offer (analysts)
    wrong_json             JSON that does not fit the schema (deciders)
    bad_prices             an entry far from the market (trader, risk judge)
    prose_instead_of_tool  prose where a tool was forced (deciders)

The three kinds of bad tool call spoil the first call of a turn and leave the others. In a turn that
would be text, one bad call replaces the text.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from trading_graph.graph.offline_model.answer import (
    answer_request,
    first_calls,
    outgoing_call,
    structured_answer,
)
from trading_graph.graph.offline_model.conversation import AGENTS, SCHEMAS, Conversation
from trading_graph.graph.offline_model.market_analyst import PRICES
from trading_graph.graph.offline_model.protocol import ModelAnswer
from trading_graph.graph.offline_model.server import Call, OfflineModel, sleep_until, stream
from trading_graph.graph.options import ANALYSTS, DECIDERS

ANY_AGENT: Final = "*"
FAR_FACTOR: Final = 1.5

_STATUSES = (400, 401, 404, 429, 500, 503)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in the requests of one agent (`*` for any), from its `call`-th on, `times` times.

    Calls count from 1 over the model's life, retries included. `times=None` never ends, and
    `endless_tools` never does. `value` is the HTTP status, or the seconds of `slow`.
    """

    agent: str
    kind: str
    call: int = 1
    times: int | None = 1
    value: float = 0.0
    retry_after_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a fault that could never happen, since a test with it would prove nothing."""
        if self.kind not in _KINDS:
            kinds = ", ".join(_KINDS)
            raise ValueError(f"There is no fault {self.kind!r}; use one of {kinds}.")
        agents = _KINDS[self.kind].agents
        if self.agent not in (ANY_AGENT, *agents):
            raise ValueError(
                f"The fault {self.kind!r} cannot happen to {self.agent!r}; use one of "
                f"{', '.join(agents)} or {ANY_AGENT!r}."
            )
        if self.kind == "status" and self.value not in _STATUSES:
            raise ValueError(
                f"The status {self.value:g} cannot be asked for; use one of {_STATUSES}."
            )
        if self.kind == "slow" and not self.value > 0:
            raise ValueError("The fault 'slow' needs its extra seconds as value, more than 0.")
        if self.call < 1 or (self.times is not None and self.times < 1):
            raise ValueError("A fault's call and times count from 1; use 1 or more.")

    def meets(self, agent: str, call: int) -> bool:
        """Whether the fault meets the agent's request of this number."""
        if agent not in _KINDS[self.kind].agents or self.agent not in (ANY_AGENT, agent):
            return False
        endless = self.times is None or self.kind == "endless_tools"
        return call >= self.call and (endless or call < self.call + (self.times or 0))


def spoil(answer: ModelAnswer, kind: str, conversation: Conversation) -> ModelAnswer:
    """The answer with the fault in it; faults of the connection do not change it."""
    spoiler = _KINDS[kind].spoiler
    return answer if spoiler is None else spoiler(answer, conversation)


def _spoil_first_call(
    answer: ModelAnswer, conversation: Conversation, **changes: str
) -> ModelAnswer:
    fallback = SCHEMAS.get(conversation.agent) or (conversation.tools or (PRICES,))[0]
    first, *others = answer.tool_calls or (outgoing_call(fallback, "{}"),)
    return ModelAnswer(tool_calls=(replace(first, **changes), *others))


def _malformed(answer: ModelAnswer, conversation: Conversation) -> ModelAnswer:
    # Clients complete a JSON object that breaks off; this text cannot become one.
    return _spoil_first_call(answer, conversation, arguments="symbol = AAPL, sessions: many")


def _unknown(answer: ModelAnswer, conversation: Conversation) -> ModelAnswer:
    return _spoil_first_call(answer, conversation, name="get_tomorrows_close")


def _wrong_arguments(answer: ModelAnswer, conversation: Conversation) -> ModelAnswer:
    arguments = '{"symbol":42,"action":42,"confidence":"very","entry":[1]}'
    return _spoil_first_call(answer, conversation, arguments=arguments)


def _endless(answer: ModelAnswer, conversation: Conversation) -> ModelAnswer:
    calls = first_calls(conversation)
    return ModelAnswer(tool_calls=calls) if calls else answer


def _empty(answer: ModelAnswer, conversation: Conversation) -> ModelAnswer:
    return ModelAnswer()


def _wrong_json(answer: ModelAnswer, conversation: Conversation) -> ModelAnswer:
    return structured_answer(conversation.agent, '{"verdict":"up","sure":true}')


def _bad_prices(answer: ModelAnswer, conversation: Conversation) -> ModelAnswer:
    fields = msgspec.json.decode(answer.tool_calls[0].arguments)
    far = {name: fields[name] * FAR_FACTOR for name in ("entry", "stop", "target")}
    return structured_answer(conversation.agent, msgspec.json.encode(fields | far).decode())


def _prose(answer: ModelAnswer, conversation: Conversation) -> ModelAnswer:
    return ModelAnswer("On balance I would rather wait and see how things turn out.")


class _Kind(NamedTuple):
    """The agents to whom a kind of fault can happen, and how it spoils their answers."""

    agents: tuple[str, ...]
    spoiler: Callable[[ModelAnswer, Conversation], ModelAnswer] | None = None


_TOOL_CALLERS = (*ANALYSTS, *DECIDERS)
_KINDS: Mapping[str, _Kind] = {
    "status": _Kind(AGENTS),
    "hang": _Kind(AGENTS),
    "disconnect": _Kind(AGENTS),
    "half": _Kind(AGENTS),
    "slow": _Kind(AGENTS),
    "empty_answer": _Kind(AGENTS, _empty),
    "malformed_tool_call": _Kind(_TOOL_CALLERS, _malformed),
    "unknown_tool": _Kind(_TOOL_CALLERS, _unknown),
    "wrong_arguments": _Kind(_TOOL_CALLERS, _wrong_arguments),
    "endless_tools": _Kind(ANALYSTS, _endless),
    "wrong_json": _Kind(DECIDERS, _wrong_json),
    "bad_prices": _Kind(("trader", "risk_judge"), _bad_prices),
    "prose_instead_of_tool": _Kind(DECIDERS, _prose),
}


class FaultyModel(OfflineModel):
    """The offline model with faults, and with a count of its requests.

    All applications of one object share its counts and its faults.
    """

    def __init__(
        self, latency_s: float = 0.8, chunks: int = 60, faults: Sequence[Fault] = ()
    ) -> None:
        super().__init__(latency_s, chunks)
        self.faults = tuple(faults)
        self._lock = Lock()
        self._requests: Counter[str] = Counter()

    @property
    def requests(self) -> Mapping[str, int]:
        """The number of requests of each agent; a copy, safe to read from any thread."""
        with self._lock:
            return dict(self._requests)

    async def respond(self, call: Call) -> web.StreamResponse:
        """Answer one call, with the faults that meet it."""
        faults = self._count(call.conversation.agent)
        for fault in faults:
            if fault.kind == "status":
                return _refusal(fault)
            if fault.kind == "hang":
                await asyncio.Event().wait()  # until the server stops, which cancels this
        answer = answer_request(call.conversation)
        for fault in faults:
            answer = spoil(answer, fault.kind, call.conversation)
        latency_s = self.latency_s + sum(each.value for each in faults if each.kind == "slow")
        kinds = {fault.kind for fault in faults}
        if kinds.isdisjoint(("disconnect", "half")):
            return await self.send(call, answer, latency_s)
        events = self.events(call, answer)
        events = events[: len(events) // 2]
        if "half" in kinds:
            return await stream(call, events, latency_s / 2)
        return await _break_off(call, events, latency_s / 2)

    def _count(self, agent: str) -> list[Fault]:
        """Count the request, and return the faults that meet it."""
        with self._lock:
            self._requests[agent] += 1
            number = self._requests[agent]
        return [fault for fault in self.faults if fault.meets(agent, number)]


async def _break_off(call: Call, events: list[bytes], latency_s: float) -> web.StreamResponse:
    """Send the pieces, and cut the connection."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(call.request)
    for event in events:
        await response.write(event)
    await sleep_until(call.arrival + latency_s)
    assert call.request.transport is not None
    call.request.transport.close()
    return response


def _refusal(fault: Fault) -> web.Response:
    status = int(fault.value)
    kind, code = _ERRORS.get(
        status, ("server_error" if status >= 500 else "invalid_request_error", None)
    )
    message = f"The offline model refuses this request of {fault.agent}: a fault asked for it."
    return web.json_response(
        {"error": {"message": message, "type": kind, "param": None, "code": code}},
        status=status,
        headers={"Retry-After": f"{fault.retry_after_s:g}"} if status == 429 else None,
    )


_ERRORS: Mapping[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}

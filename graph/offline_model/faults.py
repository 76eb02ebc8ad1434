"""Faults that the offline model commits on request, so that a test can see how a run takes them.

    kind                  the request it meets
    status                is refused with HTTP status `value` (400, 401, 404, 429, 500, 503) and
                          OpenAI's error JSON; 429 also carries Retry-After
    hang                  is never answered
    disconnect            is answered by half, then the connection is cut
    half                  is answered by half, then the answer ends as if it were whole
    slow                  takes `value` seconds more
    empty_answer          is answered with nothing
    malformed_tool_call   is answered with a tool call whose arguments are not JSON
    unknown_tool          is answered with a call of a tool that does not exist
    wrong_arguments       is answered with a tool call whose arguments have the wrong types
    endless_tools         is answered with tool calls again, whenever tools are offered (analysts)
    wrong_json            is answered with JSON that does not fit the schema (deciders)
    bad_prices            is answered with an entry far from the market (trader, risk judge)
    prose_instead_of_tool is answered in prose where a tool was forced (deciders)

The three kinds of spoiled tool call spoil the first call of a turn and leave the others; in a turn
that would be text they replace it with one spoiled call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from trading_graph.graph.offline_model.answer import Answer, ask_for_tools, call_of, structured
from trading_graph.graph.offline_model.conversation import AGENTS, ANALYSTS, DECIDERS, Conversation
from trading_graph.graph.offline_model.market_analyst import PRICES

ANY_AGENT: Final = "*"
FAR_FACTOR: Final = 1.5

_STATUSES = (400, 401, 404, 429, 500, 503)
_PRICED = ("trader", "risk_judge")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in the requests of one agent (or of any: `*`), from its `call`-th on, `times` times.

    Calls are counted from 1 over the model's life, retries included; `times=None` never ends, and
    `endless_tools` never does. `value` is the HTTP status, or the seconds of `slow`.
    """

    agent: str
    kind: str
    call: int = 1
    times: int | None = 1
    value: float = 0.0
    retry_after_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a fault that could never happen: a test with it would prove nothing."""
        if self.kind not in _AGENTS_OF:
            kinds = ", ".join(_AGENTS_OF)
            raise ValueError(f"There is no fault {self.kind!r}; use one of {kinds}.")
        agents = _AGENTS_OF[self.kind]
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
        """Whether the agent's request of this number is met."""
        if agent not in _AGENTS_OF[self.kind] or self.agent not in (ANY_AGENT, agent):
            return False
        endless = self.times is None or self.kind == "endless_tools"
        return call >= self.call and (endless or call < self.call + (self.times or 0))


def spoil(answer: Answer, kind: str, conversation: Conversation) -> Answer:
    """The answer with the fault in it; faults of the connection leave it as it is."""
    spoiler = _SPOILERS.get(kind)
    return answer if spoiler is None else spoiler(answer, conversation)


def _spoil_first_call(
    answer: Answer, conversation: Conversation, *, name: str | None = None, arguments: str | None
) -> Answer:
    fallback = conversation.forced or (conversation.offered or (PRICES,))[0]
    calls = answer.tool_calls or (call_of(fallback, "{}"),)
    first = calls[0]
    spoiled = replace(
        first,
        name=name or first.name,
        arguments=first.arguments if arguments is None else arguments,
    )
    return Answer(tool_calls=(spoiled, *calls[1:]))


def _malformed(answer: Answer, conversation: Conversation) -> Answer:
    # Clients complete a JSON object that breaks off; this cannot be completed into one.
    return _spoil_first_call(answer, conversation, arguments="symbol = AAPL, sessions: many")


def _unknown(answer: Answer, conversation: Conversation) -> Answer:
    return _spoil_first_call(answer, conversation, name="get_tomorrows_close", arguments=None)


def _wrong_arguments(answer: Answer, conversation: Conversation) -> Answer:
    wrong = {"symbol": 42, "action": 42, "confidence": "very", "entry": [1]}
    return _spoil_first_call(answer, conversation, arguments=msgspec.json.encode(wrong).decode())


def _endless(answer: Answer, conversation: Conversation) -> Answer:
    calls = ask_for_tools(conversation)
    return Answer(tool_calls=calls) if calls else answer


def _empty(answer: Answer, conversation: Conversation) -> Answer:
    return Answer()


def _wrong_json(answer: Answer, conversation: Conversation) -> Answer:
    return structured(conversation, '{"verdict":"up","sure":true}')


def _bad_prices(answer: Answer, conversation: Conversation) -> Answer:
    text = answer.tool_calls[0].arguments if answer.tool_calls else answer.text
    fields = msgspec.json.decode(text)
    moved = {name: fields[name] * FAR_FACTOR for name in ("entry", "stop", "target")}
    return structured(conversation, msgspec.json.encode(fields | moved).decode())


def _prose(answer: Answer, conversation: Conversation) -> Answer:
    return Answer("On balance I would rather wait and see how things turn out.")


_SPOILERS: Mapping[str, Callable[[Answer, Conversation], Answer]] = {
    "malformed_tool_call": _malformed,
    "unknown_tool": _unknown,
    "wrong_arguments": _wrong_arguments,
    "endless_tools": _endless,
    "empty_answer": _empty,
    "wrong_json": _wrong_json,
    "bad_prices": _bad_prices,
    "prose_instead_of_tool": _prose,
}

_CALLERS = (*ANALYSTS, *DECIDERS)
_AGENTS_OF: Mapping[str, tuple[str, ...]] = {
    "status": AGENTS,
    "hang": AGENTS,
    "disconnect": AGENTS,
    "half": AGENTS,
    "slow": AGENTS,
    "empty_answer": AGENTS,
    "malformed_tool_call": _CALLERS,
    "unknown_tool": _CALLERS,
    "wrong_arguments": _CALLERS,
    "endless_tools": ANALYSTS,
    "wrong_json": tuple(DECIDERS),
    "bad_prices": _PRICED,
    "prose_instead_of_tool": tuple(DECIDERS),
}

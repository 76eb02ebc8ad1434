"""One call of a language model: streamed, timed, counted, and retried in plain sight.

A call is one `chat` span; its retries are events on it, and so are the steps down that it takes
where the service refuses a parameter. The answer is streamed although nobody reads along, because
only a stream shows the time to the first chunk, and that the service is alive. Each request may
cost money, so the run's budget is asked before each; a call that it refuses is not made and has
no span. Where content is captured, the messages go on the span in the form of the semantic
conventions for generative AI.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import openai
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    SystemMessage,
    ToolMessage,
)
from opentelemetry.trace import Span

from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.capabilities import StepDown
from trading_graph.graph.chat.conversation import (
    NOTHING,
    Json,
    Offer,
    instruction,
    with_instruction,
)
from trading_graph.graph.chat.models import Model, ServiceChat
from trading_graph.graph.chat.rate_limits import (
    LongWait,
    ModelRate,
    TimeLeft,
    Turn,
    expected_tokens,
)
from trading_graph.graph.chat.refusal import Refusal, one_line
from trading_graph.graph.chat.refusal_advice import (
    RefusalCause,
    cause_of,
    model_error,
    refusal_of,
    where,
)
from trading_graph.graph.chat.retries import announce_turn, attempts
from trading_graph.graph.chat.shortening import shorten
from trading_graph.graph.chat.usable_answer import LONGEST_REFUSAL, usable_answer
from trading_graph.graph.chat.usage import Tally
from trading_graph.graph.errors import (
    BudgetReachedError,
    ModelError,
    ModelRefusalError,
)
from trading_graph.graph.state import Usage
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv

_ROLES = {"human": "user", "ai": "assistant", "tool": "tool"}


async def converse(
    model: Model,
    messages: Sequence[BaseMessage],
    *,
    agent: str,
    turn: int,
    spending: Spending,
    offer: Offer = NOTHING,
) -> AIMessage:
    """Call the model once, with retries of errors that may pass; raises a ModelError.

    `turn` counts the agent's calls from 1. The usage is recorded however the call ends. Raises
    BudgetReachedError when the budget refuses a request.
    """
    name, service = model.name, model.service
    spending.reserve(agent)
    message: AIMessage | None = None
    with spans.chat(name, agent=agent, turn=turn, provider=service.provider) as span:
        call = _Call(model, messages, offer, agent, spending, span)
        _record_input(span, messages)
        try:
            async with spending.in_time(agent):
                async for attempt in attempts(span, call.rate, call.time_left):
                    if attempt.number > 1:
                        call.reserve()
                    with attempt:
                        message = await call.answer()
        except (ModelError, BudgetReachedError):
            raise
        except (openai.OpenAIError, LongWait, TimeoutError) as error:
            raise model_error(error, agent, name, service, model.redactor) from error
        finally:
            spending.record(call.usage)
            _describe_usage(span, call.tally)
        assert message is not None
        _describe(span, message)
        if spans.content_is_captured():
            span.set_attribute(semconv.OUTPUT_MESSAGES, _encode([message]))
        if spending.limits_tokens and call.tally.latest is None:
            raise ModelRefusalError(
                f"{where(agent, name, service)} does not report tokens, so --max-tokens cannot be "
                "kept; use --max-calls instead."
            )
        return message


@dataclass(slots=True)
class _Call:
    """A call under way: what is asked, and what its requests have cost so far."""

    model: Model
    messages: Sequence[BaseMessage]
    offer: Offer
    agent: str
    spending: Spending
    span: Span
    start: float = field(default_factory=time.perf_counter)
    requests: int = 1
    tally: Tally = field(default_factory=Tally)
    is_shortened: bool = False

    @property
    def rate(self) -> ModelRate:
        """The turns of the model."""
        return self.model.rate

    def time_left(self) -> TimeLeft:
        """What the budget leaves for the call."""
        return self.spending.time_left(self.agent)

    def reserve(self) -> None:
        """Reserve one more request; raises BudgetReachedError."""
        self.spending.reserve(self.agent)
        self.requests += 1

    @property
    def usage(self) -> Usage:
        """What all requests have taken, those included whose answer could not be used."""
        tokens = self.tally.total
        return Usage(
            self.agent,
            self.model.name,
            tokens.input,
            tokens.output,
            time.perf_counter() - self.start,
            self.requests,
            tokens.cached,
            tokens.written,
            tokens.reasoning,
            self.tally.uncounted,
        )

    async def _turn(self) -> Turn:
        """The turn of a request; one that gets none was not sent, and is given back."""
        try:
            return await self.rate.turn(
                expected_tokens(self.messages), self.time_left, partial(announce_turn, self.span)
            )
        except BaseException:
            self.spending.give_back()
            self.requests -= 1
            raise

    async def answer(self) -> AIMessage:
        """A whole answer, as many steps down as the service's refusals lead."""
        learning, use = self.model.learning, self.offer.use(self.messages)
        while True:
            with self._in_line():
                await learning.wait(use)
            with learning.scouting(use):
                now = learning.current
                chat = self.model.chat(lambda: learning.accept(use))
                sent = self.model.parameters(self.offer, self.messages)
                messages = with_instruction(
                    self.messages, instruction(self.offer, self.messages, now)
                )
                try:
                    return await self._stream(chat, messages, sent)
                except openai.APIError as error:
                    refusal = refusal_of(error, self.model.redactor)
                    step = learning.step_down(now, refusal, chat.body(messages, sent))
                    if step is None and not self._shorten(refusal):
                        raise
            if step is not None:
                self._tell(step, refusal)
            self.reserve()

    def _tell(self, step: StepDown, refusal: Refusal) -> None:
        """Record a step down on the span; whoever shows the run reads it there."""
        self.span.add_event(
            semconv.CAPABILITY_EVENT,
            {
                semconv.CAPABILITY_PARAMETER: step.parameter,
                semconv.CAPABILITY_CHANGE: step.words,
                semconv.CAPABILITY_REFUSAL: one_line(refusal.words, LONGEST_REFUSAL),
            },
        )

    def _shorten(self, refusal: Refusal) -> bool:
        """Shorten the conversation once, where the service says that it is too long."""
        if self.is_shortened or cause_of(refusal) is not RefusalCause.CONTEXT:
            return False
        shorter = shorten(self.messages)
        if shorter is None:
            return False
        self.messages, self.is_shortened = shorter.messages, True
        self.span.add_event("shortened", {"refusal": one_line(refusal.words, LONGEST_REFUSAL)})
        self.spending.note(self.agent, f"{self.agent}: {shorter.words}.")
        return True

    def _in_line(self) -> AbstractContextManager[Callable[[], None]]:
        """A wait for the service, which is not the agent's own time while the service is alive."""
        client = self.model.client
        return self.spending.in_line(self.agent, lambda: client.last_life)

    async def _stream(
        self, chat: ServiceChat, messages: Sequence[BaseMessage], sent: Json
    ) -> AIMessage:
        parts: list[AIMessageChunk] = []
        turn = await self._turn()
        try:
            with self.tally.attempt(), self._in_line() as answer_begins:
                async for part in chat.astream(list(messages), **sent):
                    if not parts:
                        answer_begins()
                        elapsed = round(time.perf_counter() - self.start, 6)
                        self.span.set_attribute(semconv.RESPONSE_TIME_TO_FIRST_CHUNK, elapsed)
                    assert isinstance(part, AIMessageChunk)
                    parts.append(part)
                    self.tally.read(part)
            # One addition over all chunks is linear; adding them one by one is quadratic.
            whole = parts[0].__add__(parts[1:]) if len(parts) > 1 else parts[0]
            if self.tally.latest is not None:
                turn.settle(self.tally.latest.total)
        finally:
            turn.record(self.span)
        return usable_answer(whole, self.offer)


def _describe(span: Span, message: AIMessage) -> None:
    metadata = message.response_metadata
    attributes = {
        semconv.RESPONSE_MODEL: metadata.get("model_name"),
        semconv.RESPONSE_ID: message.id,
    }
    span.set_attributes({key: value for key, value in attributes.items() if value})
    if reason := metadata.get("finish_reason"):
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, [str(reason)])


def _describe_usage(span: Span, tally: Tally) -> None:
    tokens = tally.total
    if not tokens.total:
        return
    span.set_attribute(semconv.USAGE_INPUT_TOKENS, tokens.input)
    span.set_attribute(semconv.USAGE_OUTPUT_TOKENS, tokens.output)
    if tokens.cached:
        span.set_attribute(semconv.USAGE_CACHED_TOKENS, tokens.cached)
    if tokens.reasoning:
        span.set_attribute(semconv.USAGE_REASONING_TOKENS, tokens.reasoning)


def _record_input(span: Span, messages: Sequence[BaseMessage]) -> None:
    """Put the model's input on its span, where content is captured."""
    if not spans.content_is_captured():
        return
    system = [each for each in messages if isinstance(each, SystemMessage)]
    others = [each for each in messages if not isinstance(each, SystemMessage)]
    parts = [part for each in system for part in _parts(each)]
    span.set_attribute(semconv.SYSTEM_INSTRUCTIONS, json.dumps(parts))
    span.set_attribute(semconv.INPUT_MESSAGES, _encode(others))


def _encode(messages: Iterable[BaseMessage]) -> str:
    return json.dumps(
        [
            {"role": _ROLES.get(each.type, each.type), "parts": list(_parts(each))}
            for each in messages
        ]
    )


def _parts(message: BaseMessage) -> Iterable[dict[str, Any]]:
    if isinstance(message, ToolMessage):
        yield {
            "type": "tool_call_response",
            "id": message.tool_call_id,
            "response": message.text,
        }
        return
    if message.text:
        yield {"type": "text", "content": message.text}
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            yield {
                "type": "tool_call",
                "id": call["id"],
                "name": call["name"],
                "arguments": call["args"],
            }

"""One call of a language model: streamed, timed, counted, and retried in plain sight.

A call is one `chat` span; its retries are events on it. The answer is streamed although nobody
reads along, because only a stream shows the time to the first chunk. Each attempt is a request that
may cost money, so the run's budget is asked before each; a call that it refuses is not made and has
no span. Where content is captured, the messages go on the span in the form of the semantic
conventions for generative AI.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

import openai
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables import Runnable
from opentelemetry.trace import Span

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.models import CALL_TIMEOUT_S
from trading_graph.graph.chat.refusals import model_error, where
from trading_graph.graph.chat.retries import attempts
from trading_graph.graph.errors import (
    BadModelAnswerError,
    BudgetReachedError,
    ModelError,
    ModelRefusalError,
)
from trading_graph.graph.state import Usage
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv

_ROLES = {"human": "user", "ai": "assistant", "tool": "tool"}


async def converse(
    model: Runnable[LanguageModelInput, AIMessage],
    messages: Sequence[BaseMessage],
    *,
    name: str,
    service: ModelService,
    agent: str,
    turn: int,
    spending: Spending,
) -> AIMessage:
    """Call the model once, with retries of errors that may pass; raises a ModelError.

    `name` is the model's name, for the span; `turn` counts the agent's calls from 1. The usage is
    recorded however the call ends. Raises BudgetReachedError when the budget refuses a request.
    """
    spending.reserve(agent)
    requests = 1
    message: AIMessage | None = None
    with spans.chat(name, agent=agent, turn=turn, provider=service.provider) as span:
        start = time.perf_counter()
        _record_input(span, messages)
        try:
            async with spending.in_time(agent):
                async for attempt in attempts(span):
                    if attempt.num > 1:
                        spending.reserve(agent)
                        requests = attempt.num
                    with attempt:
                        message = await _stream(model, messages, span, start)
        except (ModelError, BudgetReachedError):
            raise
        except (openai.OpenAIError, TimeoutError) as error:
            raise model_error(error, agent, name, service) from error
        finally:
            seconds = time.perf_counter() - start
            spending.record(_usage(message, agent, name, seconds, requests))
        assert message is not None
        _describe(span, message)
        if spans.content_is_captured():
            span.set_attribute(semconv.OUTPUT_MESSAGES, _encode([message]))
        if spending.limits_tokens and not message.usage_metadata:
            raise ModelRefusalError(
                f"{where(agent, name, service)} does not report tokens, so --max-tokens cannot be "
                "kept; use --max-calls instead."
            )
        return message


async def _stream(
    model: Runnable[LanguageModelInput, AIMessage],
    messages: Sequence[BaseMessage],
    span: Span,
    start: float,
) -> AIMessage:
    parts: list[AIMessageChunk] = []
    async with asyncio.timeout(CALL_TIMEOUT_S):
        async for part in model.astream(list(messages)):
            if not parts:
                elapsed = round(time.perf_counter() - start, 6)
                span.set_attribute(semconv.RESPONSE_TIME_TO_FIRST_CHUNK, elapsed)
            assert isinstance(part, AIMessageChunk)
            parts.append(part)
    # One addition over all chunks is linear; adding them one by one is quadratic.
    whole = parts[0].__add__(parts[1:]) if len(parts) > 1 else parts[0]
    if reason := _incompleteness(whole.response_metadata.get("finish_reason")):
        raise BadModelAnswerError(f"The model's answer {reason}.")
    if not (whole.text.strip() or whole.tool_calls or whole.invalid_tool_calls):
        raise BadModelAnswerError(
            "The model gave an empty answer; run it again or try another model."
        )
    return whole


def _incompleteness(finish_reason: str | None) -> str | None:
    """Why an answer is incomplete, or None: half a report would read like a report."""
    match finish_reason:
        case None:
            return "ended without saying that it was whole; run it again"
        case "length":
            return "was cut off at the model's limit of tokens; take a model with a larger one"
        case "content_filter":
            return "was cut off by the service's content filter; take another model"
        case _:
            return None


def _usage(
    message: AIMessage | None, agent: str, name: str, seconds: float, requests: int
) -> Usage:
    tokens: Any = (message.usage_metadata if message else None) or {}
    return Usage(
        agent,
        name,
        tokens.get("input_tokens", 0),
        tokens.get("output_tokens", 0),
        seconds,
        requests,
    )


def _describe(span: Span, message: AIMessage) -> None:
    metadata = message.response_metadata
    attributes = {
        semconv.RESPONSE_MODEL: metadata.get("model_name"),
        semconv.RESPONSE_ID: message.id,
    }
    span.set_attributes({key: value for key, value in attributes.items() if value})
    if tokens := message.usage_metadata:
        span.set_attribute(semconv.USAGE_INPUT_TOKENS, tokens["input_tokens"])
        span.set_attribute(semconv.USAGE_OUTPUT_TOKENS, tokens["output_tokens"])
    if reason := metadata.get("finish_reason"):
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, [str(reason)])


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

"""One call of a language model: streamed, timed, counted, retried in plain sight.

A call is one `chat` span, its retries are events on it. The answer is streamed even though nobody
reads along, because only then the time to the first chunk is known. Each attempt is a request that
may cost money, so the run's budget is asked before each; a call that it refuses is not made, and
has no span.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import httpx2
import openai
import stamina
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from opentelemetry.trace import Span

from trading_graph.graph.content import record_input, record_output
from trading_graph.graph.errors import (
    BadModelAnswer,
    BudgetReached,
    ModelError,
    ModelRefused,
    ModelUnavailable,
)
from trading_graph.graph.models import CALL_TIMEOUT_S, ModelService
from trading_graph.graph.spending import Spending
from trading_graph.graph.state import Usage
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.runnables import Runnable

ATTEMPTS = 3
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 20.0


async def converse(
    model: "Runnable[LanguageModelInput, AIMessage]",
    messages: Sequence[BaseMessage],
    *,
    name: str,
    service: ModelService,
    agent: str,
    turn: int,
    spending: Spending,
) -> AIMessage:
    """Call the model once, retrying what may pass; raises a ModelError when it does not.

    `name` is the model's, for the span; `turn` counts the agent's calls from 1. What the call took
    is booked, whatever came of it. Raises BudgetReached where that is the reason for no answer.
    """
    spending.reserve(agent)
    requests = 1
    message: AIMessage | None = None
    with spans.chat(name, agent=agent, turn=turn, provider=service.provider) as span:
        started = time.perf_counter()
        record_input(span, messages)
        try:
            async with spending.in_time(agent):
                async for attempt in _attempts(span):
                    if attempt.num > 1:
                        spending.reserve(agent)
                        requests = attempt.num
                    with attempt:
                        message = await _stream(model, messages, span, started)
        except (ModelError, BudgetReached):
            raise
        except (openai.OpenAIError, TimeoutError) as error:
            raise _explained(error, agent, name, service) from error
        finally:
            seconds = time.perf_counter() - started
            spending.record(_usage(message, agent, name, seconds, requests))
        assert message is not None
        _describe(span, message)
        record_output(span, message)
        if spending.limits_tokens and not message.usage_metadata:
            raise ModelRefused(
                f"{_where(agent, name, service)} does not report tokens, so --max-tokens cannot be "
                "kept; use --max-calls instead."
            )
        return message


async def _attempts(span: Span) -> AsyncIterator[stamina.Attempt]:
    attempts = 0

    def may_pass(error: Exception) -> bool | float:
        nonlocal attempts
        attempts += 1
        wait = _wait(error)
        if wait is None:
            return False
        if attempts < ATTEMPTS:
            span.add_event(
                "retry", {"attempt": attempts, semconv.ERROR_TYPE: spans.error_type(error)}
            )
        return wait

    async for attempt in stamina.retry_context(
        on=may_pass,
        attempts=ATTEMPTS,
        timeout=None,
        wait_initial=_FIRST_WAIT_S,
        wait_max=_LONGEST_WAIT_S,
    ):
        if attempt.num > 1:
            # When the pause was over: what was lost is known to the nanosecond.
            span.add_event("attempt", {"attempt": attempt.num})
        yield attempt


def _wait(error: Exception) -> bool | float | None:
    """How long to wait before the next attempt; True for the usual back-off, None for never."""
    if isinstance(error, BadModelAnswer):
        return 0.0
    if isinstance(error, openai.RateLimitError | openai.InternalServerError):
        after = error.response.headers.get("retry-after", "")
        return min(float(after), _LONGEST_WAIT_S) if after.replace(".", "", 1).isdigit() else True
    # A stream that broke off surfaces as a bare APIError.
    broken = type(error) is openai.APIError
    if broken or isinstance(error, openai.APIConnectionError | TimeoutError):
        return True
    return None


async def _stream(
    model: "Runnable[LanguageModelInput, AIMessage]",
    messages: Sequence[BaseMessage],
    span: Span,
    started: float,
) -> AIMessage:
    parts: list[AIMessageChunk] = []
    async with asyncio.timeout(CALL_TIMEOUT_S):
        async for part in model.astream(list(messages)):
            if not parts:
                elapsed = round(time.perf_counter() - started, 6)
                span.set_attribute(semconv.RESPONSE_TIME_TO_FIRST_CHUNK, elapsed)
            assert isinstance(part, AIMessageChunk)
            parts.append(part)
    # One addition over all chunks is linear; adding them one by one is quadratic.
    whole = parts[0].__add__(parts[1:]) if len(parts) > 1 else parts[0]
    if reason := _cut_off(whole.response_metadata.get("finish_reason")):
        raise BadModelAnswer(f"The model's answer {reason}.")
    if not (whole.text.strip() or whole.tool_calls or whole.invalid_tool_calls):
        raise BadModelAnswer("The model gave an empty answer; run it again or try another model.")
    return whole


def _cut_off(finish_reason: str | None) -> str | None:
    """Why an answer is not whole, if it is not: half a report reads like a report."""
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
    counted: Any = (message.usage_metadata if message else None) or {}
    return Usage(
        agent,
        name,
        counted.get("input_tokens", 0),
        counted.get("output_tokens", 0),
        seconds,
        requests,
    )


def _describe(span: Span, message: AIMessage) -> None:
    metadata = message.response_metadata
    described = {
        semconv.RESPONSE_MODEL: metadata.get("model_name"),
        semconv.RESPONSE_ID: message.id,
    }
    span.set_attributes({key: value for key, value in described.items() if value})
    if counted := message.usage_metadata:
        span.set_attribute(semconv.USAGE_INPUT_TOKENS, counted["input_tokens"])
        span.set_attribute(semconv.USAGE_OUTPUT_TOKENS, counted["output_tokens"])
    if reason := metadata.get("finish_reason"):
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, [str(reason)])


def _where(agent: str, name: str, service: ModelService) -> str:
    return f"{agent}: model {name} at {service.base_url or 'the OpenAI API'}"


def _explained(error: Exception, agent: str, name: str, service: ModelService) -> ModelError:
    where = _where(agent, name, service)
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return ModelRefused(
            f"{where} refuses the key (HTTP {error.status_code}); set OPENAI_API_KEY to a valid "
            "key, or run with --offline."
        )
    if isinstance(error, openai.NotFoundError):
        return ModelRefused(
            f"{where} does not exist there (HTTP 404); set TRADING_GRAPH_QUICK_MODEL and "
            "TRADING_GRAPH_DEEP_MODEL to models that the service has."
        )
    if isinstance(error, openai.RateLimitError):
        return ModelUnavailable(
            f"{where} answered 429 (too many requests) {ATTEMPTS} times; wait, or raise the limit."
        )
    if isinstance(error, openai.APIStatusError) and error.status_code < 500:
        return ModelRefused(
            f"{where} refuses the request (HTTP {error.status_code}); check that the model can "
            "call tools and stream."
        )
    return ModelUnavailable(
        f"{where} {_what_happened(error)} in {ATTEMPTS} attempts; check the service and "
        "OPENAI_BASE_URL."
    )


def _what_happened(error: Exception) -> str:
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return "did not answer in time"
    if isinstance(error, openai.APIStatusError):
        return f"answered HTTP {error.status_code}"
    if not isinstance(error, openai.APIConnectionError):
        return "reported an error in the middle of its answer"
    match _cause(error):
        case httpx2.ProxyError():
            return "cannot be reached through the proxy that the environment names"
        case httpx2.RemoteProtocolError():
            return "answered something that is not HTTP"
        case httpx2.ReadError():
            return "closed the connection before its answer was whole"
        case _:
            return "cannot be reached"


def _cause(error: BaseException) -> BaseException | None:
    """The failure of the transport below the errors of the client libraries."""
    below = error.__cause__
    while below is not None and not isinstance(below, httpx2.TransportError):
        below = below.__cause__
    return below

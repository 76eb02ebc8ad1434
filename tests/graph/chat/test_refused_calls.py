"""Calls that a service refuses for the rate or for money: what is waited for, and what is said."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from langchain_core.messages import HumanMessage
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN
from pydantic import SecretStr

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.call import converse
from trading_graph.graph.chat.models import Models, build_models
from trading_graph.graph.chat.rate_limits import ModelRate, RateLimits
from trading_graph.graph.chat.retries import ATTEMPTS, ExceededLimit, attempts, exceeded_limit
from trading_graph.graph.errors import (
    FATAL,
    ModelError,
    ModelUnavailableError,
    QuotaError,
    RateLimitError,
)
from trading_graph.graph.options import Budget
from trading_graph.graph.state import Usage
from trading_graph.otel.trace import semconv

AGENT_S = 60.0
RATE = {"error": {"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"}}
QUOTA = {"error": {"message": "No.", "type": "insufficient_quota", "code": "insufficient_quota"}}


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int = 429
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = field(default_factory=lambda: RATE)


@dataclass(slots=True)
class Service:
    """A model's service that refuses its first requests, and then answers."""

    models: Models
    arrivals: list[float]
    spending: Spending

    async def ask(self, agent: str = "trader") -> str:
        async with self.spending.agent_time(agent, AGENT_S):
            answer = await converse(
                self.models.deep,
                [HumanMessage("?")],
                agent=agent,
                turn=1,
                spending=self.spending,
            )
        return answer.text

    def usage(self, agent: str = "trader") -> Usage:
        (usage,) = self.spending.claim(agent)
        return usage


@asynccontextmanager
async def serving(
    refusals: Sequence[Refusal], budget: Budget | None = None, **limits: Mapping[str, int]
) -> AsyncIterator[Service]:
    coming = iter(refusals)
    arrivals: list[float] = []

    async def complete(request: web.Request) -> web.StreamResponse:
        await request.read()
        arrivals.append(time.monotonic())
        if (refusal := next(coming, None)) is not None:
            return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta, finish in (({"content": "Buy"}, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            each = json.dumps({"id": "c", "model": "m", "choices": [choice]})
            await response.write(f"data: {each}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    async with TestServer(app) as server:
        url = str(server.make_url("/v1"))
        service = ModelService(url, SecretStr("k"), "quick", "deep", **limits)  # type: ignore[arg-type]
        models = await asyncio.to_thread(build_models, service)
        try:
            yield Service(models, arrivals, Spending(budget or Budget(), INVALID_SPAN))
        finally:
            await models.aclose()


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "1.2"},
        {"Retry-After-Ms": "1200", "Retry-After": "7"},
        {"X-RateLimit-Reset-Requests": "1s200ms", "X-RateLimit-Remaining-Requests": "0"},
    ],
)
async def test_what_the_service_asks_for_is_waited(headers: dict[str, str]) -> None:
    async with serving([Refusal(headers=headers)]) as service:
        assert await service.ask() == "Buy"
    first, second = service.arrivals
    assert 1.2 <= second - first < 7


async def test_a_stated_wait_is_no_failed_attempt() -> None:
    refusals = [Refusal(headers={"Retry-After-Ms": "20"})] * ATTEMPTS
    async with serving(refusals) as service:
        assert await service.ask() == "Buy"
    assert service.usage().requests == len(service.arrivals) == ATTEMPTS + 1


async def test_a_wait_that_does_not_fit_ends_the_call_at_once_and_says_when() -> None:
    async with serving([Refusal(headers={"Retry-After": "12000"})]) as service:
        with pytest.raises(RateLimitError) as caught:
            await service.ask()
        # Nobody else asks in vain.
        with pytest.raises(RateLimitError):
            await service.ask("risk_judge")
    assert len(service.arrivals) == 1
    said = str(caught.value)
    assert said.startswith("trader: model deep at http")
    assert "would answer again in 3 h 20 min (at " in said
    assert "60 s are left of --agent-budget" in said
    assert isinstance(caught.value, ModelUnavailableError)
    assert not isinstance(caught.value, FATAL)


async def test_the_seconds_of_the_run_count_where_they_are_fewer() -> None:
    refusal = Refusal(headers={"Retry-After": "30"})
    async with serving([refusal], Budget(seconds=20)) as service:
        with pytest.raises(RateLimitError, match="left of --max-seconds"):
            await service.ask()


async def test_others_wait_too_when_the_service_asks_for_it() -> None:
    async with serving([Refusal(headers={"Retry-After": "1.5"})]) as service:
        first = asyncio.create_task(service.ask())
        await asyncio.sleep(0.5)
        assert len(service.arrivals) == 1
        assert await service.ask("risk_judge") == await first == "Buy"
    refused, *answered = service.arrivals
    assert len(answered) == 2
    assert min(answered) - refused >= 1.5


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, QUOTA),
        (429, {"error": {"code": "credit_balance_exhausted", "type": "insufficient_quota"}}),
        (429, {"error": {"code": "billing_hard_limit_reached", "type": "insufficient_quota"}}),
        (402, {"error": {"message": "Insufficient Balance", "type": "unknown_error"}}),
        (402, {"error": {"message": "Insufficient credits.", "code": 402}}),
        (402, "no JSON"),
    ],
)
async def test_a_quota_is_never_waited_for(status: int, body: Any) -> None:
    refusals = [Refusal(status, {"Retry-After": "1"}, body)] * 2
    async with serving(refusals) as service:
        with pytest.raises(QuotaError, match="quota") as caught:
            await service.ask()
    assert len(service.arrivals) == 1
    assert isinstance(caught.value, FATAL), "every agent would meet it"


def refused(status: int, body: Any, **headers: str) -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://x/v1/chat/completions")
    response = httpx2.Response(status, headers=headers, request=request)
    kind = openai.RateLimitError if status == 429 else openai.APIStatusError
    # As the client library hands it on.
    said = body.get("error", body) if isinstance(body, dict) else body
    return kind("words", response=response, body=said)


def in_the_middle(**error: Any) -> openai.APIError:
    request = httpx2.Request("POST", "http://x/v1/chat/completions")
    return openai.APIError("words", request, body=error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused(429, RATE), ExceededLimit.RATE),
        (refused(429, {}), ExceededLimit.RATE),
        # Gemini speaks of a quota, and means the rate: page-assist #406.
        (
            refused(429, [{"error": {"message": "check quota", "status": "RESOURCE_EXHAUSTED"}}]),
            ExceededLimit.RATE,
        ),
        (refused(429, QUOTA), ExceededLimit.QUOTA),
        # Cerebras says "quota" of its limits a minute, and when they are back.
        (refused(429, {"error": {"code": "token_quota_exceeded"}}), ExceededLimit.QUOTA),
        (
            refused(429, {"error": {"code": "token_quota_exceeded"}}, **{"retry-after": "9"}),
            ExceededLimit.RATE,
        ),
        (refused(403, {"error": {"type": "InsufficientBalance"}}), ExceededLimit.QUOTA),
        (refused(403, {"error": {"type": "insufficient_permissions"}}), None),
        (refused(400, {"error": {"message": "balance, quota and credit"}}), None),
        (refused(500, {"error": {"type": "billing"}}), None),
        (in_the_middle(code=429), ExceededLimit.RATE),
        (in_the_middle(type="rate_limit_error"), ExceededLimit.RATE),
        (in_the_middle(code="insufficient_quota"), ExceededLimit.QUOTA),
        (in_the_middle(code=402), ExceededLimit.QUOTA),
        (in_the_middle(message="overloaded"), None),
        (TimeoutError(), None),
    ],
)
def test_rate_and_quota_are_told_apart(error: Exception, kind: ExceededLimit | None) -> None:
    assert exceeded_limit(error) is kind


async def test_a_limit_of_the_settings_is_kept_before_anything_is_sent() -> None:
    budget = Budget(llm_calls=2)
    async with serving([], budget, requests_per_minute={"deep": 1}) as service:
        assert await service.ask() == "Buy"
        service.usage()
        began = time.monotonic()
        with pytest.raises(RateLimitError, match="1 requests a minute, as the settings say"):
            await service.ask()
        assert service.usage().requests == 0
        assert len(service.arrivals) == 1
        # It was not sent, so it is not taken out of the budget either.
        service.spending.reserve("trader")
    assert time.monotonic() - began < AGENT_S


async def test_an_error_of_the_service_is_tried_a_few_times_and_no_more() -> None:
    async with serving([Refusal(503, body={})] * (ATTEMPTS + 1)) as service:
        with pytest.raises(ModelError, match="503"):
            await service.ask()
    assert len(service.arrivals) == ATTEMPTS


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


async def test_the_trace_says_how_long_a_pause_is_and_what_for(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    errors: list[Exception] = [
        refused(429, RATE, **{"retry-after-ms": "700"}),
        refused(503, {}),
    ]
    with provider.get_tracer("test").start_as_current_span("chat") as span:
        async for attempt in attempts(span, ModelRate(RateLimits())):
            with attempt:
                if attempt.number <= len(errors):
                    raise errors[attempt.number - 1]
    (chat,) = exporter.get_finished_spans()
    names = [event.name for event in chat.events]
    # A wait that the service asked for is one for a limit of its own.
    assert names == ["retry", "witness.grant", "attempt", "retry", "attempt"]
    grant: Any = chat.events[1].attributes
    assert grant["witness.grant.waited_for"] == " service"
    assert grant["witness.grant.wait_ms"] >= 700
    pauses = [event for event in chat.events if event.name != "witness.grant"]
    reasons = []
    for retry, attempt_event in zip(pauses[::2], pauses[1::2], strict=True):
        attributes: Any = retry.attributes
        reasons.append(attributes[semconv.WAIT_REASON])
        paused = (attempt_event.timestamp - retry.timestamp) / 1e9
        assert paused >= attributes[semconv.WAIT_S] - 0.01
        assert "openai" in attributes[semconv.ERROR_TYPE]
    assert reasons == ["rate_limit", "failure"]
    first: Any = chat.events[0].attributes
    assert first[semconv.WAIT_S] >= 0.7

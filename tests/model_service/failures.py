"""What goes wrong with a request: refusals whatever its form is, and broken answers.

A `Failure` says what, a `Failing` also whose requests and when.
"""

import time
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from math import ceil
from typing import Any, Final

ANY_AGENT: Final = "*"


class Failure(StrEnum):
    """What goes wrong."""

    RATE_SECONDS = "429, Retry-After in seconds"
    RATE_DATE = "429, Retry-After as a date"
    RATE_MS = "429, retry-after-ms"
    RATE_RESET = "429, x-ratelimit-reset-requests"
    RATE_BARE = "429 without a word on when"
    RATE_BODY = "429, when to come again in the body"
    """Gemini's RetryInfo, under words that speak of a quota (gemini-cli #14811)."""
    OVERLOADED = "529"
    SERVER_ERROR = "500"
    BAD_GATEWAY = "502 with HTML"
    TOO_LARGE = "413 tokens a minute"
    """Groq: more tokens in one request than the tier has in a minute (continue #10218)."""
    QUOTA = "429 insufficient_quota"
    BALANCE = "402"
    CONTEXT = "400 context length"
    UNKNOWN_MODEL = "404 model"
    WRONG_KEY = "401"
    NO_ACCESS = "403 model"
    REGION = "403 region"

    HTML = "HTML with 200"
    NULLS = "nothing but data: null"
    EMPTY_BODY = "200 without a body"
    ERROR_WITH_200 = "200 with an error"
    """Proxies that lose the status (Fastllm-proxy #28, swiftide #1149)."""
    CUT = "connection cut"
    HALF = "ends without a sign that it is whole"
    LENGTH = "finish_reason length"
    ERROR_IN_STREAM = "error inside a 200 stream"
    """OpenRouter: an object with `error` and no choices (OmniRoute #8210, jp #978)."""
    EMPTY = "empty answer"
    PLAIN_TEXT = "ends in plain text"
    """A proxy's own words after a lost connection, and a clean end (agenc-core #2492)."""


RATES: Final = frozenset(
    {
        Failure.RATE_SECONDS,
        Failure.RATE_DATE,
        Failure.RATE_MS,
        Failure.RATE_RESET,
        Failure.RATE_BODY,
    }
)
"""The rate limits that say when to come again; a request before that is refused too."""

BROKEN: Final = frozenset(
    {
        Failure.CUT,
        Failure.HALF,
        Failure.LENGTH,
        Failure.ERROR_IN_STREAM,
        Failure.EMPTY,
        Failure.PLAIN_TEXT,
    }
)
"""Failures of an answer that has begun, and costs."""


@dataclass(frozen=True, slots=True)
class Failing:
    """A failure of one agent's requests (`*` for any), from its `call`-th on, `times` times.

    `wait_s` is when a rate limit says to come again. `limit` is the most characters that a prompt
    may have for `CONTEXT` and `TOO_LARGE`; a shorter prompt is served.
    """

    failure: Failure
    agent: str = ANY_AGENT
    call: int = 1
    times: int | None = 1
    wait_s: float = 0.2
    limit: int = 0

    def meets(self, agent: str, call: int) -> bool:
        """Whether it meets the agent's request of this number, counted from 1."""
        if self.agent not in (ANY_AGENT, agent) or call < self.call:
            return False
        return self.times is None or call < self.call + self.times


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer that is no completion."""

    status: int
    body: Any
    headers: dict[str, str]
    content_type: str = "application/json"


def reply(failing: Failing, model: str, key: str) -> Reply:
    """The answer of a failure that is not `BROKEN`."""
    headers: dict[str, str] = {}
    match failing.failure:
        case Failure.RATE_SECONDS:
            headers = {"Retry-After": f"{failing.wait_s:g}"}
        case Failure.RATE_DATE:
            headers = {"Retry-After": formatdate(ceil(time.time() + failing.wait_s), usegmt=True)}
        case Failure.RATE_MS:
            headers = {"retry-after-ms": f"{failing.wait_s * 1000:.0f}"}
        case Failure.RATE_RESET:
            headers = {
                "x-ratelimit-limit-requests": "10",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": f"{failing.wait_s * 1000:.0f}ms",
            }
        case Failure.HTML:
            page = "<!DOCTYPE html><html><body><h1>Sign in to the network</h1></body></html>"
            return Reply(200, page, headers, "text/html")
        case Failure.RATE_BODY:
            return Reply(429, [_retry_info(failing.wait_s)], headers)
        case Failure.BAD_GATEWAY:
            page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
            return Reply(502, page, headers, "text/html")
        case Failure.EMPTY_BODY:
            return Reply(200, "", headers, "text/event-stream")
        case Failure.ERROR_WITH_200:
            words = "Upstream error from Nvidia: ResourceExhausted: Worker limit reached"
            return Reply(200, {"error": {"message": words, "code": 502}}, headers)
        case Failure.NULLS:
            return Reply(200, "data: null\n\ndata: [DONE]\n\n", headers, "text/event-stream")
        case _:
            pass
    status, kind, code, words = _ERRORS[failing.failure]
    message = words.format(model=model, key=key, wait=failing.wait_s, limit=failing.limit)
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Reply(status, {"error": error}, headers)


def _retry_info(wait_s: float) -> Any:
    """Gemini's error of a rate limit."""
    words = (
        "You exceeded your current quota, please check your plan and billing details. For more "
        f"information on this error, head to the docs. Please retry in {wait_s:g}s."
    )
    kind = "type.googleapis.com/google.rpc."
    violation = {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}
    details = [
        {"@type": f"{kind}QuotaFailure", "violations": [violation]},
        {"@type": f"{kind}RetryInfo", "retryDelay": f"{wait_s:g}s"},
    ]
    error = {"code": 429, "message": words, "status": "RESOURCE_EXHAUSTED", "details": details}
    return {"error": error}


_RATE = (
    429,
    "requests",
    "rate_limit_exceeded",
    "Rate limit reached for {model} on requests per min (RPM): Limit 10, Used 10, Requested 1. "
    "Please try again in {wait:g}s.",
)
_ERRORS = {
    Failure.RATE_SECONDS: _RATE,
    Failure.RATE_DATE: _RATE,
    Failure.RATE_MS: _RATE,
    Failure.RATE_RESET: _RATE,
    Failure.RATE_BARE: (429, "requests", None, "Too many requests, slow down."),
    Failure.OVERLOADED: (529, "overloaded_error", None, "Overloaded"),
    Failure.SERVER_ERROR: (500, "server_error", None, "The server had an error."),
    Failure.TOO_LARGE: (
        413,
        "tokens",
        "rate_limit_exceeded",
        "Request too large for model `{model}` on tokens per minute (TPM): Limit {limit}, please "
        "reduce your message size and try again.",
    ),
    Failure.QUOTA: (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    Failure.BALANCE: (402, "unknown_error", "invalid_request_error", "Insufficient Balance"),
    Failure.CONTEXT: (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is {limit} characters. However, your messages are "
        "longer. Please reduce the length of the messages.",
    ),
    Failure.UNKNOWN_MODEL: (
        404,
        "invalid_request_error",
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    Failure.WRONG_KEY: (
        401,
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided: {key}. You can find your API key in your account.",
    ),
    Failure.NO_ACCESS: (
        403,
        "invalid_request_error",
        "model_not_found",
        "Project `proj_17` does not have access to model `{model}`.",
    ),
    Failure.REGION: (
        403,
        "request_forbidden",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported",
    ),
}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `requests` in any `window_s` seconds, from all callers together."""

    requests: int
    window_s: float
    failure: Failure = Failure.RATE_SECONDS

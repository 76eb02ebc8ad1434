"""What a service's refusal or failure means, in its own words and with what to do."""

import re
from enum import StrEnum

import httpx2
import openai

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.chat.client import ForeignRedirectError
from trading_graph.graph.chat.rate_limits import LongWait
from trading_graph.graph.chat.refusal import Refusal
from trading_graph.graph.chat.retries import ATTEMPTS, ExceededLimit, exceeded_limit
from trading_graph.graph.errors import (
    ModelError,
    ModelRefusalError,
    ModelUnavailableError,
    QuotaError,
    RateLimitError,
)
from trading_graph.otel.redaction import Redactor


class RefusalCause(StrEnum):
    """Why a service refuses a request."""

    KEY = "key"
    REGION = "region"
    ACCESS = "access"
    BALANCE = "balance"
    RATE = "rate"
    CONTEXT = "context"
    MODEL = "model"
    ADDRESS = "address"
    TOOLS = "tools"
    REQUEST = "request"
    SERVICE = "service"


def where(agent: str, name: str, service: ModelService) -> str:
    """Which agent asked which model where."""
    return f"{agent}: model {name} at {service.base_url or 'the OpenAI API'}"


def refusal_of(error: openai.APIError, redactor: Redactor) -> Refusal:
    """What the service said, without secrets."""
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
    else:
        # An error inside a stream may tell its status.
        code = str(error.body.get("code")) if isinstance(error.body, dict) else ""
        status = int(code) if code.isdecimal() else 0
    return Refusal.of(status, redactor.document(error.body))


_QUOTA = r"quota|balance|billing|credit|payment|insufficient_funds|arrears"
_CONTEXT = (
    r"context[_ ](length|window|size)|maximum context|too many (input )?tokens|prompt is too long"
    r"|too long|exceeds? the (model'?s? )?(maximum|limit)|reduce the length"
)


def cause_of(refusal: Refusal) -> RefusalCause:
    """Why the service refuses, by its status, its code and its words."""
    text = f"{refusal.code} {refusal.words}"

    def said(pattern: str) -> bool:
        return re.search(pattern, text, re.IGNORECASE) is not None

    match refusal.status:
        case 402:
            return RefusalCause.BALANCE
        case 401:
            return RefusalCause.KEY
        case 403:
            if said(r"country|region|territory|location"):
                return RefusalCause.REGION
            if said(_QUOTA):
                return RefusalCause.BALANCE
            return RefusalCause.KEY if said(r"\bkey\b|token|auth") else RefusalCause.ACCESS
        case 413:
            return RefusalCause.CONTEXT
        case 429:
            return RefusalCause.BALANCE if said(_QUOTA) else RefusalCause.RATE
        case 404 | 405:
            return RefusalCause.MODEL if said(r"model|deployment") else RefusalCause.ADDRESS
        case status if status >= 500:
            return RefusalCause.SERVICE
    if said(_CONTEXT):
        return RefusalCause.CONTEXT
    if said(r"\bkey\b.*(not valid|invalid|expired)|(invalid|incorrect).{0,20}\bkey\b"):
        return RefusalCause.KEY
    if said(r"(country|region|location).*not supported"):
        return RefusalCause.REGION
    if said(r"(not support|unsupported|without).*(tool|function)|(tool|function).*not support"):
        return RefusalCause.TOOLS
    if said(r"model.*(not (exist|found)|unknown|invalid)|(unknown|invalid|no such) model"):
        return RefusalCause.MODEL
    return RefusalCause.REQUEST


_MODELS = "TRADING_GRAPH_QUICK_MODEL and TRADING_GRAPH_DEEP_MODEL"
_ADVICE = {
    RefusalCause.KEY: "set OPENAI_API_KEY to a valid key, or run with --offline",
    RefusalCause.REGION: "the service does not serve this country; take another service",
    RefusalCause.ACCESS: f"the key may not use it; set {_MODELS} to models that it may use",
    RefusalCause.BALANCE: "pay in or raise the quota at the service; waiting does not help",
    RefusalCause.RATE: (
        "it said so after all waits too; run it again later, or set "
        "TRADING_GRAPH_REQUESTS_PER_MINUTE to what the service allows"
    ),
    RefusalCause.CONTEXT: "take a model with a larger context, or fewer --analysts",
    RefusalCause.MODEL: f"set {_MODELS} to models that the service has",
    RefusalCause.ADDRESS: (
        "OPENAI_BASE_URL does not lead to chat/completions; give the address that the service's "
        "page names, mostly one that ends in /v1"
    ),
    RefusalCause.TOOLS: "take a model that can call tools",
    RefusalCause.REQUEST: (
        "run trading-graph doctor --model to see what the service takes; TRADING_GRAPH_MODELS can "
        "change what is sent"
    ),
    RefusalCause.SERVICE: "check the service and OPENAI_BASE_URL",
}


_CAUSES: dict[ExceededLimit | None, RefusalCause] = {
    ExceededLimit.QUOTA: RefusalCause.BALANCE,
    ExceededLimit.RATE: RefusalCause.RATE,
}
_KINDS: dict[RefusalCause, type[ModelError]] = {
    RefusalCause.BALANCE: QuotaError,
    RefusalCause.RATE: ModelUnavailableError,
}


def model_error(
    error: Exception, agent: str, name: str, service: ModelService, redactor: Redactor
) -> ModelError:
    """The error of a call that failed for good."""
    place = where(agent, name, service)
    if isinstance(error, LongWait):
        said = error.__cause__
        words = refusal_of(said, redactor).quotation if isinstance(said, openai.APIError) else ""
        refuses = f" answers: “{words}”; it" if words else ""
        return RateLimitError(f"{place}{refuses} {error}")
    if isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
        refusal = refusal_of(error, redactor)
        cause = _CAUSES.get(exceeded_limit(error)) or cause_of(refusal)
        quotation = f": “{refusal.quotation}”" if refusal.quotation else ""
        if 0 < refusal.status < 500:
            kind = _KINDS.get(cause, ModelRefusalError)
            return kind(
                f"{place} refuses the request (HTTP {refusal.status}){quotation}; {_ADVICE[cause]}."
            )
        happened = f"answered HTTP {refusal.status}" if refusal.status else _BROKEN
        return ModelUnavailableError(
            f"{place} {happened} in {ATTEMPTS} attempts{quotation}; "
            f"{_ADVICE[RefusalCause.SERVICE]}."
        )
    return ModelUnavailableError(
        f"{place} {_what_happened(error)} in {ATTEMPTS} attempts; check the service and "
        "OPENAI_BASE_URL."
    )


_BROKEN = "reported an error in the middle of its answer"


def _what_happened(error: Exception) -> str:
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return "did not answer in time"
    if not isinstance(error, openai.APIConnectionError):
        return _BROKEN
    match _cause(error):
        case httpx2.ProxyError():
            return "cannot be reached through the proxy that the environment names"
        case ForeignRedirectError():
            return "redirects to another host, which is not followed,"
        case httpx2.RemoteProtocolError():
            return "answered something that is not HTTP"
        case httpx2.ReadError():
            return "closed the connection before its answer was whole"
        case _:
            return "cannot be reached"


def _cause(error: BaseException) -> BaseException | None:
    """The transport's error below the errors of the client libraries."""
    below = error.__cause__
    while below is not None and not isinstance(below, httpx2.TransportError):
        below = below.__cause__
    return below

"""What a service's refusal or failure means, in one sentence that says what to do."""

import httpx2
import openai

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.chat.retries import ATTEMPTS
from trading_graph.graph.errors import ModelError, ModelRefusalError, ModelUnavailableError


def where(agent: str, name: str, service: ModelService) -> str:
    """Which agent asked which model where."""
    return f"{agent}: model {name} at {service.base_url or 'the OpenAI API'}"


def model_error(error: Exception, agent: str, name: str, service: ModelService) -> ModelError:
    """The error of a call that failed for good."""
    place = where(agent, name, service)
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return ModelRefusalError(
            f"{place} refuses the key (HTTP {error.status_code}); set OPENAI_API_KEY to a valid "
            "key, or run with --offline."
        )
    if isinstance(error, openai.NotFoundError):
        return ModelRefusalError(
            f"{place} does not exist there (HTTP 404); set TRADING_GRAPH_QUICK_MODEL and "
            "TRADING_GRAPH_DEEP_MODEL to models that the service has."
        )
    if isinstance(error, openai.RateLimitError):
        return ModelUnavailableError(
            f"{place} answered 429 (too many requests) {ATTEMPTS} times; wait, or raise the limit."
        )
    if isinstance(error, openai.APIStatusError) and error.status_code < 500:
        return ModelRefusalError(
            f"{place} refuses the request (HTTP {error.status_code}); check that the model can "
            "call tools and stream."
        )
    return ModelUnavailableError(
        f"{place} {_what_happened(error)} in {ATTEMPTS} attempts; check the service and "
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
    """The transport's error below the errors of the client libraries."""
    below = error.__cause__
    while below is not None and not isinstance(below, httpx2.TransportError):
        below = below.__cause__
    return below

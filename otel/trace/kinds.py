"""What a span is: run, dispatcher, agent, LLM call, tool call, retrieval, fetch, HTTP request.

Read from what the span says of itself, in whichever dialect it says it: our own attributes, the
OpenTelemetry conventions for generative AI, OpenInference, OpenLLMetry, LangSmith, and the HTTP
conventions old and new. A span that says nothing is OTHER; its name is never guessed from.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from otel.trace import semconv


class Role(StrEnum):
    """What a span stands for in a graph of agents."""

    RUN = "run"
    DISPATCH = "dispatch"
    JOIN = "join"
    AGENT = "agent"
    LLM = "llm"
    TOOL = "tool"
    RETRIEVAL = "retrieval"
    FETCH = "fetch"
    HTTP = "http"
    OTHER = "other"


_OURS = {"dispatch": Role.DISPATCH, "join": Role.JOIN, "fetch": Role.FETCH}

_GEN_AI = {
    "invoke_workflow": Role.RUN,
    "invoke_agent": Role.AGENT,
    "create_agent": Role.AGENT,
    "chat": Role.LLM,
    "text_completion": Role.LLM,
    "generate_content": Role.LLM,
    "execute_tool": Role.TOOL,
    "embeddings": Role.RETRIEVAL,
    "retrieval": Role.RETRIEVAL,
    "search_memory": Role.RETRIEVAL,
}

_OPENINFERENCE = {
    "AGENT": Role.AGENT,
    "LLM": Role.LLM,
    "TOOL": Role.TOOL,
    "RETRIEVER": Role.RETRIEVAL,
    "EMBEDDING": Role.RETRIEVAL,
    "RERANKER": Role.RETRIEVAL,
}

_OPENLLMETRY = {"workflow": Role.RUN, "agent": Role.AGENT, "tool": Role.TOOL}

_LANGSMITH = {
    "llm": Role.LLM,
    "tool": Role.TOOL,
    "retriever": Role.RETRIEVAL,
    "embedding": Role.RETRIEVAL,
}

_DIALECTS: tuple[tuple[str, Mapping[str, Role]], ...] = (
    (semconv.OPERATION, _OURS),
    (semconv.OPERATION_NAME, _GEN_AI),
    ("openinference.span.kind", _OPENINFERENCE),
    ("traceloop.span.kind", _OPENLLMETRY),
    (semconv.LANGSMITH_SPAN_KIND, _LANGSMITH),
)

_STEPS = (semconv.STEP, "langsmith.metadata.langgraph_step")

_AGENT_NAMES = (
    semconv.AGENT_NAME,
    "agent.name",
    "graph.node.id",
    semconv.NODE,
    "langsmith.metadata.langgraph_node",
)

_LLM_SIGNS = ("llm.request.type", "gen_ai.request.model", "llm.model_name")
_HTTP_SIGNS = ("http.request.method", "http.method")


def agent_name(attributes: Mapping[str, Any]) -> str | None:
    """The name of the agent that a span is of, or None."""
    for key in _AGENT_NAMES:
        said = attributes.get(key)
        if isinstance(said, str) and said:
            return said
    return None


def step(attributes: Mapping[str, Any]) -> int | None:
    """The superstep of LangGraph that a span ran in, or None."""
    for key in _STEPS:
        said = attributes.get(key)
        if isinstance(said, int):
            return said
    return None


def role(attributes: Mapping[str, Any]) -> Role:
    """What a span with these attributes is."""
    for key, meanings in _DIALECTS:
        said = attributes.get(key)
        if isinstance(said, str) and said in meanings:
            return meanings[said]
    if any(sign in attributes for sign in _LLM_SIGNS):
        return Role.LLM
    if any(sign in attributes for sign in _HTTP_SIGNS):
        return Role.HTTP
    return Role.OTHER

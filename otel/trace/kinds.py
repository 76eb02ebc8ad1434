"""What a span is: run, dispatcher, agent, LLM call, tool call, retrieval, fetch, HTTP request.

The role is read from the span's attributes, in any of these dialects: this project's own, the
OpenTelemetry conventions for generative AI, OpenInference, OpenLLMetry, LangSmith, and the old and
the new HTTP conventions. A span without such attributes is OTHER; its name is not used for guesses.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from trading_graph.otel.trace import semconv


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
    PREFETCH = "prefetch"
    INTERRUPTION = "interruption"
    HTTP = "http"
    OTHER = "other"

    # Enum.__hash__ is a Python function, which is slow for a look-up per span.
    __hash__ = str.__hash__


_OURS = {
    "dispatch": Role.DISPATCH,
    "join": Role.JOIN,
    "fetch": Role.FETCH,
    "prefetch": Role.PREFETCH,
    semconv.INTERRUPTION: Role.INTERRUPTION,
}

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
    ("openinference.span.kind", _OPENINFERENCE),
    # Before the conventions: there, OpenLLMetry calls a workflow invoke_agent.
    ("traceloop.span.kind", _OPENLLMETRY),
    (semconv.OPERATION_NAME, _GEN_AI),
    (semconv.LANGSMITH_SPAN_KIND, _LANGSMITH),
)


def _langgraph_keys(ours: str, theirs: str) -> tuple[str, ...]:
    """The keys of a value of LangGraph's metadata: ours, OpenLLMetry's, LangSmith's, its own."""
    return (
        ours,
        f"traceloop.association.properties.{theirs}",
        f"langsmith.metadata.{theirs}",
        theirs,
    )


_NODES = _langgraph_keys(semconv.NODE, "langgraph_node")
_STEPS = _langgraph_keys(semconv.STEP, "langgraph_step")

_STEP_SIGNS = frozenset({*_STEPS, "metadata"})

_AGENT_NAMES = (semconv.AGENT_NAME, "agent.name", "graph.node.id")

_LLM_SIGNS = frozenset({"llm.request.type", "gen_ai.request.model", "llm.model_name"})
_HTTP_SIGNS = frozenset({"http.request.method", "http.method"})


def agent_name(attributes: Mapping[str, Any]) -> str | None:
    """The name of the agent that a span belongs to, or None."""
    for key in _AGENT_NAMES:
        value = attributes.get(key)
        if isinstance(value, str) and value:
            return value
    node = _langgraph_value(attributes, _NODES)
    return node if isinstance(node, str) and node else None


def step(attributes: Mapping[str, Any]) -> int | None:
    """The superstep of LangGraph that a span ran in, or None."""
    if _STEP_SIGNS.isdisjoint(attributes):
        return None  # as for most spans of most traces
    value = _langgraph_value(attributes, _STEPS)
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _langgraph_value(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """A value of LangGraph's metadata, which OpenInference puts into one attribute, as JSON."""
    for key in keys:
        if key in attributes:
            return attributes[key]
    metadata = attributes.get("metadata")
    theirs = keys[-1]
    if isinstance(metadata, str) and theirs in metadata:
        try:
            document = json.loads(metadata)
        except ValueError:
            return None
        return document.get(theirs) if isinstance(document, dict) else None
    return None


def role(attributes: Mapping[str, Any]) -> Role:
    """The role of a span with these attributes."""
    for key, meanings in _DIALECTS:
        if key in attributes:
            value = attributes[key]
            if isinstance(value, str) and value in meanings:
                return meanings[value]
    if not _LLM_SIGNS.isdisjoint(attributes):
        return Role.LLM
    if not _HTTP_SIGNS.isdisjoint(attributes):
        return Role.HTTP
    return Role.OTHER

"""The kinds of span inside a run, one context manager each: names, kinds and attributes.

run > dispatch, invoke_agent > chat, execute_tool > fetch > (HTTP). An agent is a child of the run
and links to the dispatcher that sent it, because the dispatcher has ended by then.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from opentelemetry.trace import Link, Span, SpanContext, SpanKind
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.spans.span import open_span
from trading_graph.otel.trace import semconv


@dataclass(frozen=True, slots=True)
class GraphPlace:
    """The place of a span's work in the graph: node, superstep, task id and attempt."""

    node: str
    step: int
    task_id: str
    attempt: int = 1

    def attributes(self) -> dict[str, AttributeValue]:
        """Return the task as span attributes."""
        return {
            semconv.NODE: self.node,
            semconv.STEP: self.step,
            semconv.TASK_ID: self.task_id,
            semconv.ATTEMPT: self.attempt,
        }


def _graph(task: GraphPlace | None) -> dict[str, AttributeValue]:
    return task.attributes() if task else {}


def _links(*contexts: SpanContext | None) -> list[Link]:
    return [Link(context) for context in contexts if context is not None and context.is_valid]


def dispatch(
    what: str, *, fanout: int, task: GraphPlace | None = None
) -> AbstractContextManager[Span]:
    """Open `dispatch {what}`, which starts `fanout` branches."""
    return open_span(
        f"dispatch {what}",
        attributes={
            semconv.OPERATION: "dispatch",
            semconv.LANGSMITH_SPAN_KIND: "chain",
            semconv.FANOUT_EXPECTED: fanout,
            **_graph(task),
        },
    )


def join(what: str, *, task: GraphPlace | None = None) -> AbstractContextManager[Span]:
    """Open `aggregate {what}`, where branches join."""
    return open_span(
        f"aggregate {what}",
        attributes={
            semconv.OPERATION: "join",
            semconv.LANGSMITH_SPAN_KIND: "chain",
            **_graph(task),
        },
    )


def prefetch(
    what: str,
    *,
    attributes: Mapping[str, AttributeValue] | None = None,
    dispatcher: SpanContext | None = None,
) -> AbstractContextManager[Span]:
    """Open `prefetch {what}`: fetches for branches that have not requested the data yet.

    It links to the dispatcher that started it. Nothing waits for this span, only for the fetches
    below it.
    """
    return open_span(
        f"prefetch {what}",
        attributes={
            semconv.OPERATION: "prefetch",
            semconv.LANGSMITH_SPAN_KIND: "chain",
            **(attributes or {}),
        },
        links=_links(dispatcher),
    )


def agent(
    name: str,
    *,
    dispatcher: SpanContext | None = None,
    provider: str = "openai",
    task: GraphPlace | None = None,
) -> AbstractContextManager[Span]:
    """Open `invoke_agent {name}`, linked to the dispatcher that sent it."""
    return open_span(
        f"{semconv.INVOKE_AGENT} {name}",
        attributes={
            semconv.OPERATION_NAME: semconv.INVOKE_AGENT,
            semconv.PROVIDER_NAME: provider,
            semconv.AGENT_NAME: name,
            semconv.LANGSMITH_SPAN_KIND: "chain",
            **_graph(task),
        },
        links=_links(dispatcher),
    )


def chat(
    model: str, *, agent: str, turn: int, provider: str = "openai"
) -> AbstractContextManager[Span]:
    """Open `chat {model}`: one call of a language model, including its retries."""
    return open_span(
        f"{semconv.CHAT} {model}",
        kind=SpanKind.CLIENT,
        attributes={
            semconv.OPERATION_NAME: semconv.CHAT,
            semconv.PROVIDER_NAME: provider,
            semconv.REQUEST_MODEL: model,
            semconv.REQUEST_STREAM: True,
            semconv.AGENT_NAME: agent,
            semconv.TURN_INDEX: turn,
            semconv.LANGSMITH_SPAN_KIND: "llm",
        },
    )


def tool(name: str, *, call_id: str, args_hash: str, turn: int) -> AbstractContextManager[Span]:
    """Open `execute_tool {name}` for one tool call of an LLM turn."""
    return open_span(
        f"{semconv.EXECUTE_TOOL} {name}",
        attributes={
            semconv.OPERATION_NAME: semconv.EXECUTE_TOOL,
            semconv.TOOL_NAME: name,
            semconv.TOOL_TYPE: "function",
            semconv.TOOL_CALL_ID: call_id,
            semconv.TOOL_ARGS_HASH: args_hash,
            semconv.TURN_INDEX: turn,
            semconv.LANGSMITH_SPAN_KIND: "tool",
        },
    )


def fetch(
    source: str,
    *,
    params: Mapping[str, str] | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> AbstractContextManager[Span]:
    """Open `fetch {source}` around one request, including reading and parsing the body.

    `params` holds what distinguishes this request from others; only its hash is exported.
    """
    identity = json.dumps([source, dict(params or {})], sort_keys=True)
    fetch_attributes: dict[str, AttributeValue] = {
        semconv.OPERATION: "fetch",
        semconv.SOURCE: source,
        semconv.FETCH_KEY: hashlib.sha256(identity.encode()).hexdigest()[:16],
        semconv.LANGSMITH_SPAN_KIND: "retriever",
        **(attributes or {}),
    }
    return open_span(f"fetch {source}", attributes=fetch_attributes)

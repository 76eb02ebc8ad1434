"""OpenLLMetry, Traceloop's conventions, and those of its time before OpenTelemetry's own.

https://www.traceloop.com/docs/openllmetry/contributing/semantic-conventions
"""

from trading_graph.otel.vocabularies.messages import FlatMessages
from trading_graph.otel.vocabularies.values import Attributes, canonical, document
from trading_graph.otel.vocabularies.vocabulary import Role, RoleReader, Vocabulary, by_value

KIND = "traceloop.span.kind"
INPUT = "traceloop.entity.input"
NAME = "traceloop.entity.name"
_KINDS = {
    "workflow": Role.RUN,
    "agent": Role.AGENT,
    "tool": Role.TOOL,
    "task": Role.CHAIN,
}
_REQUESTS = {
    "chat": Role.LLM,
    "completion": Role.LLM,
    "embedding": Role.RETRIEVAL,
    "rerank": Role.RETRIEVAL,
    "unknown": Role.LLM,
}


def _role(attributes: Attributes) -> Role | None:
    kind = attributes[KIND]
    # The path names the entities around this one: a workflow that has one is part of another.
    if kind == "workflow" and attributes.get("traceloop.entity.path"):
        return Role.CHAIN
    return _KINDS.get(kind) if isinstance(kind, str) else None


_KIND_READERS: dict[str, RoleReader] = {KIND: _role}

OPENLLMETRY = Vocabulary(
    kinds=_KIND_READERS,
    signs=by_value("llm.request.type", _REQUESTS),
    tool_names=(NAME,),
    answer_signs=(
        "llm.usage.total_tokens",
        "llm.response.finish_reason",
        "gen_ai.usage.total_tokens",
        "gen_ai.completion.0.role",
        "gen_ai.completion.0.content",
        "gen_ai.completion.0.finish_reason",
        "gen_ai.completion.0.tool_calls.0.name",
    ),
    input_tokens=("llm.usage.prompt_tokens",),
    output_tokens=("llm.usage.completion_tokens",),
    models=("llm.response.model", "llm.request.model"),
    sessions=(
        "traceloop.association.properties.session_id",
        "traceloop.association.properties.thread_id",
        "traceloop.association.properties.conversation_id",
    ),
)

MESSAGES = FlatMessages(
    message="gen_ai.completion.{}.",
    call="tool_calls.{}.",
    name="name",
    signs=("role", "content", "finish_reason", "tool_calls.0.name", "tool_calls.0.id"),
)


def agent_name(attributes: Attributes) -> str | None:
    """The name of an agent, which is that of its entity."""
    name = attributes.get(NAME) if attributes.get(KIND) == "agent" else None
    return name if isinstance(name, str) and name else None


def tool_input(attributes: Attributes) -> tuple[str | None, str | None]:
    """The arguments of a tool and the id of its call; None where they are not recorded.

    The input of a LangChain tool holds what the callback was given: the arguments beside tags and
    metadata, which differ between equal calls.
    """
    if INPUT not in attributes:
        return None, None
    content = document(attributes[INPUT])
    if not isinstance(content, dict) or not ({"inputs", "input_str"} & content.keys()):
        return canonical(attributes[INPUT]), None
    more = content.get("kwargs")
    call_id = more.get("tool_call_id") if isinstance(more, dict) else None
    arguments = canonical(content.get("inputs") or content.get("input_str"))
    return arguments, call_id if isinstance(call_id, str) else None

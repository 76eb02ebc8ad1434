"""OpenInference, Arize's conventions: messages are flat, numbered attributes.

https://github.com/Arize-ai/openinference/tree/main/spec
"""

from trading_graph.otel.vocabularies.messages import FlatMessages
from trading_graph.otel.vocabularies.values import Attributes, document
from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_presence, by_value

_KINDS = {
    "AGENT": Role.AGENT,
    "LLM": Role.LLM,
    "TOOL": Role.TOOL,
    "RETRIEVER": Role.RETRIEVAL,
    "EMBEDDING": Role.RETRIEVAL,
    "RERANKER": Role.RETRIEVAL,
    "CHAIN": Role.CHAIN,
    "GUARDRAIL": Role.CHAIN,
    "EVALUATOR": Role.CHAIN,
    "PROMPT": Role.CHAIN,
    "DECISION": Role.CHAIN,
}

OPENINFERENCE = Vocabulary(
    kinds=by_value("openinference.span.kind", _KINDS),
    signs=by_presence(Role.LLM, "llm.model_name"),
    # The id of a node may be a hash; agents that have a name give it, too.
    agent_names=("agent.name", "graph.node.name", "graph.node.id"),
    tool_names=("tool.name",),
    call_ids=("tool_call.id",),
    # Half of the instrumentors write the tool's schema as its parameters.
    arguments=("input.value", "tool.parameters"),
    answer_signs=(
        "llm.token_count.completion",
        "llm.token_count.prompt",
        "llm.token_count.total",
        "llm.finish_reason",
        "llm.response.model_name",
        "llm.output_messages.0.message.role",
        "llm.output_messages.0.message.content",
        "llm.output_messages.0.message.contents.0.message_content.type",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name",
    ),
    input_tokens=("llm.token_count.prompt",),
    output_tokens=("llm.token_count.completion",),
    models=(
        "llm.response.model_name",
        "llm.model_name",
        "llm.request.model_name",
        "embedding.model_name",
    ),
    first_token_s=("llm.time_to_first_token",),
    sessions=("session.id",),
)

MESSAGES = FlatMessages(
    message="llm.output_messages.{}.message.",
    call="tool_calls.{}.tool_call.",
    name="function.name",
    signs=(
        "role",
        "content",
        "contents.0.message_content.type",
        "tool_calls.0.tool_call.id",
        "tool_calls.0.tool_call.function.name",
        "function_call_name",
    ),
    old_call="function_call_name",
)
OUTPUT = "output.value"


def call_id(attributes: Attributes) -> str | None:
    """The id of a tool's call in its result, where that is a message of LangChain; or None."""
    text = attributes.get(OUTPUT)
    if not isinstance(text, str) or '"tool_call_id"' not in text:
        return None
    message = document(text)
    if isinstance(message, dict) and isinstance(message.get("data"), dict):
        message = message["data"]
    id = message.get("tool_call_id") if isinstance(message, dict) else None
    return id if isinstance(id, str) and id else None

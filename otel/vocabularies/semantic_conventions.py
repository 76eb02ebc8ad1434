"""OpenTelemetry's own conventions: generative AI, MCP, HTTP, databases, messaging and RPC.

Old names of attributes count like those of today.
"""

from trading_graph.otel.vocabularies.values import Attributes, first_whole
from trading_graph.otel.vocabularies.vocabulary import (
    Reader,
    Role,
    Vocabulary,
    by_presence,
    by_value,
)

# https://github.com/open-telemetry/semantic-conventions-genai
_GENAI_OPERATIONS = {
    "invoke_workflow": Role.RUN,
    "invoke_agent": Role.AGENT,
    # To make an agent is not to run one.
    "create_agent": Role.OTHER,
    "plan": Role.CHAIN,
    "chat": Role.LLM,
    "text_completion": Role.LLM,
    "generate_content": Role.LLM,
    "execute_tool": Role.TOOL,
    "embeddings": Role.RETRIEVAL,
    "retrieval": Role.RETRIEVAL,
    "search_memory": Role.RETRIEVAL,
}

GENAI = Vocabulary(
    kinds=by_value("gen_ai.operation.name", _GENAI_OPERATIONS),
    signs=by_presence(Role.LLM, "gen_ai.request.model")
    | by_presence(Role.TOOL, "gen_ai.tool.name", "gen_ai.tool.call.id"),
    agent_names=("gen_ai.agent.name",),
    tool_names=("gen_ai.tool.name",),
    call_ids=("gen_ai.tool.call.id",),
    arguments=("gen_ai.tool.call.arguments",),
    answers=("gen_ai.output.messages", "gen_ai.completion"),
    answer_signs=(
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.completion_tokens",
        "gen_ai.usage.prompt_tokens",
        "gen_ai.response.id",
        "gen_ai.response.model",
        "gen_ai.response.finish_reasons",
        "gen_ai.response.finish_reason",
        "gen_ai.output.messages",
        "gen_ai.completion",
    ),
    input_tokens=("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    output_tokens=("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    models=("gen_ai.response.model", "gen_ai.request.model"),
    first_token_s=("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token"),
    sessions=("gen_ai.conversation.id",),
)

# https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp/
_MCP_METHOD = "mcp.method.name"


def _mcp_role(attributes: Attributes) -> Role:
    # Every other method, such as tools/list, is a plain call of the server.
    return Role.TOOL if attributes[_MCP_METHOD] == "tools/call" else Role.RPC


MCP = Vocabulary(kinds={_MCP_METHOD: _mcp_role}, tool_names=("mcp.tool.name",))

# https://opentelemetry.io/docs/specs/semconv/http/http-spans/
_STATUSES = ("http.response.status_code", "http.status_code")
_RESENDS = ("http.request.resend_count", "http.resend_count")

HTTP = Vocabulary(signs=by_presence(Role.HTTP, "http.request.method", "http.method"))


def _http_status(attributes: Attributes) -> int | None:
    return first_whole(attributes, _STATUSES)


def _resend_count(attributes: Attributes) -> int:
    return max(first_whole(attributes, _RESENDS) or 0, 0)


http_status = Reader(_http_status, _STATUSES, None)
"""The status code of an answer over HTTP, or None."""
resend_count = Reader(_resend_count, _RESENDS, 0)
"""How many times the request was sent before this time; 0 where nothing is said."""

# https://opentelemetry.io/docs/specs/semconv/database/database-spans/
DATABASES = Vocabulary(signs=by_presence(Role.DATABASE, "db.system.name", "db.system"))

# https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
MESSAGING = Vocabulary(signs=by_presence(Role.MESSAGING, "messaging.system"))

# https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/
RPC = Vocabulary(signs=by_presence(Role.RPC, "rpc.system.name", "rpc.system"))

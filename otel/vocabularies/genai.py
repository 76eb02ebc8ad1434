"""OpenTelemetry's conventions for generative AI, of today and as they were.

https://github.com/open-telemetry/semantic-conventions-genai
"""

from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_presence, by_value

_OPERATIONS = {
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
    kinds=by_value("gen_ai.operation.name", _OPERATIONS),
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

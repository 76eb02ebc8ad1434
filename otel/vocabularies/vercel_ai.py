"""The Vercel AI SDK's telemetry, of today and of its third version.

https://ai-sdk.dev/docs/ai-sdk-core/telemetry
"""

from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_value

_AGENTS = ("ai.generateText", "ai.streamText", "ai.generateObject", "ai.streamObject")
_OPERATIONS = {
    **dict.fromkeys(_AGENTS, Role.AGENT),
    **{f"{each}.doGenerate": Role.LLM for each in _AGENTS},
    **{f"{each}.doStream": Role.LLM for each in _AGENTS},
    "ai.toolCall": Role.TOOL,
    **dict.fromkeys(
        ("ai.embed", "ai.embed.doEmbed", "ai.embedMany", "ai.embedMany.doEmbed"), Role.RETRIEVAL
    ),
    **dict.fromkeys(("ai.rerank", "ai.rerank.doRerank"), Role.RETRIEVAL),
}

VERCEL_AI = Vocabulary(
    kinds=by_value("ai.operationId", _OPERATIONS),
    agent_names=("ai.telemetry.functionId",),
    tool_names=("ai.toolCall.name",),
    call_ids=("ai.toolCall.id",),
    arguments=("ai.toolCall.args",),
    answers=(
        "ai.response.toolCalls",
        "ai.result.toolCalls",
        "ai.response.text",
        "ai.result.text",
    ),
    answer_signs=(
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
        "ai.response.id",
        "ai.response.model",
        "ai.response.finishReason",
        "ai.finishReason",
        "ai.response.text",
        "ai.response.toolCalls",
        "ai.response.object",
        "ai.result.text",
        "ai.result.toolCalls",
        "ai.result.object",
    ),
    input_tokens=("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
    output_tokens=("ai.usage.outputTokens", "ai.usage.completionTokens"),
    models=("ai.response.model", "ai.model.id"),
    first_token_ms=("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"),
    sessions=("ai.telemetry.metadata.sessionId",),
)

"""LangSmith's attributes on OpenTelemetry's spans, and the types of its runs.

https://docs.langchain.com/langsmith/trace-with-opentelemetry
"""

from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_value

_KINDS = {
    "llm": Role.LLM,
    "tool": Role.TOOL,
    "retriever": Role.RETRIEVAL,
    "embedding": Role.RETRIEVAL,
    "chain": Role.CHAIN,
    "prompt": Role.CHAIN,
    "parser": Role.CHAIN,
}

LANGSMITH = Vocabulary(
    kinds=by_value("langsmith.span.kind", _KINDS),
    arguments=("gen_ai.prompt",),
    models=("langsmith.metadata.ls_model_name",),
    # The three keys of metadata by which LangSmith groups runs as a thread.
    sessions=(
        "langsmith.metadata.session_id",
        "langsmith.metadata.thread_id",
        "langsmith.metadata.conversation_id",
        "langsmith.trace.session_id",
    ),
)

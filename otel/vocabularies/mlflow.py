"""MLflow's attributes on spans, whose values are JSON where they were not decoded.

https://mlflow.org/docs/latest/genai/concepts/span/
"""

from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_value

_TYPES = {
    "AGENT": Role.AGENT,
    "WORKFLOW": Role.CHAIN,
    "CHAIN": Role.CHAIN,
    "TASK": Role.CHAIN,
    "PARSER": Role.CHAIN,
    "GUARDRAIL": Role.CHAIN,
    "EVALUATOR": Role.CHAIN,
    "LLM": Role.LLM,
    "CHAT_MODEL": Role.LLM,
    "TOOL": Role.TOOL,
    "RETRIEVER": Role.RETRIEVAL,
    "EMBEDDING": Role.RETRIEVAL,
    "RERANKER": Role.RETRIEVAL,
    "MEMORY": Role.RETRIEVAL,
}

MLFLOW = Vocabulary(
    kinds=by_value(
        "mlflow.spanType", {**_TYPES, **{f'"{name}"': role for name, role in _TYPES.items()}}
    ),
    arguments=("mlflow.spanInputs",),
    answers=("mlflow.spanOutputs",),
    answer_signs=("mlflow.spanOutputs", "mlflow.chat.tokenUsage"),
    models=("mlflow.llm.model",),
    sessions=("mlflow.trace.session",),
)

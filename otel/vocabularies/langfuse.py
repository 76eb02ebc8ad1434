"""Langfuse's attributes on OpenTelemetry's spans.

https://langfuse.com/integrations/native/opentelemetry
"""

import json
from datetime import UTC, datetime

from trading_graph.otel.vocabularies.values import Attributes, document, first_whole, whole
from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_presence, by_value

_TYPE = "langfuse.observation.type"
_USAGE = "langfuse.observation.usage_details"
FIRST_TOKEN = "langfuse.observation.completion_start_time"
_MODEL = "langfuse.observation.model.name"

_TYPES = {
    "agent": Role.AGENT,
    "generation": Role.LLM,
    "tool": Role.TOOL,
    "retriever": Role.RETRIEVAL,
    "embedding": Role.RETRIEVAL,
    "chain": Role.CHAIN,
    "guardrail": Role.CHAIN,
    "evaluator": Role.CHAIN,
    "event": Role.OTHER,
}

LANGFUSE = Vocabulary(
    kinds=by_value(_TYPE, _TYPES),
    # What has a model is a generation; `span` is what an observation is that nobody called else.
    signs=by_presence(Role.LLM, _MODEL) | by_value(_TYPE, {"span": Role.CHAIN}),
    arguments=("langfuse.observation.input",),
    answers=("langfuse.observation.output",),
    answer_signs=(_USAGE, FIRST_TOKEN, "langfuse.observation.output"),
    models=(_MODEL,),
    sessions=("langfuse.session.id", "langfuse.trace.metadata.langfuse_session_id"),
)

_INPUT_NAMES = ("input", "input_tokens", "prompt_tokens", "promptTokens")
_OUTPUT_NAMES = ("output", "output_tokens", "completion_tokens", "completionTokens")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def tokens(attributes: Attributes) -> tuple[int | None, int | None]:
    """The tokens that went in and came out."""
    details = document(attributes.get(_USAGE))
    if not isinstance(details, dict):
        return None, None
    return first_whole(details, _INPUT_NAMES), first_whole(details, _OUTPUT_NAMES)


def first_token_ns(attributes: Attributes) -> int | None:
    """When the first token came, in nanoseconds since the epoch.

    The value is a time in ISO 8601, which some versions of the SDK encode as JSON, or nanoseconds.
    """
    value = attributes.get(FIRST_TOKEN)
    if isinstance(value, str):
        try:
            text = json.loads(value) if value.startswith('"') else value
            time = datetime.fromisoformat(text)
        except (TypeError, ValueError):
            return None
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        since = time - _EPOCH
        return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
    return whole(value)

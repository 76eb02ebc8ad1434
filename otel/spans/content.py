"""Whether prompts, answers, tool arguments and results may be put on spans: only when asked.

The standard variable says so (OpenTelemetry's semantic conventions for generative AI); content goes
on spans, never on events of its own.
"""

import os

_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ON_SPANS = frozenset({"span_only", "span_and_event", "true"})


def content_is_captured() -> bool:
    """Whether the standard variable asks for content on spans."""
    return os.environ.get(_VARIABLE, "").strip().lower() in _ON_SPANS

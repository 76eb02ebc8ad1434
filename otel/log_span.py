"""Which span a log line belongs to."""

import logging

from opentelemetry import trace
from opentelemetry.trace import SpanContext


def span_of(record: logging.LogRecord) -> SpanContext:
    """The span that a line names in its extra `span`, else the one that is current."""
    named: SpanContext | None = getattr(record, "span", None)
    return named or trace.get_current_span().get_span_context()

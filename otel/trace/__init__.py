"""A trace as columns, and what can be measured on it. Pure: imports nothing else of ours."""

from trading_graph.otel.trace.builder import TraceBuilder
from trading_graph.otel.trace.profile import Profile, profile
from trading_graph.otel.trace.table import (
    ERROR,
    ORPHAN,
    ROOT,
    Attributes,
    Event,
    Link,
    SpanRecord,
    SpanTable,
    SpanValues,
    events_not_kept,
    finite,
)
from trading_graph.otel.trace.trace import Span, Spans, Trace, row_of, spans_at, table_of

__all__ = [
    "ERROR",
    "ORPHAN",
    "ROOT",
    "Attributes",
    "Event",
    "Link",
    "Profile",
    "Span",
    "SpanRecord",
    "SpanTable",
    "SpanValues",
    "Spans",
    "Trace",
    "TraceBuilder",
    "events_not_kept",
    "finite",
    "profile",
    "row_of",
    "spans_at",
    "table_of",
]

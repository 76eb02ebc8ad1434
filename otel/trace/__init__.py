"""A trace as columns, and what can be measured on it. Imports only `vocabularies`."""

from trading_graph.otel.trace.builder import TraceBuilder
from trading_graph.otel.trace.evidence import Evidence
from trading_graph.otel.trace.profile import Profile, profile
from trading_graph.otel.trace.records import (
    NO_RESOURCE,
    Event,
    Link,
    SpanRecord,
    SpanValues,
    no_events,
)
from trading_graph.otel.trace.table import ERROR, ORPHAN, ROOT, Attributes, SpanTable
from trading_graph.otel.trace.trace import Span, Spans, Trace, row_of, spans_at, table_of
from trading_graph.otel.vocabularies import finite

__all__ = [
    "ERROR",
    "NO_RESOURCE",
    "ORPHAN",
    "ROOT",
    "Attributes",
    "Event",
    "Evidence",
    "Link",
    "Profile",
    "Span",
    "SpanRecord",
    "SpanTable",
    "SpanValues",
    "Spans",
    "Trace",
    "TraceBuilder",
    "finite",
    "no_events",
    "profile",
    "row_of",
    "spans_at",
    "table_of",
]

"""A trace as columns, and what can be measured on it. Pure: imports nothing else of ours."""

from trading_graph.otel.trace.builder import TraceBuilder
from trading_graph.otel.trace.model import (
    ERROR,
    ORPHAN,
    ROOT,
    Attributes,
    Event,
    Link,
    Span,
    SpanRecord,
    Trace,
    events_not_kept,
    finite,
)
from trading_graph.otel.trace.profile import Profile, profile

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
    "Trace",
    "TraceBuilder",
    "events_not_kept",
    "finite",
    "profile",
]

"""A span's identity as text, so that it can travel in the graph's state and survive a
checkpoint.
"""

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


def traceparent(span: Span) -> str:
    """The W3C traceparent of a span; empty for a span that is not recorded."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    return carrier.get("traceparent", "")


def span_context(traceparent: str) -> SpanContext | None:
    """The span that a traceparent names, if it names one."""
    context = _PROPAGATOR.extract({"traceparent": traceparent})
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None

"""Work that a run sets off and does not wait for: a trace of its own, which leads back to the run.

As a part of the run's trace it would tear a hole there: it may end after the run has.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.spans.ids import Identity, uuid7
from trading_graph.otel.spans.recording import Recording, active_provider, context_with
from trading_graph.otel.spans.span import open_span
from trading_graph.otel.trace import semconv


@contextmanager
def detached(name: str, *, attributes: Mapping[str, AttributeValue]) -> Iterator[Span]:
    """Open the root of a new trace, linked to the current span and exported like it.

    What is opened inside belongs to the new trace; the run counts none of it.
    """
    asker = trace.get_current_span().get_span_context()
    trace_id = uuid7()
    recording = Recording(trace_id.hex, active_provider())
    token = otel_context.attach(context_with(recording, Context()))
    try:
        with open_span(
            name,
            attributes={semconv.OPERATION: semconv.DETACHED, **attributes},
            links=[Link(asker)] if asker.is_valid else [],
            identity=Identity(trace_id.int),
        ) as span:
            yield span
    finally:
        otel_context.detach(token)

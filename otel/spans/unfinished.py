"""What a killed process left of a run, and how the next process makes it whole.

Nobody has ended the spans that were open. They are opened again with their own ids and starts and
ended at the last sign of life, and the time until now becomes a span of its own: every reader can
tell work from death.
"""

import time
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Status, StatusCode

from trading_graph.otel.spans.ids import Identity, dictated
from trading_graph.otel.spans.recording import Recording, context_with
from trading_graph.otel.trace import semconv


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that its process did not end: its own span, the open spans below that, the ended ones.

    Parents stand before their children. `last_sign_ns` is when the process was last known to live.
    """

    root: ReadableSpan
    open: tuple[ReadableSpan, ...]
    ended: tuple[ReadableSpan, ...]
    last_sign_ns: int

    @property
    def identity(self) -> Identity:
        """The ids of the run's span."""
        context = _context(self.root)
        return Identity(context.trace_id, context.span_id)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str((self.root.attributes or {}).get(semconv.RUN_ID))

    def parent_context(self) -> Context:
        """The context that the run's span was opened in: the caller's, or an empty one."""
        return _below(self.root.parent, Context())


def close_open_spans(unfinished: Unfinished, recording: Recording) -> None:
    """End what was left open, and note the time in which nobody worked, below the current span."""
    last = unfinished.last_sign_ns
    for each in unfinished.open:
        span = _reopened(each, recording)
        span.set_attribute(semconv.ERROR_TYPE, semconv.KILLED)
        span.set_status(Status(StatusCode.ERROR, semconv.KILLED))
        span.end(max(last, each.start_time or 0))
    now = time.time_ns()
    recording.tracer.start_span(
        semconv.INTERRUPTION,
        attributes={
            semconv.OPERATION: semconv.INTERRUPTION,
            semconv.LANGSMITH_SPAN_KIND: "chain",
            semconv.KILLED_SPANS: len(unfinished.open),
        },
        start_time=min(last, now),
    ).end(now)


def _reopened(span: ReadableSpan, recording: Recording) -> Span:
    context, scope = _context(span), span.instrumentation_scope
    tracer = (
        recording.provider.get_tracer(scope.name, scope.version, scope.schema_url)
        if scope
        else recording.tracer
    )
    with dictated(Identity(context.trace_id, context.span_id)):
        return tracer.start_span(
            span.name,
            context=_below(span.parent, context_with(recording, Context())),
            kind=span.kind,
            attributes=span.attributes,
            links=span.links,
            start_time=span.start_time,
        )


def _below(parent: SpanContext | None, context: Context) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(parent), context) if parent else context


def _context(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None  # what was recorded has one
    return context

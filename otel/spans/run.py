"""The spans at the top of a trace: a run, a run that another process continues, detached work.

Without a caller, a run's trace id is a UUIDv7 and serves as the run id too, in the same 32
hexadecimal digits. Under a caller's trace the run id is a UUIDv7 of its own, since two runs may
share one trace.

When a process is killed, nobody ends its open spans. The process that continues the run opens them
again with their own ids and starts, and ends them at the last sign of life. The time until now
becomes a span of its own, so that every reader can tell work from an interruption. A run that
failed is continued in the same way: its own span is opened once more.
"""

import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.spans.recording import (
    Recording,
    SpanListener,
    active_provider,
    context_with,
)
from trading_graph.otel.spans.span import Identity, dictate_ids, open_span, uuid7
from trading_graph.otel.trace import semconv

# By their modules, which are so read before any event loop runs.
from trading_graph.otel.witness.installation import recording as witnessing
from trading_graph.otel.witness.spans import declarations

_CALLER_VARIABLES = {"TRACEPARENT": "traceparent", "TRACESTATE": "tracestate"}


def caller_context(environment: Mapping[str, str]) -> Context:
    """Return the trace context of the program that started this process; empty if there is none.

    OpenTelemetry names the variables (TRACEPARENT, TRACESTATE); the values are W3C Trace Context. A
    malformed value starts a new trace, as W3C Trace Context requires, and never fails a run.
    """
    carrier = {
        header: environment[variable]
        for variable, header in _CALLER_VARIABLES.items()
        if variable in environment
    }
    return TraceContextTextMapPropagator().extract(carrier, Context())


@dataclass(frozen=True, slots=True)
class RunSpan:
    """A run that is being recorded: its ids, its span and its recording.

    `trace_id` is None where nothing is recorded (the SDK is disabled, or the trace is not sampled):
    the run works, and there is nothing to judge.
    """

    run_id: str
    trace_id: str | None
    span: Span
    recording: Recording


@dataclass(frozen=True, slots=True)
class UnfinishedRun:
    """The spans of a run whose process was killed, or that failed; parents before their children.

    `root` is the run's own span. `last_sign_ns` is when the process was last known to be alive.
    `failure` is the error.type that ended the run; empty where its process was killed.
    """

    root: ReadableSpan
    open_spans: tuple[ReadableSpan, ...]
    ended_spans: tuple[ReadableSpan, ...]
    last_sign_ns: int
    failure: str = ""

    @property
    def identity(self) -> Identity:
        """The ids of the run's span."""
        context = _context_of(self.root)
        return Identity(context.trace_id, context.span_id)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str((self.root.attributes or {}).get(semconv.RUN_ID))

    def parent_context(self) -> Context:
        """Return the context that the run's span was opened in: the caller's, or an empty one."""
        return _context_below(self.root.parent, Context())


@asynccontextmanager
async def run(
    name: str,
    *,
    provider: trace.TracerProvider,
    attributes: Mapping[str, AttributeValue],
    parent: Context | None = None,
    run_id: uuid.UUID | None = None,
    unfinished: UnfinishedRun | None = None,
    listeners: Sequence[SpanListener] = (),
    links: Sequence[Link] = (),
    start_ns: int | None = None,
) -> AsyncIterator[RunSpan]:
    """Open `invoke_workflow {name}` with the witness, and declare the span count at the end.

    `parent` is the caller's context (from a `traceparent`); the default is the current context, and
    without a span in it the run starts a new trace. `run_id` is an id that was handed out before
    the run began. `unfinished` is what another process left of this run: its span is opened again
    with the same id and parent. `listeners` see every span, including this one. `links` of the
    run's span are added to those that it had. `start_ns` is when a run began that is recorded
    afterwards.
    """
    context = parent if parent is not None else otel_context.get_current()
    run_uuid = run_id or uuid7()
    identity: Identity | None = _identity_of(run_uuid)
    if unfinished is not None:
        context, identity = unfinished.parent_context(), unfinished.identity
        run_uuid = uuid.UUID(unfinished.run_id)
    elif trace.get_current_span(context).get_span_context().is_valid:
        identity = None
    spans_before = len(unfinished.ended_spans) if unfinished else 0
    recording = Recording(run_uuid.hex, provider, spans_before)
    for listener in listeners:
        recording.listen(listener)
    token = otel_context.attach(context_with(recording, context))
    try:
        with (
            witnessing(),
            open_span(
                f"{semconv.INVOKE_WORKFLOW} {name}",
                identity=identity,
                start_ns=unfinished.root.start_time if unfinished else start_ns,
                links=[*(unfinished.root.links if unfinished else ()), *links],
                attributes={
                    semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
                    semconv.WORKFLOW_NAME: name,
                    semconv.AGENT_NAME: name,
                    semconv.RUN_ID: recording.run_id,
                    semconv.CONVERSATION_ID: recording.run_id,
                    semconv.SEMCONV_VERSION: semconv.GENAI_VERSION,
                    semconv.LANGSMITH_SPAN_KIND: "chain",
                    semconv.LANGSMITH_TRACE_NAME: name,
                    semconv.LANGSMITH_SESSION_ID: recording.run_id,
                    **declarations(),
                    **attributes,
                    **({semconv.RESUMED: True} if unfinished else {}),
                },
            ) as span,
        ):
            is_recorded = span.is_recording()
            trace_id = f"{span.get_span_context().trace_id:032x}" if is_recorded else None
            if unfinished is not None:
                _close_open_spans(unfinished, recording)
            try:
                yield RunSpan(recording.run_id, trace_id, span, recording)
            finally:
                # No span of the run may start after this line: a reader checks the trace
                # against this count.
                span.set_attribute(semconv.SPANS_STARTED, recording.spans_started)
    finally:
        otel_context.detach(token)


def run_context(run_id: str) -> SpanContext:
    """Return the context of the span of a run with a trace of its own, before it starts or after.

    `run_id` is the id in hexadecimal digits, which is the trace id too.
    """
    identity = _identity_of(uuid.UUID(run_id))
    assert identity.span_id is not None
    return SpanContext(
        identity.trace_id,
        identity.span_id,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _identity_of(run_id: uuid.UUID) -> Identity:
    """The ids of a run's span in a trace of its own.

    The span id follows from the run id, so that another trace can link to a run that has not begun.
    """
    return Identity(run_id.int, run_id.int % 2**64 or 1)


@contextmanager
def detached_span(name: str, *, attributes: Mapping[str, AttributeValue]) -> Iterator[Span]:
    """Open the root of a new trace for work that the run starts and does not wait for.

    It is linked to the current span and exported like it. Spans inside belong to the new trace, and
    the run does not count them: this work may end after the run, and would leave a hole in its
    trace.
    """
    origin = trace.get_current_span().get_span_context()
    trace_id = uuid7()
    recording = Recording(trace_id.hex, active_provider())
    token = otel_context.attach(context_with(recording, Context()))
    try:
        with open_span(
            name,
            attributes={semconv.OPERATION: semconv.DETACHED, **attributes},
            links=[Link(origin)] if origin.is_valid else [],
            identity=Identity(trace_id.int),
        ) as span:
            yield span
    finally:
        otel_context.detach(token)


def _close_open_spans(unfinished: UnfinishedRun, recording: Recording) -> None:
    """End the open spans, and record the interruption as a span below the current one."""
    last = unfinished.last_sign_ns
    for each in unfinished.open_spans:
        span = _reopen(each, recording)
        span.set_attribute(semconv.ERROR_TYPE, semconv.KILLED)
        span.set_status(Status(StatusCode.ERROR, semconv.KILLED))
        span.end(max(last, each.start_time or 0))
    now = time.time_ns()
    recording.tracer.start_span(
        semconv.INTERRUPTION,
        attributes={
            semconv.OPERATION: semconv.INTERRUPTION,
            semconv.LANGSMITH_SPAN_KIND: "chain",
            semconv.KILLED_SPANS: len(unfinished.open_spans),
            **({semconv.RUN_FAILURE: unfinished.failure} if unfinished.failure else {}),
        },
        start_time=min(last, now),
    ).end(now)


def _reopen(span: ReadableSpan, recording: Recording) -> Span:
    context, scope = _context_of(span), span.instrumentation_scope
    tracer = (
        recording.provider.get_tracer(scope.name, scope.version, scope.schema_url)
        if scope
        else recording.tracer
    )
    with dictate_ids(Identity(context.trace_id, context.span_id)):
        reopened = tracer.start_span(
            span.name,
            context=_context_below(span.parent, context_with(recording, Context())),
            kind=span.kind,
            attributes=span.attributes,
            links=span.links,
            start_time=span.start_time,
        )
    for event in span.events:
        reopened.add_event(event.name, event.attributes, event.timestamp)
    return reopened


def _context_below(parent: SpanContext | None, context: Context) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(parent), context) if parent else context


def _context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None  # a recorded span always has one
    return context

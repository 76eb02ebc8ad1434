"""The run's own span: the root that declares how many spans belong to it.

Without a caller the trace id is a UUIDv7 and is the run id too, in the same 32 hexadecimal digits.
Under a caller's trace the run id is a UUIDv7 of its own, since two runs may share a trace.
"""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.spans.ids import Identity, uuid7
from trading_graph.otel.spans.recording import Recording, SpanListener, context_with
from trading_graph.otel.spans.span import open_span
from trading_graph.otel.spans.unfinished import Unfinished, close_open_spans
from trading_graph.otel.trace import semconv


@dataclass(frozen=True, slots=True)
class RunSpan:
    """A run that is being recorded: its ids, its span and its recording.

    `trace_id` is None where nothing is recorded (SDK disabled, or the trace is not sampled): the
    run works, and there is nothing to judge.
    """

    run_id: str
    trace_id: str | None
    span: Span
    recording: Recording


@asynccontextmanager
async def run(
    name: str,
    *,
    provider: trace.TracerProvider,
    attributes: Mapping[str, AttributeValue],
    parent: Context | None = None,
    run_id: uuid.UUID | None = None,
    unfinished: Unfinished | None = None,
    listeners: Sequence[SpanListener] = (),
) -> AsyncIterator[RunSpan]:
    """Open `invoke_workflow {name}`, watch the event loop, and declare the span count at the end.

    `parent` is the caller's context (from a `traceparent`); without one the current context is
    used, and without a span in that the run starts a trace of its own. `run_id` is an id that was
    given away before the run began. `unfinished` is what another process left of this run: its span
    is opened again, and its id and its parent stand. `listeners` see every span, this one too.
    """
    context = parent if parent is not None else otel_context.get_current()
    run_uuid = run_id or uuid7()
    identity: Identity | None = Identity(run_uuid.int)
    if unfinished is not None:
        context, identity = unfinished.parent_context(), unfinished.identity
        run_uuid = uuid.UUID(unfinished.run_id)
    elif trace.get_current_span(context).get_span_context().is_valid:
        identity = None
    started = len(unfinished.ended) if unfinished else 0
    recording = Recording(run_uuid.hex, provider, started)
    for listener in listeners:
        recording.listen(listener)
    token = otel_context.attach(context_with(recording, context))
    try:
        async with recording.lag.watching():
            with open_span(
                f"{semconv.INVOKE_WORKFLOW} {name}",
                identity=identity,
                start_ns=unfinished.root.start_time if unfinished else None,
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
                    **attributes,
                    **({semconv.RESUMED: True} if unfinished else {}),
                },
            ) as span:
                recorded = span.is_recording()
                trace_id = f"{span.get_span_context().trace_id:032x}" if recorded else None
                if unfinished is not None:
                    close_open_spans(unfinished, recording)
                try:
                    yield RunSpan(recording.run_id, trace_id, span, recording)
                finally:
                    # After this line nothing of the run may start: the count is the claim
                    # that a reader holds the trace against.
                    span.set_attribute(semconv.SPANS_STARTED, recording.spans_started)
    finally:
        otel_context.detach(token)

"""The recording of a run: it counts the run's spans and shows them to listeners.

A `Recording` travels in the OpenTelemetry context, so every span that starts below the run belongs
to it, including the spans of other libraries. `RecordingProcessor` is the span processor that
counts them and hands them to the listeners: the run's file, the live display, the log.
"""

import contextlib
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Protocol, runtime_checkable

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.util.types import AttributeValue

_KEY = otel_context.create_key("trading-graph-recording")

_INSTRUMENTATION = "trading-graph"


class SpanListener(Protocol):
    """Sees the spans of a run as they start and end; called from any thread."""

    def on_start(self, span: ReadableSpan) -> None:
        """Handle the start of a span."""

    def on_end(self, span: ReadableSpan) -> None:
        """Handle the end of a span."""


@runtime_checkable
class EventListener(Protocol):
    """A listener that sees announced events of open spans too; called from any thread."""

    def on_event(
        self, span: trace.Span, name: str, attributes: Mapping[str, AttributeValue]
    ) -> None:
        """Handle an event."""


class Recording:
    """The spans of one run, counted exactly as they start.

    `spans_before` is the number of spans that an earlier process of the run started and ended.
    """

    def __init__(self, run_id: str, provider: trace.TracerProvider, spans_before: int = 0) -> None:
        self.run_id = run_id
        self.provider = provider
        self.tracer = provider.get_tracer(_INSTRUMENTATION)
        self.listeners: tuple[SpanListener, ...] = ()
        self._spans_started = spans_before
        self._lock = Lock()

    @property
    def spans_started(self) -> int:
        """How many spans of the run have started so far, including the run's own."""
        return self._spans_started

    def listen(self, listener: SpanListener) -> None:
        """Show the listener every span that starts or ends from now on."""
        self.listeners = (*self.listeners, listener)

    def silence(self) -> None:
        """Remove all listeners."""
        self.listeners = ()

    def count(self) -> None:
        """Count one more span; spans start on several threads."""
        with self._lock:
            self._spans_started += 1


def active_recording() -> Recording | None:
    """Return the recording that the current context belongs to, or None."""
    recording = otel_context.get_value(_KEY)
    return recording if isinstance(recording, Recording) else None


def announce(span: trace.Span, name: str, attributes: Mapping[str, AttributeValue]) -> None:
    """Add an event to an open span, and show it to the listeners now: people wait for its end."""
    span.add_event(name, attributes)
    recording = active_recording()
    for listener in recording.listeners if recording is not None else ():
        if isinstance(listener, EventListener):
            with contextlib.suppress(Exception):  # telemetry never breaks a run
                listener.on_event(span, name, attributes)


def context_with(recording: Recording, context: Context | None = None) -> Context:
    """Return a context in which spans belong to the recording."""
    return otel_context.set_value(_KEY, recording, context)


def active_provider() -> trace.TracerProvider:
    """Return the tracer provider of the active recording, or the global one."""
    recording = active_recording()
    return recording.provider if recording else trace.get_tracer_provider()


def active_tracer() -> trace.Tracer:
    """Return the tracer of the active recording, or one of the global provider."""
    recording = active_recording()
    return recording.tracer if recording else trace.get_tracer(_INSTRUMENTATION)


class RecordingProcessor(SpanProcessor):
    """Counts every span in the recording that it belongs to, and calls the listeners."""

    def __init__(self, on_fault: Callable[[BaseException], None]) -> None:
        self._on_fault = on_fault
        self._open: dict[int, Recording] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Count the span and show its start to the listeners."""
        recording = otel_context.get_value(_KEY, parent_context)
        if not isinstance(recording, Recording):
            return
        recording.count()
        self._open[span.get_span_context().span_id] = recording
        for listener in recording.listeners:
            try:
                listener.on_start(span)
            except Exception as error:  # telemetry never breaks a run
                self._on_fault(error)

    def on_end(self, span: ReadableSpan) -> None:
        """Show the end of the span to the listeners."""
        span_context = span.get_span_context()
        recording = self._open.pop(span_context.span_id, None) if span_context else None
        for listener in recording.listeners if recording is not None else ():
            try:
                listener.on_end(span)
            except Exception as error:  # telemetry never breaks a run
                self._on_fault(error)

"""One run's recording: its spans counted and observed from the first to the last.

A `Recording` travels in the OpenTelemetry context, so every span that is started below the run
belongs to it, also those of foreign instrumentation. `RecordingProcessor` is the span processor
that counts them and hands them to whoever listens: the run's file, the live display, the log.
"""

from collections.abc import Callable
from threading import Lock
from typing import Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from trading_graph.otel.spans.loop_lag import LoopLagMonitor

_KEY = otel_context.create_key("trading-graph-recording")

_INSTRUMENTATION = "trading-graph"


class SpanListener(Protocol):
    """Someone who wants to see a run's spans as they start and end, from any thread."""

    def on_start(self, span: ReadableSpan) -> None:
        """A span of the run has started."""

    def on_end(self, span: ReadableSpan) -> None:
        """A span of the run has ended."""


class Recording:
    """The spans of one run, counted exactly as they start.

    `started` is how many of them an earlier process has started and ended.
    """

    def __init__(self, run_id: str, provider: trace.TracerProvider, started: int = 0) -> None:
        self.run_id = run_id
        self.provider = provider
        self.tracer = provider.get_tracer(_INSTRUMENTATION)
        self.listeners: tuple[SpanListener, ...] = ()
        self.lag = LoopLagMonitor()
        self._started = started
        self._lock = Lock()

    @property
    def spans_started(self) -> int:
        """How many spans of the run have started so far, the run's own span included."""
        return self._started

    def listen(self, listener: SpanListener) -> None:
        """Tell the listener of every span that starts or ends from now on."""
        self.listeners = (*self.listeners, listener)

    def silence(self) -> None:
        """Tell nobody of what starts or ends from now on."""
        self.listeners = ()

    def count(self) -> None:
        """Count one started span; spans start on several threads."""
        with self._lock:
            self._started += 1


def active_recording() -> Recording | None:
    """The recording that the current context belongs to, if any."""
    found = otel_context.get_value(_KEY)
    return found if isinstance(found, Recording) else None


def context_with(recording: Recording, context: Context | None = None) -> Context:
    """A context in which spans belong to the recording."""
    return otel_context.set_value(_KEY, recording, context)


def active_provider() -> trace.TracerProvider:
    """The tracer provider of the active recording, else the global one."""
    recording = active_recording()
    return recording.provider if recording else trace.get_tracer_provider()


def active_tracer() -> trace.Tracer:
    """The tracer of the active recording, else one of the global provider."""
    recording = active_recording()
    return recording.tracer if recording else trace.get_tracer(_INSTRUMENTATION)


class RecordingProcessor(SpanProcessor):
    """Counts every span into the recording it belongs to, and tells the recording's listeners."""

    def __init__(self, on_fault: Callable[[BaseException], None]) -> None:
        self._on_fault = on_fault
        self._open: dict[int, Recording] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Count the span and announce its start."""
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
        """Announce the span's end."""
        span_context = span.get_span_context()
        recording = self._open.pop(span_context.span_id, None) if span_context else None
        for listener in recording.listeners if recording is not None else ():
            try:
                listener.on_end(span)
            except Exception as error:  # telemetry never breaks a run
                self._on_fault(error)

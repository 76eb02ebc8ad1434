"""The span context manager that everything else opens spans with.

Three things differ from the SDK's own `start_as_current_span`, each because the SDK's way makes a
trace lie: cancelled work is marked (the SDK leaves it unset, which looks successful), control flow
of a graph engine is no error, and the span says how late the event loop was and how much CPU was
used.
"""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from threading import get_ident
from types import TracebackType

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.spans.content import content_is_captured
from trading_graph.otel.spans.ids import Identity, dictated
from trading_graph.otel.spans.recording import active_recording, active_tracer
from trading_graph.otel.trace import semconv

_control_flow: tuple[type[BaseException], ...] = ()
_own_errors: tuple[type[BaseException], ...] = ()

CANCELLED = "cancelled"
TIMEOUT = "timeout"


def register_control_flow(*types: type[BaseException]) -> None:
    """Name exceptions that a graph engine raises as control flow, so that spans do not call them
    errors.
    """
    global _control_flow
    _control_flow = tuple(dict.fromkeys((*_control_flow, *types)))


def register_own_errors(*types: type[BaseException]) -> None:
    """Name exceptions whose messages the program words itself, so that these are put on spans.

    A message of another library may quote a prompt, an answer, or what a server said.
    """
    global _own_errors
    _own_errors = tuple(dict.fromkeys((*_own_errors, *types)))


def error_type(error: BaseException) -> str:
    """The value of `error.type`: `cancelled`, `timeout`, or the exception's qualified class
    name.
    """
    if isinstance(error, asyncio.CancelledError):
        return CANCELLED
    if isinstance(error, TimeoutError):
        return TIMEOUT
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def record_error(span: Span, error: BaseException) -> None:
    """Mark a span as failed by an exception, with its first line where that may be told.

    The stack trace is not recorded: it holds values of the program, and those do not leave it.
    """
    kind = error_type(error)
    span.set_attribute(semconv.ERROR_TYPE, kind)
    if kind == CANCELLED:
        span.set_status(Status(StatusCode.ERROR, CANCELLED))
        return
    told = isinstance(error, _own_errors) or content_is_captured()
    message = str(error).partition("\n")[0][:200] if told else ""
    described = {"exception.message": message} if message else {}
    span.add_event("exception", {"exception.type": kind, **described})
    span.set_status(Status(StatusCode.ERROR, message or kind))


def open_span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
    links: Sequence[Link] = (),
    identity: Identity | None = None,
    start_ns: int | None = None,
) -> AbstractContextManager[Span]:
    """Open a span, make it current, and end it with an honest status; exceptions pass through.

    `identity` and `start_ns` are for a span that is to have those ids (with `UUIDv7IdGenerator`)
    and that start.
    """
    return _OpenSpan(name, kind, attributes, links, identity, start_ns)


class _OpenSpan(AbstractContextManager[Span]):
    """A class, not a generator: that takes half the time, and every call of a run pays it."""

    __slots__ = ("_asked", "_cpu_ns", "_modules", "_recording", "_span", "_token", "_wall_ns")

    def __init__(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
        links: Sequence[Link],
        identity: Identity | None,
        start_ns: int | None,
    ) -> None:
        self._asked = name, kind, attributes, links, identity, start_ns

    def __enter__(self) -> Span:
        name, kind, attributes, links, identity, start_ns = self._asked
        self._recording = recording = active_recording()
        start = (recording.tracer if recording else active_tracer()).start_span
        if identity is None:  # as nearly always
            span = start(name, kind=kind, attributes=attributes, links=links)
        else:
            with dictated(identity):
                span = start(
                    name, kind=kind, attributes=attributes, links=links, start_time=start_ns
                )
        self._span = span
        self._token = otel_context.attach(trace.set_span_in_context(span))
        self._wall_ns, self._cpu_ns = time.time_ns(), time.process_time_ns()
        self._modules = len(sys.modules)
        return span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        span = self._span
        try:
            if isinstance(error, _control_flow):
                span.add_event("control_flow", {"type": type(error).__name__})
            elif error is not None:
                record_error(span, error)
        finally:
            if span.is_recording():
                self._measure(span)
            otel_context.detach(self._token)
            span.end()

    def _measure(self, span: Span) -> None:
        """Set what was measured since the start: one by one, which is quicker than at once."""
        now = time.time_ns()
        cpu, wall = time.process_time_ns() - self._cpu_ns, max(now - self._wall_ns, 1)
        span.set_attribute(semconv.CPU_OVER_WALL, round(cpu / wall, 3))
        span.set_attribute(semconv.THREAD_ID, get_ident())
        if imported := len(sys.modules) - self._modules:
            span.set_attribute(semconv.IMPORTS, imported)
        recording = self._recording
        lag_ms = recording.lag.max_ms(self._wall_ns, now) if recording else None
        if lag_ms is not None:
            span.set_attribute(semconv.LOOP_LAG_MAX_MS, round(lag_ms, 1))

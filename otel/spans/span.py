"""Opening a span: its ids and its status.

Everything else opens spans with `open_span`. It differs from the SDK's `start_as_current_span` in
two ways, because the SDK's way makes a trace lie: cancelled work is marked (the SDK leaves it
unset, which looks like success), and the control flow of a graph engine is not an error. What times
cannot show is recorded by the witness.
"""

import asyncio
import os
import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.spans.recording import active_tracer
from trading_graph.otel.trace import semconv

CANCELLED = "cancelled"
TIMEOUT = "timeout"

_CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CONTENT_ON_SPANS = frozenset({"span_only", "span_and_event", "true"})

_control_flow: tuple[type[BaseException], ...] = ()
_own_errors: tuple[type[BaseException], ...] = ()

# The SDK's generator draws from the global `random`: a program that seeds it twice gets the same
# ids twice. This generator is our own; the operating system is asked for a seed only once.
_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)


def uuid7() -> uuid.UUID:
    """Make a time-ordered UUID of version 7 from the wall clock and 74 random bits.

    It is a valid W3C trace id whose low bits are random (RFC 9562, section 5.7), and LangSmith
    wants it as a run id: one id names a run in every backend.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (2**48 - 1)) << 80
    value |= 0x7 << 76 | _random.getrandbits(12) << 64
    value |= 0b10 << 62 | _random.getrandbits(62)
    return uuid.UUID(int=value)


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids that a new span must have.

    The trace id applies to a root only. `span_id` is None where any id will do.
    """

    trace_id: int
    span_id: int | None = None


_next_identity: ContextVar[Identity | None] = ContextVar("next_span_identity", default=None)


@contextmanager
def dictate_ids(identity: Identity) -> Iterator[None]:
    """Give these ids to the span that starts inside the block; needs `UUIDv7IdGenerator`."""
    token = _next_identity.set(identity)
    try:
        yield
    finally:
        _next_identity.reset(token)


class UUIDv7IdGenerator(IdGenerator):
    """Makes UUIDv7 trace ids and random span ids."""

    def generate_trace_id(self) -> int:
        """Return a 128-bit trace id that is a UUIDv7: the dictated one, or a new one."""
        identity = _next_identity.get()
        return identity.trace_id if identity else uuid7().int

    def generate_span_id(self) -> int:
        """Return a non-zero 64-bit span id: the dictated one, or a new one."""
        identity = _next_identity.get()
        return (identity.span_id if identity else None) or _random.getrandbits(64) or 1

    def is_trace_id_random(self) -> bool:
        """Return True: the low 56 bits are random, as W3C Trace Context level 2 requires."""
        return True


def content_is_captured() -> bool:
    """Return whether prompts, answers, tool arguments and results may be put on spans.

    The standard variable of OpenTelemetry's conventions for generative AI decides. Content goes on
    spans, never on events of its own.
    """
    return os.environ.get(_CONTENT_VARIABLE, "").strip().lower() in _CONTENT_ON_SPANS


def register_control_flow(*types: type[BaseException]) -> None:
    """Register exceptions that a graph engine raises as control flow; spans do not call them
    errors.
    """
    global _control_flow
    _control_flow = tuple(dict.fromkeys((*_control_flow, *types)))


def register_own_errors(*types: type[BaseException]) -> None:
    """Register exceptions whose messages the program writes itself, so that spans may hold them.

    The message of another library may quote a prompt, an answer, or the reply of a server.
    """
    global _own_errors
    _own_errors = tuple(dict.fromkeys((*_own_errors, *types)))


def error_type(error: BaseException) -> str:
    """Return the value of `error.type`: `cancelled`, `timeout`, or the qualified class name."""
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
    """Mark a span as failed by an exception, with the first line of its message if that is safe.

    The stack trace is not recorded: it holds values of the program, which must not leave it.
    """
    kind = error_type(error)
    span.set_attribute(semconv.ERROR_TYPE, kind)
    if kind == CANCELLED:
        span.set_status(Status(StatusCode.ERROR, CANCELLED))
        return
    message_is_safe = isinstance(error, _own_errors) or content_is_captured()
    message = str(error).partition("\n")[0][:200] if message_is_safe else ""
    details = {"exception.message": message} if message else {}
    span.add_event("exception", {"exception.type": kind, **details})
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

    `identity` and `start_ns` fix the span's ids (with `UUIDv7IdGenerator`) and its start.
    """
    return _SpanScope(name, kind, attributes, links, identity, start_ns)


def record_past_span(
    name: str,
    context: SpanContext,
    start_ns: int,
    end_ns: int,
    *,
    attributes: Mapping[str, AttributeValue],
    links: Sequence[Link] = (),
    events: Sequence[Event] = (),
    error: str = "",
) -> None:
    """Record a span whose work is over, below the current one and under the ids of `context`.

    `error` is what its status says, empty for success. Needs `UUIDv7IdGenerator`.
    """
    with dictate_ids(Identity(context.trace_id, context.span_id)):
        span = active_tracer().start_span(
            name, attributes=attributes, links=links, start_time=start_ns
        )
    for event in events:
        span.add_event(event.name, event.attributes, event.timestamp)
    if error:
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(max(start_ns, end_ns))


class _SpanScope(AbstractContextManager[Span]):
    """A class rather than a generator: it takes half the time, and every call of a run pays it."""

    __slots__ = ("_arguments", "_span", "_token")

    def __init__(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
        links: Sequence[Link],
        identity: Identity | None,
        start_ns: int | None,
    ) -> None:
        self._arguments = name, kind, attributes, links, identity, start_ns

    def __enter__(self) -> Span:
        name, kind, attributes, links, identity, start_ns = self._arguments
        start = active_tracer().start_span
        if identity is None:  # the usual case
            span = start(name, kind=kind, attributes=attributes, links=links)
        else:
            with dictate_ids(identity):
                span = start(
                    name, kind=kind, attributes=attributes, links=links, start_time=start_ns
                )
        self._span = span
        self._token = otel_context.attach(trace.set_span_in_context(span))
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
            otel_context.detach(self._token)
            span.end()

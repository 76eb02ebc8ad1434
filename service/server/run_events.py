"""What happens in a run, as numbered events that a watcher can follow and resume.

They are made from the run's spans as these start and end, so watchers see what is recorded. Events
are stored in batches and sent only after that: a number that a watcher has seen stands for the same
event after a crash.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, get_args

import msgspec
from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.report.documents.document import Document, encode
from trading_graph.otel.trace import semconv
from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.store import RunState, Store

_LOG = logging.getLogger(__name__)

BATCH_S = 0.2
"""Length of a batch of events: people see no difference, and 200 watchers cost less."""

IDLE_S = 15.0
"""Time without an event until a comment is sent, so that no proxy closes the stream."""

_COMMENT = b": still here\n\n"


class RunEvent(Document, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Something that happened in a run; times are seconds since the epoch."""


class SpanStarted(RunEvent, frozen=True, kw_only=True):
    """A span of the run has started; nothing in it is content."""

    start: float
    span_id: str
    parent_id: str | None = None
    name: str
    agent: str | None = None
    tool: str | None = None
    model: str | None = None


class SpanEnded(SpanStarted, frozen=True, kw_only=True):
    """A span of the run has ended; `error` is the type of what ended it before its time."""

    end: float
    error: str | None = None
    cache: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class RunStarted(SpanStarted, frozen=True, tag="run.started"):
    """The run has started."""


class RunEnded(SpanEnded, frozen=True, tag="run.ended"):
    """The agents have done their work; the verdict follows."""


class AgentStarted(SpanStarted, frozen=True, tag="agent.started"):
    """An agent has started."""


class AgentEnded(SpanEnded, frozen=True, tag="agent.ended"):
    """An agent has ended."""


class LlmStarted(SpanStarted, frozen=True, tag="llm.started"):
    """An LLM call has started."""


class LlmEnded(SpanEnded, frozen=True, tag="llm.ended"):
    """An LLM call has ended."""


class ToolStarted(SpanStarted, frozen=True, tag="tool.started"):
    """A tool call has started."""


class ToolEnded(SpanEnded, frozen=True, tag="tool.ended"):
    """A tool call has ended."""


class InterruptionStarted(SpanStarted, frozen=True, tag="interruption.started"):
    """A process that resumes the run notes since when none has worked on it."""


class InterruptionEnded(SpanEnded, frozen=True, tag="interruption.ended"):
    """No process worked on the run from its start to its end."""


class VerdictReached(RunEvent, frozen=True, kw_only=True, tag="verdict"):
    """The verdict on the run; `passed` is null where its trace could not be judged."""

    passed: bool | None


class RunFinished(RunEvent, frozen=True, kw_only=True, tag="finished"):
    """The run is over: how, when, and with what."""

    state: RunState
    at: float
    error: str | None = None
    seconds: float | None = None
    action: str | None = None
    confidence: float | None = None
    degraded: bool | None = None
    passed: bool | None = None
    langsmith: str | None = None


AnyRunEvent = (
    RunStarted
    | RunEnded
    | AgentStarted
    | AgentEnded
    | LlmStarted
    | LlmEnded
    | ToolStarted
    | ToolEnded
    | InterruptionStarted
    | InterruptionEnded
    | VerdictReached
    | RunFinished
)
RUN_EVENTS: tuple[type[RunEvent], ...] = get_args(AnyRunEvent)

_SPAN_EVENTS: Mapping[str, tuple[type[SpanStarted], type[SpanEnded]]] = {
    semconv.INVOKE_WORKFLOW: (RunStarted, RunEnded),
    semconv.INVOKE_AGENT: (AgentStarted, AgentEnded),
    semconv.CHAT: (LlmStarted, LlmEnded),
    semconv.EXECUTE_TOOL: (ToolStarted, ToolEnded),
    semconv.INTERRUPTION: (InterruptionStarted, InterruptionEnded),
}
"""The events of a span, by its operation."""

_DECODER: msgspec.json.Decoder[AnyRunEvent] = msgspec.json.Decoder(AnyRunEvent)


def read_event(body: str) -> AnyRunEvent:
    """A stored event."""
    return _DECODER.decode(body)


Publish = Callable[[str, object], None]
"""Sends an event to all who follow the feed: its topic, and its data."""


class RunEvents:
    """The events of one run that is queued or running; a `SpanListener`."""

    def __init__(
        self,
        run_id: str,
        store: Store,
        stored: Sequence[tuple[int, str]] = (),
        publish: Publish | None = None,
    ) -> None:
        self._run_id = run_id
        self._store = store
        self._publish = publish
        self._sent: list[tuple[int, bytes]] = [
            (number, sse(number, body)) for number, body in stored
        ]
        self._new: list[str] = []
        self._grown = asyncio.Event()
        self._closing = asyncio.Event()
        self._ended = False
        self._writer: asyncio.Task[None] | None = None

    @property
    def last(self) -> int:
        """The number of the newest event that was sent, 0 before the first."""
        return self._sent[-1][0] if self._sent else 0

    def on_start(self, span: ReadableSpan) -> None:
        """Note that the run, an agent, a call or a tool has started."""
        if events := _events_of(span):
            self.add(events[0](**_as_it_started(span)))

    def on_end(self, span: ReadableSpan) -> None:
        """Note that it has ended, and how."""
        if events := _events_of(span):
            self.add(events[1](**_as_it_started(span), **_as_it_ended(span)))

    def add(self, event: RunEvent) -> None:
        """Note an event; spans end on several threads, and appending is safe on each."""
        self._new.append(encode(event, indent=None))

    def start(self) -> None:
        """Store and send events from now on, until `end`."""
        self._writer = asyncio.create_task(self._write_on(), name=f"events of {self._run_id}")

    async def end(self) -> None:
        """Store and send the last events; `follow` then ends."""
        self._closing.set()
        if self._writer is not None:
            await self._writer
        await self._tell()
        self._ended = True
        self._grown.set()

    async def follow(self, after: int) -> AsyncIterator[bytes]:
        """The events after a number, as server-sent events, until the run has ended."""
        at = 0
        while at < len(self._sent) and self._sent[at][0] <= after:
            at += 1
        while True:
            grown = self._grown
            if at < len(self._sent):
                chunk = b"".join(body for _, body in self._sent[at:])
                at = len(self._sent)
                yield chunk
            elif self._ended:
                return
            else:
                try:
                    async with asyncio.timeout(IDLE_S):
                        await grown.wait()
                except TimeoutError:
                    yield _COMMENT

    async def _write_on(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BATCH_S):
                    await self._closing.wait()
            await self._tell()

    async def _tell(self) -> None:
        bodies, self._new = self._new, []
        if not bodies:
            return
        first = self.last + 1
        try:
            await self._store.add_events(self._run_id, first, bodies)
        except StoreUnavailableError as error:  # watchers of this moment still see them
            _LOG.error("Events of run %s are sent but not stored: %s", self._run_id, error)
        self._sent += [(first + at, sse(first + at, body)) for at, body in enumerate(bodies)]
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        if self._publish is not None:
            # Encoded before: their JSON is taken as it is.
            events = [msgspec.Raw(body.encode()) for body in bodies]
            news = {"run_id": self._run_id, "first": first, "events": events}
            self._publish("run_events", news)


def sse(number: int, body: str) -> bytes:
    """One server-sent event; a body is one line of JSON."""
    return f"id: {number}\ndata: {body}\n\n".encode()


def _events_of(span: ReadableSpan) -> tuple[type[SpanStarted], type[SpanEnded]] | None:
    attributes = span.attributes or {}
    operation = attributes.get(semconv.OPERATION) or attributes.get(semconv.OPERATION_NAME)
    return _SPAN_EVENTS.get(str(operation))


def recorded_events(spans: Sequence[ReadableSpan]) -> list[str]:
    """The events of recorded spans, in the order in which they happened."""
    moments: list[tuple[int, bool, SpanStarted]] = []
    for span in spans:
        if events := _events_of(span):
            began = _as_it_started(span)
            moments.append((span.start_time or 0, False, events[0](**began)))
            if span.end_time is not None:
                moments.append((span.end_time, True, events[1](**began, **_as_it_ended(span))))
    moments.sort(key=lambda moment: moment[:2])
    return [encode(event, indent=None) for _, _, event in moments]


def _as_it_ended(span: ReadableSpan) -> dict[str, Any]:
    attributes: Mapping[str, Any] = span.attributes or {}
    return {
        "end": (span.end_time or 0) / 1e9,
        "error": attributes.get(semconv.ERROR_TYPE),
        "cache": attributes.get(semconv.CACHE),
        "input_tokens": attributes.get(semconv.USAGE_INPUT_TOKENS),
        "output_tokens": attributes.get(semconv.USAGE_OUTPUT_TOKENS),
    }


def _as_it_started(span: ReadableSpan) -> dict[str, Any]:
    attributes, context = span.attributes or {}, span.get_span_context()
    assert context is not None
    return {
        "start": (span.start_time or 0) / 1e9,
        "span_id": f"{context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "name": span.name,
        "agent": attributes.get(semconv.AGENT_NAME),
        "tool": attributes.get(semconv.TOOL_NAME),
        "model": attributes.get(semconv.REQUEST_MODEL),
    }

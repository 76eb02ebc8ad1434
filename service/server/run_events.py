"""What happens in a run, as numbered events that a watcher can follow and resume.

They are the run's log read aloud: an event is told when its span is in the log, so a number that a
watcher has seen stands for the same event after a crash. What follows the log, the verdict and the
end, is in the record of the run.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

import msgspec
from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.errors import TraceError
from trading_graph.otel.files.unfinished_run import read_log
from trading_graph.otel.report.documents.document import Document, encode
from trading_graph.otel.trace import semconv
from trading_graph.service.run.folder import RunFolder
from trading_graph.service.store import RunState, StoredRun

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

Publish = Callable[[str, object], None]
"""Sends an event to all who follow the feed: its topic, and its data."""


class RunEvents:
    """The events of one run, after those that were told; none follow where it has `ended`."""

    def __init__(
        self,
        run_id: str,
        told: Sequence[RunEvent] = (),
        publish: Publish | None = None,
        *,
        ended: bool = False,
    ) -> None:
        self._run_id = run_id
        self._publish = publish
        self._told: list[RunEvent] = []
        self._sent: list[bytes] = []
        self._new = deque(told)
        self._tell_new()
        self._grown = asyncio.Event()
        self._closing = asyncio.Event()
        self._ended = ended
        self._writer: asyncio.Task[None] | None = None

    @property
    def told(self) -> Sequence[RunEvent]:
        """The events that were told; the first has number 1."""
        return self._told

    def on_write(self, spans: Sequence[ReadableSpan]) -> None:
        """Note what is in the log now; it is written on a thread of its own."""
        self._new.extend(span_events(spans))

    def add(self, event: RunEvent) -> None:
        """Note an event."""
        self._new.append(event)

    def start(self) -> None:
        """Send events from now on, until `end`."""
        self._writer = asyncio.create_task(self._write_on(), name=f"events of {self._run_id}")

    async def end(self) -> None:
        """Send the last events; `follow` then ends."""
        self._closing.set()
        if self._writer is not None:
            await self._writer
        self._tell()
        self._ended = True
        self._grown.set()

    async def follow(self, after: int) -> AsyncIterator[bytes]:
        """The events after a number, as server-sent events, until the run has ended."""
        at = after
        while True:
            grown = self._grown
            if at < len(self._sent):
                chunk = b"".join(self._sent[at:])
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
            self._tell()

    def _tell(self) -> None:
        first = len(self._told) + 1
        if not (bodies := self._tell_new()):
            return
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        if self._publish is not None:
            # Encoded before: their JSON is taken as it is.
            events = [msgspec.Raw(body.encode()) for body in bodies]
            news = {"run_id": self._run_id, "first": first, "events": events}
            self._publish("run_events", news)

    def _tell_new(self) -> list[str]:
        """Number the new events, and return their JSON."""
        bodies = []
        while self._new:
            self._told.append(self._new.popleft())
            bodies.append(encode(self._told[-1], indent=None))
            self._sent.append(f"id: {len(self._told)}\ndata: {bodies[-1]}\n\n".encode())
        return bodies


def read_events(run: StoredRun, folder: RunFolder, *, is_own: bool = True) -> list[RunEvent]:
    """The events of a run that is not under way here, from its log and its record. Blocks.

    A run of the service, its own, is judged as soon as it is over, if it recorded anything.
    """
    log: Sequence[ReadableSpan] = ()
    try:
        log = read_log(folder.trace)
    except FileNotFoundError:
        pass  # it never began
    except (OSError, TraceError) as error:
        _LOG.warning("What happened in run %s cannot be read: %s", run.id, error)
    events: list[RunEvent] = [*span_events(log)]
    if run.state.final:
        if is_own and any(span.end_time for span in log):
            events.append(VerdictReached(passed=run.passed))
        events.append(end_event(run))
    return events


def end_event(run: StoredRun) -> RunFinished:
    """The end of a run that is over, as its record has it."""
    degraded = None if run.action is None else run.degraded
    return RunFinished.of(run, at=run.ended or run.created, degraded=degraded)


def span_events(log: Sequence[ReadableSpan]) -> Iterator[SpanStarted]:
    """The events of what a log says, in its order."""
    for span in log:
        attributes = span.attributes or {}
        operation = attributes.get(semconv.OPERATION) or attributes.get(semconv.OPERATION_NAME)
        started, ended = _SPAN_EVENTS.get(str(operation), (None, None))
        if ended is not None and span.end_time:
            yield ended(**_as_it_started(span), **_as_it_ended(span))
        elif started is not None:
            yield started(**_as_it_started(span))


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

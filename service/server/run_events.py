"""What happens in a run, as numbered events that a watcher can follow and resume.

They are made from the run's spans as these start and end, so watchers see what is recorded. Events
are stored in batches and sent only after that: a number that a watcher has seen stands for the same
event after a crash.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.trace import semconv
from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.store import Store

_LOG = logging.getLogger(__name__)

BATCH_S = 0.2
"""Length of a batch of events: people see no difference, and 200 watchers cost less."""

IDLE_S = 15.0
"""Time without an event until a comment is sent, so that no proxy closes the stream."""

_COMMENT = b": still here\n\n"

_KINDS = {
    semconv.INVOKE_WORKFLOW: "run",
    semconv.INVOKE_AGENT: "agent",
    semconv.CHAT: "llm",
    semconv.EXECUTE_TOOL: "tool",
}
_ATTRIBUTES = {
    semconv.AGENT_NAME: "agent",
    semconv.TOOL_NAME: "tool",
    semconv.REQUEST_MODEL: "model",
    semconv.ERROR_TYPE: "error",
    semconv.CACHE: "cache",
    semconv.USAGE_INPUT_TOKENS: "input_tokens",
    semconv.USAGE_OUTPUT_TOKENS: "output_tokens",
}
"""The attributes of a span that are sent, with their names there; none holds content."""


class RunEvents:
    """The events of one run that is queued or running; a `SpanListener`."""

    def __init__(self, run_id: str, store: Store, stored: Sequence[tuple[int, str]] = ()) -> None:
        self._run_id = run_id
        self._store = store
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
        if kind := _kind(span):
            self.add(f"{kind}.started", {"start": (span.start_time or 0) / 1e9, **_about(span)})

    def on_end(self, span: ReadableSpan) -> None:
        """Note that it has ended, and how."""
        if kind := _kind(span):
            times = {"start": (span.start_time or 0) / 1e9, "end": (span.end_time or 0) / 1e9}
            self.add(f"{kind}.ended", {**times, **_about(span)})

    def add(self, kind: str, data: dict[str, Any]) -> None:
        """Note an event; spans end on several threads, and appending is safe on each."""
        self._new.append(json.dumps({"type": kind, **data}))

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


def sse(number: int, body: str) -> bytes:
    """One server-sent event; a body is one line of JSON."""
    return f"id: {number}\ndata: {body}\n\n".encode()


def _kind(span: ReadableSpan) -> str | None:
    attributes = span.attributes or {}
    if attributes.get(semconv.OPERATION) == semconv.INTERRUPTION:
        return "interruption"
    return _KINDS.get(str(attributes.get(semconv.OPERATION_NAME)))


def _about(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    attributes = span.attributes or {}
    return {
        "span_id": f"{context.span_id:016x}" if context else None,
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "name": span.name,
        **{
            name_there: attributes[key]
            for key, name_there in _ATTRIBUTES.items()
            if key in attributes
        },
    }

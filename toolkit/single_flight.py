"""One load for all who ask for the same thing at the same moment.

A load runs in a task of its own. A cancelled caller harms nobody else: other agents may want the
same symbol. When the last caller leaves, the load is cancelled. An error of the load reaches all
who wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext

from trading_graph.toolkit.errors import SourceUnavailableError


@dataclass(slots=True, eq=False)
class Flight:
    """A running load: its task, the number of waiters, and the spans around it.

    `leader` is the span of the call that started the load, `work` the span that the load opened.
    Where the load itself asked the cache, `inner` is the work of the last load it waited for.
    """

    leader: SpanContext
    work: SpanContext | None = None
    inner: SpanContext | None = None
    waiters: int = 0
    task: "asyncio.Task[Any]" = field(init=False)


_running: ContextVar[Flight | None] = ContextVar("trading-graph-flight", default=None)


def note_load_span() -> None:
    """Note the current span as the one that does the running load's work, for others to link to.

    The pool calls this before each request. The first call in a load counts. Outside a load, or
    where the load opened no span of its own, this does nothing.
    """
    flight = _running.get()
    if flight is None or flight.work is not None:
        return
    current = trace.get_current_span().get_span_context()
    if current.is_valid and current != flight.leader:
        flight.work = current


class Flights:
    """The loads that run now, by key."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, Flight] = {}

    def find(self, key: Hashable) -> Flight | None:
        """The load of `key`, if there is one."""
        flight = self._by_key.get(key)
        if flight is not None and flight is _running.get():
            raise RuntimeError(f"The load of {key} waits for itself: its loader asks for its key.")
        return flight

    def start(
        self, key: Hashable, load: Callable[[], Awaitable[Any]], *, owned: bool = False
    ) -> Flight:
        """Start the load of `key` in a task that copies the caller's context, spans included.

        An `owned` load continues when nobody waits for it: its starter has to end it.
        """
        flight = Flight(trace.get_current_span().get_span_context())
        flight.waiters += owned
        self._by_key[key] = flight
        flight.task = asyncio.create_task(self._fly(key, flight, load))
        flight.task.add_done_callback(_note_exception)
        return flight

    async def wait(self, key: Hashable, flight: Flight) -> Any:
        """The load's result or its error; the last waiter to be cancelled cancels the load."""
        task = flight.task
        flight.waiters += 1
        try:
            # Unlike `await task`, this neither cancels the task with us nor raises its error.
            await asyncio.wait((task,))
        finally:
            flight.waiters -= 1
            if not flight.waiters and not task.done():
                self._land(key, flight)  # later callers start a new load
                task.cancel()
                await asyncio.wait((task,))  # none of its spans may outlive ours
        outer = _running.get()
        if outer is not None:
            outer.inner = flight.work or flight.inner
        if task.cancelled():
            raise SourceUnavailableError(
                f"The load of {key} was cancelled from outside: ask again."
            )
        return task.result()

    async def _fly(self, key: Hashable, flight: Flight, load: Callable[[], Awaitable[Any]]) -> Any:
        _running.set(flight)  # in the task's own context
        try:
            return await load()
        finally:
            self._land(key, flight)

    def _land(self, key: Hashable, flight: Flight) -> None:
        if self._by_key.get(key) is flight:
            del self._by_key[key]


def link_to_load(span: Span, flight: Flight) -> None:
    """Link a caller's span to the load's, unless the caller started the load itself.

    Call this after the wait: a caller of the same turn of the loop joins before the load begins.
    """
    work = flight.work or flight.inner
    if work is not None and flight.leader != span.get_span_context():
        span.add_link(work)


def _note_exception(task: "asyncio.Task[Any]") -> None:
    """Retrieve an error that nobody waits for, or asyncio reports that nobody retrieved it."""
    if not task.cancelled():
        task.exception()

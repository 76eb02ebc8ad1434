"""One load for all who ask for the same thing at the same moment.

A load runs in a task of its own. Whoever stops waiting harms nobody else: a cancelled agent must
not fail the others that want the same symbol. When the last one leaves, the load is cancelled.
What the load raises reaches all who wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext

from trading_graph.toolkit.errors import SourceUnavailable


@dataclass(slots=True, eq=False)
class Flight:
    """A load on its way: its loop and task, how many wait for it, and the spans around it.

    `leader` is the span of the call that started the load, `work` the one that the load opened;
    `inner` is the work of the last load that this one waited for, where it asked the cache itself.
    """

    loop: asyncio.AbstractEventLoop
    leader: SpanContext
    work: SpanContext | None = None
    inner: SpanContext | None = None
    waiters: int = 0
    task: "asyncio.Task[Any]" = field(init=False)


_running: ContextVar[Flight | None] = ContextVar("trading-graph-flight", default=None)


def note_load_span() -> None:
    """Name the current span as the one that does the running load's work, for others to link to.

    The pool calls this before each request. The first call in a load counts; outside a load, or
    where the load opened no span of its own, there is nothing to note.
    """
    flight = _running.get()
    if flight is None or flight.work is not None:
        return
    current = trace.get_current_span().get_span_context()
    if current.is_valid and current != flight.leader:
        flight.work = current


class Flights:
    """The loads that run at this moment, by key.

    Loads belong to the event loop that started them; another loop never joins them, it starts anew.
    """

    def __init__(self) -> None:
        self._by_key: dict[Hashable, Flight] = {}

    def running(self, key: Hashable) -> Flight | None:
        """The load of `key` that the running event loop can join, if there is one."""
        flight = self._by_key.get(key)
        if flight is None or flight.loop is not asyncio.get_running_loop():
            return None
        if flight is _running.get():
            raise RuntimeError(f"The load of {key} waits for itself: its loader asks for its key.")
        return flight

    def start(
        self, key: Hashable, load: Callable[[], Awaitable[Any]], *, owned: bool = False
    ) -> Flight:
        """Start the load of `key` in a task that copies the caller's context, spans included.

        An `owned` load goes on when nobody waits for it: whoever starts it has to end it.
        """
        loop = asyncio.get_running_loop()
        flight = Flight(loop, trace.get_current_span().get_span_context())
        flight.waiters += owned
        self._by_key[key] = flight
        flight.task = loop.create_task(self._fly(key, flight, load))
        flight.task.add_done_callback(_note_exception)
        return flight

    async def wait(self, key: Hashable, flight: Flight) -> Any:
        """The load's result or its error; the last to be cancelled cancels the load."""
        task = flight.task
        flight.waiters += 1
        try:
            # Unlike awaiting the task, this neither cancels it with us nor raises what it raises.
            await asyncio.wait((task,))
        finally:
            flight.waiters -= 1
            if not flight.waiters and not task.done():
                self._land(key, flight)  # who asks from now on starts anew
                task.cancel()
                await asyncio.wait((task,))  # none of its spans may outlive ours
        outer = _running.get()
        if outer is not None:
            outer.inner = flight.work or flight.inner
        if task.cancelled():
            raise SourceUnavailable(f"The load of {key} was cancelled from outside: ask again.")
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

    Called after the wait: one who joins in the same turn of the loop is there before the load.
    """
    work = flight.work or flight.inner
    if work is not None and flight.leader != span.get_span_context():
        span.add_link(work)


def _note_exception(task: "asyncio.Task[Any]") -> None:
    """Take note of an error that nobody waits for any more, or asyncio reports it as forgotten."""
    if not task.cancelled():
        task.exception()

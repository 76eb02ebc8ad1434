"""Makes a span of each asyncio task: what `trading-graph record --spans tasks` records.

For programs that no instrumentor knows. A span is named after the task's coroutine, starts when the
task first runs and ends when its coroutine does, not when the loop tells others so. Its parent is
the span that was current where the task was created: that of the creating task, or one that the
program opened in it. Coroutines of the standard library and of a loop written in C get none: those
are waits, and no work.
"""

import asyncio
import sysconfig
from collections.abc import Coroutine, Generator
from contextlib import suppress
from types import CodeType, ModuleType
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import Span, Status, StatusCode, Tracer

_LIBRARY = sysconfig.get_path("stdlib") + "/"
_SITE = (sysconfig.get_path("purelib") + "/", sysconfig.get_path("platlib") + "/")
_MARK = "_makes_task_spans"


class TaskSpans:
    """Makes spans of the tasks of event loops whose class it has been given."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def watch(self, loop_class: Any) -> None:
        """Make spans of the tasks that loops of this class create from now on."""
        original = loop_class.create_task
        if getattr(original, _MARK, False):
            return

        def create_task(loop: Any, coro: Any, **settings: Any) -> Any:
            return original(loop, self._traced(coro), **settings)

        setattr(create_task, _MARK, True)
        loop_class.create_task = create_task

    def watch_asyncio(self) -> None:
        """Make spans of the tasks of asyncio's own loops."""
        self.watch(asyncio.BaseEventLoop)

    def watch_uvloop(self, uvloop: ModuleType) -> None:
        """Make spans of the tasks of uvloop's loops."""
        self.watch(uvloop.Loop)

    def _traced(self, coro: Any) -> Any:
        code = getattr(coro, "cr_code", None)
        if not isinstance(code, CodeType) or _is_of_a_loop(code.co_filename):
            return coro
        return _TracedCoroutine(coro, code, self._tracer, trace.get_current_span())


def _is_of_a_loop(file: str) -> bool:
    if file.endswith(".pyx"):
        return True
    return file.startswith(_LIBRARY) and not file.startswith(_SITE)


class _TracedCoroutine(Coroutine[Any, Any, Any]):
    """A coroutine with a span from its first step to its end, current in its task.

    It shows its task what the coroutine itself shows: its name, frame and state.
    """

    def __init__(self, coro: Any, code: CodeType, tracer: Tracer, creator: Span) -> None:
        self._coro = coro
        self._code = code
        self._tracer = tracer
        self._creator = creator
        self._span: Span | None = None
        self._token: Any = None
        self.__name__ = coro.__name__
        self.__qualname__ = coro.__qualname__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)

    def __repr__(self) -> str:
        return repr(self._coro)

    def __await__(self) -> Generator[Any, Any, Any]:
        """Await the coroutine; its task does not, and steps it."""
        awaited: Generator[Any, Any, Any] = self._coro.__await__()
        return awaited

    def send(self, value: Any) -> Any:
        """Run the coroutine to its next wait."""
        if self._span is None:
            self._begin()
        try:
            return self._coro.send(value)
        except BaseException as error:
            self._end(None if isinstance(error, StopIteration) else error)
            raise

    def throw(self, *error: Any) -> Any:
        """Raise an error in the coroutine, and run it to its next wait."""
        if self._span is None:
            self._begin()
        try:
            return self._coro.throw(*error)
        except BaseException as raised:
            self._end(None if isinstance(raised, StopIteration) else raised)
            raise

    def close(self) -> None:
        """Close the coroutine."""
        self._coro.close()
        if self._span is not None:
            self._end(None)

    def _begin(self) -> None:
        parent = context.get_current()
        if not trace.get_current_span(parent).get_span_context().is_valid:
            # A task in a context of its own: it does not know who made it.
            parent = trace.set_span_in_context(self._creator, parent)
        self._span = self._tracer.start_span(
            self.__qualname__,
            parent,
            attributes={
                "code.function.name": self.__qualname__,
                "code.file.path": self._code.co_filename,
                "code.line.number": self._code.co_firstlineno,
            },
        )
        self._token = context.attach(trace.set_span_in_context(self._span, parent))

    def _end(self, error: BaseException | None) -> None:
        span, token, self._token = self._span, self._token, None
        if span is None or token is None:
            return
        with suppress(ValueError):  # It is closed elsewhere: the context of its task has gone.
            token.var.reset(token)
        if error is not None:
            is_cancelled = isinstance(error, asyncio.CancelledError)
            kind = "cancelled" if is_cancelled else type(error).__qualname__
            span.set_status(Status(StatusCode.ERROR, kind))
            span.set_attribute("error.type", kind)
        span.end()

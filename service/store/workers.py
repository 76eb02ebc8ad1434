"""Threads that use a database, so that the event loop never waits for it.

Each has a connection of its own, which it opens anew when the server closed it. A statement costs
less than on an executor with a pool of connections.
"""

import asyncio
import contextlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
Work = Callable[[Connection], T]


class _Job(NamedTuple):
    work: Work[Any]
    result: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Workers:
    """Threads on an engine; what they are given to do is done even where its caller is cancelled.

    A job is one transaction.
    """

    def __init__(self, engine: Engine, threads: int, name: str) -> None:
        self._engine = engine
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = [Thread(target=self._run, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def do(self, work: Work[T]) -> asyncio.Future[T]:
        """Call `work` on one of the threads; the future has what it returns or raises."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, result, loop))
        return result

    def close(self) -> None:
        """Do what is in line, end the threads and close their connections."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._engine.dispose()

    def _run(self) -> None:
        connection = None
        while (job := self._jobs.get()) is not None:
            try:
                if connection is None:
                    connection = self._engine.connect()
                value = _transact(connection, job.work)
            except BaseException as error:
                _tell(job, _fail, error)
            else:
                _tell(job, _finish, value)
            del job  # Nor must it live on while the next one is awaited.
        if connection is not None:
            connection.close()


def _transact(connection: Connection, work: Work[T]) -> T:
    try:
        return _attempt(connection, work)
    except DBAPIError as error:
        # A server that was restarted: it has done nothing of this, except where it was to commit.
        if not error.connection_invalidated or error.statement is None:
            raise
    return _attempt(connection, work)


def _attempt(connection: Connection, work: Work[T]) -> T:
    with connection.begin():
        return work(connection)


def _finish(result: asyncio.Future[Any], value: Any) -> None:
    if not result.done():
        result.set_result(value)


def _fail(result: asyncio.Future[Any], error: BaseException) -> None:
    if not result.done():
        result.set_exception(error)


def _tell(job: _Job, settle: Callable[[asyncio.Future[Any], Any], None], value: Any) -> None:
    with contextlib.suppress(RuntimeError):  # The loop is closed: nobody awaits it any more.
        job.loop.call_soon_threadsafe(settle, job.result, value)

"""The database of a house: connections on the event loop, and what happens while it is away.

While it cannot be reached nobody waits for it: whoever asks is told so at once, and a task asks
every second whether it is back. The log says both, once.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection

from trading_graph.service.shared.postgresql import SCHEMA

_LOG = logging.getLogger(__name__)

_CONNECTIONS = 4
_PATIENCE_S = 2.0
"""How long one answer may take before the database counts as away."""
_BEAT_S = 1.0
_SEEN_S = 30.0
"""A worker that was seen within this time still takes its share of the limits."""

_BEAT = f"""
WITH beat AS (
  INSERT INTO {SCHEMA}.workers VALUES (%(worker)s, {SCHEMA}.now_s())
  ON CONFLICT (id) DO UPDATE SET seen = excluded.seen
), gone AS (
  DELETE FROM {SCHEMA}.workers WHERE seen < {SCHEMA}.now_s() - %(seen_s)s AND id <> %(worker)s
)
SELECT {SCHEMA}.now_s(), (SELECT count(*) FROM {SCHEMA}.workers
  WHERE id <> %(worker)s AND seen >= {SCHEMA}.now_s() - %(seen_s)s)
"""


class HouseAwayError(Exception):
    """The database of the house does not answer."""


class HouseDatabase:
    """The open database; belongs to one event loop.

    `workers` is how many processes of the house were seen last, this one included.
    """

    def __init__(self, url: str) -> None:
        self.worker = uuid.uuid4().hex
        self.workers = 1
        self._url = url
        self._is_away = False
        self._ahead_s = 0.0
        self._free: list[AsyncConnection[Any]] = []
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._tasks: set[asyncio.Task[Any]] = set()

    def clock(self) -> float:
        """The database's time, in seconds since the epoch: the clocks of machines differ."""
        return time.time() + self._ahead_s

    async def ask(self, query: str, values: Any = None) -> list[tuple[Any, ...]]:
        """The rows of a query; raises HouseAwayError."""
        if self._is_away:
            raise HouseAwayError
        return await self._ask(query, values)

    def soon(self, query: str, values: Sequence[Any]) -> "asyncio.Task[None]":
        """Run a statement without a result in the background; one that fails is forgotten."""

        async def run() -> None:
            with contextlib.suppress(HouseAwayError):
                await self.ask(query, values)

        return self._start(run())

    async def beat(self) -> None:
        """Say that this process lives, and learn how many others do; raises HouseAwayError."""
        sent = time.time()
        ((now, others),) = await self._ask(_BEAT, {"worker": self.worker, "seen_s": _SEEN_S})
        self._ahead_s = now - (sent + time.time()) / 2
        self.workers = others + 1

    async def live(self) -> None:
        """Beat every second, until cancelled."""
        while True:
            with contextlib.suppress(HouseAwayError):
                await self.beat()
            await asyncio.sleep(_BEAT_S)

    async def close(self) -> None:
        """Finish what runs in the background, and close all connections."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE_S)
        for task in self._tasks:
            task.cancel()
        await self._close_free()

    async def _ask(self, query: str, values: Any) -> list[tuple[Any, ...]]:
        # Not `asyncio.timeout`: psycopg would wait for a server that is gone to cancel the query.
        asking = self._start(self._execute(query, values))
        done, _ = await asyncio.wait({asking}, timeout=_PATIENCE_S)
        try:
            if not done:
                asking.cancel()
                raise TimeoutError(f"no answer within {_PATIENCE_S:g} s")
            rows: list[tuple[Any, ...]] = asking.result()
        except (psycopg.Error, OSError) as error:
            self._lose(error)
            await self._close_free()
            raise HouseAwayError from error
        if self._is_away:
            self._is_away = False
            _LOG.info("The database of the house is back.")
        return rows

    def _lose(self, error: Exception) -> None:
        if self._is_away:
            return
        self._is_away = True
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        _LOG.warning(
            "The database of the house does not answer (%s): until it is back, this process keeps "
            "1/%d of each limit, and caches in memory.",
            reason,
            self.workers,
        )

    async def _execute(self, query: str, values: Any) -> list[tuple[Any, ...]]:
        async with self._connection() as connection:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with self._slots:
            if self._free:
                connection = self._free.pop()
            else:
                connection = await AsyncConnection.connect(
                    self._url, autocommit=True, connect_timeout=2, prepare_threshold=None
                )
            try:
                yield connection
            except BaseException:
                await connection.close()
                raise
            self._free.append(connection)

    async def _close_free(self) -> None:
        while self._free:
            await self._free.pop().close()

    def _start(self, work: Any) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Retrieved, or asyncio would report it.

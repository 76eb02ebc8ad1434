"""The lease of a worker: which runs are its own, and for how long it may be sure of that.

On PostgreSQL the lease is an advisory lock, and a session that has to speak. The server ends a
session that is silent for LEASE_S, and with it the lock: of a killed worker at once, and of one
that is paused, cut off, or on a dead machine after that time, by nobody's clock but the server's.
The same session writes the checkpoints. So a worker without its lock cannot write any, however it
came to lose it.

On SQLite there is one worker, and a lock on a file says so.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from io import FileIO
from pathlib import Path
from typing import Protocol

from psycopg import AsyncConnection, Error
from psycopg.rows import DictRow, dict_row

from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.durable.database import Database

LEASE_S = 8.0
"""For how long a worker may be silent before its runs are given to others."""

_BEAT_S = 1.0
_LOOK_S = 0.5
_CONNECT_S = 3
_SUFFIX = ".worker"
_PREFIX = "trading-graph worker "
"""How the session of a worker is called; its version and its name follow."""


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker that holds a lease; of the one on SQLite no more is known."""

    name: str
    version: str


class Lease(Protocol):
    """What makes runs a worker's own."""

    def is_held(self) -> bool:
        """Whether no other worker can have been given the runs of this one. Asks nobody."""
        ...

    def run(self, run_id: str) -> AbstractAsyncContextManager[None]:
        """Have a run for the duration of the block; waits while another worker has it."""
        ...

    def dead(self, worker: str) -> AbstractAsyncContextManager[bool]:
        """Whether another worker is dead; if so, nobody else takes its runs in the block."""
        ...

    def alone(self, duty: str) -> AbstractAsyncContextManager[bool]:
        """Whether nobody else sees to a duty now; if so, nobody else does in the block."""
        ...


class FileLease:
    """The lease of the one worker of an SQLite database."""

    def __init__(self, worker: str) -> None:
        self._worker = worker

    def is_held(self) -> bool:
        """Return True: the lock is the process's to its end."""
        return True

    @asynccontextmanager
    async def run(self, run_id: str) -> AsyncIterator[None]:
        """Have a run for the duration of the block."""
        yield

    @asynccontextmanager
    async def dead(self, worker: str) -> AsyncIterator[bool]:
        """Whether another worker is dead, which every other one is."""
        yield worker != self._worker

    @asynccontextmanager
    async def alone(self, duty: str) -> AsyncIterator[bool]:
        """Return True: there is no other worker."""
        yield True


@asynccontextmanager
async def file_lease(database: Database, worker: str) -> AsyncIterator[FileLease]:
    """Lock the SQLite database for the duration of the block; raises PortfolioError."""
    with await asyncio.to_thread(FileIO, _lock_of(database), "ab") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise PortfolioError(
                f"Another worker serves {database.name}, and SQLite takes only one; for more, name "
                "a PostgreSQL database with TRADING_GRAPH_DATABASE_URL."
            ) from None
        yield FileLease(worker)


class PostgresLease:
    """The lease of a worker on PostgreSQL; `connection` and `turn` are for its checkpoints.

    Whoever uses the connection waits for its `turn`. `lost` is called, and does not return, where
    the lease is lost.
    """

    def __init__(
        self, connection: AsyncConnection[DictRow], worker: str, lost: Callable[[str], None]
    ) -> None:
        self.connection = connection
        self.turn = asyncio.Lock()
        self.lost = lost
        self._worker = worker
        self._spoke_s = _clock_s()

    def is_held(self) -> bool:
        """Whether the server cannot have ended the session yet."""
        # The server counts from when it has answered, which is after we have asked.
        return _clock_s() - self._spoke_s < LEASE_S

    async def take(self) -> None:
        """Begin the session: take the lock, and let the server end a silent session."""
        for setting in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
            await self.connection.execute(f"SET {setting} = {int(LEASE_S * 1000)}")
        await self._ask("SELECT pg_advisory_lock(%s)", _key("worker", self._worker))

    async def beat(self) -> None:
        """Speak to the server for ever."""
        while True:
            await asyncio.sleep(_BEAT_S)
            await self._ask("SELECT 1")

    @asynccontextmanager
    async def run(self, run_id: str) -> AsyncIterator[None]:
        """Have a run for the duration of the block; waits while another worker has it."""
        key = _key("run", run_id)
        while not await self._ask("SELECT pg_try_advisory_lock(%s)", key):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        try:
            yield
        finally:
            await asyncio.shield(self._ask("SELECT pg_advisory_unlock(%s)", key))

    @asynccontextmanager
    async def dead(self, worker: str) -> AsyncIterator[bool]:
        """Whether another worker is dead; if so, nobody else takes its runs in the block."""
        if worker == self._worker:
            yield False
            return
        async with self._locked(_key("worker", worker)) as is_dead:
            yield is_dead

    @asynccontextmanager
    async def alone(self, duty: str) -> AsyncIterator[bool]:
        """Whether nobody else sees to a duty now; if so, nobody else does in the block."""
        async with self._locked(_key("duty", duty)) as is_alone:
            yield is_alone

    @asynccontextmanager
    async def _locked(self, key: int) -> AsyncIterator[bool]:
        """Whether a lock is free; if so, it is this worker's for the duration of the block."""
        if not await self._ask("SELECT pg_try_advisory_lock(%s)", key):
            yield False
            return
        try:
            yield True
        finally:
            await asyncio.shield(self._ask("SELECT pg_advisory_unlock(%s)", key))

    async def _ask(self, query: str, *values: int) -> object:
        """The first value that the server answers; a server that does not answer is a loss."""
        asked_s = _clock_s()
        try:
            async with asyncio.timeout(LEASE_S), self.turn:
                asked_s = _clock_s()
                cursor = await self.connection.execute(query.encode(), values or None)
                row = await cursor.fetchone()
        except (Error, TimeoutError) as error:
            self.lost(str(error).strip() or "the database does not answer")
            raise
        self._spoke_s = max(self._spoke_s, asked_s)
        return next(iter(row.values())) if row else None


@asynccontextmanager
async def postgres_lease(
    database: Database, worker: str, version: str, lost: Callable[[str], None]
) -> AsyncIterator[PostgresLease]:
    """Open a lease for the duration of the block; raises PortfolioError."""
    try:
        connection = await AsyncConnection.connect(
            database.conninfo,
            autocommit=True,
            prepare_threshold=0,
            row_factory=dict_row,
            connect_timeout=_CONNECT_S,
            application_name=f"{_PREFIX}{version} {worker}",
        )
    except Error as error:
        raise PortfolioError(f"The database {database.name} does not answer: {error}") from None
    async with connection:
        lease = PostgresLease(connection, worker, lost)
        await lease.take()
        beat = asyncio.create_task(lease.beat(), name="lease")
        try:
            yield lease
        finally:
            beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beat


async def live_workers(database: Database) -> list[LiveWorker]:
    """The workers that hold a lease; for who looks on from outside. Raises PortfolioError."""
    if not database.is_postgres:
        return [LiveWorker("", "")] if await asyncio.to_thread(_is_locked, database) else []
    try:
        async with await AsyncConnection.connect(
            database.conninfo, autocommit=True, connect_timeout=_CONNECT_S
        ) as connection:
            cursor = await connection.execute(
                "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
            )
            names = [str(row[0]) for row in await cursor.fetchall()]
    except Error as error:
        raise PortfolioError(f"The database {database.name} does not answer: {error}") from None
    words = [name.removeprefix(_PREFIX).split() for name in names if name.startswith(_PREFIX)]
    return [LiveWorker(name, version) for version, name in words]


def _is_locked(database: Database) -> bool:
    try:
        with _lock_of(database).open("rb") as lock:
            flock(lock, LOCK_SH | LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock_of(database: Database) -> Path:
    return database.file.with_name(database.file.name + _SUFFIX)


def _key(kind: str, name: str) -> int:
    """The number of a lock, of 64 bits with a sign."""
    digest = hashlib.sha256(f"trading-graph {kind} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _clock_s() -> float:
    """A clock that nobody sets, and that does not stop while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

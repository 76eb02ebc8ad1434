"""The database of the store: a SQLite file, or PostgreSQL at an address.

One thread writes and some read, so that no statement runs on the event loop, and a long reading
keeps nobody from writing. With SQLite's write-ahead log, readers never wait for the writer, and
commits survive a killed process.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from trading_graph.service.errors import (
    SettingsError,
    StoreFileGoneError,
    StoreUnavailableError,
)
from trading_graph.service.shared import postgresql
from trading_graph.service.store import sqlite_file
from trading_graph.service.store.schema import TABLES, VERSION
from trading_graph.service.store.workers import Work, Workers

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_READERS = 2
_GONE = (
    "The store of runs is lost: its file was removed while it was in use; restart the service, "
    "which builds it again."
)


class Database:
    """The open database; `read` and `write` raise StoreUnavailableError when it fails."""

    def __init__(self, url: URL) -> None:
        self.dialect = url.get_backend_name()
        self._url = url
        writer, reader = _engine(url), _engine(url)
        if self.dialect == "sqlite":
            event.listen(writer, "begin", sqlite_file.lock_at_once)
        self._writer = Workers(writer, 1, "store-writer")
        self._readers = Workers(reader, _READERS, "store-reader")
        self._path = Path(url.database) if url.database and _is_file(url) else None
        self._opened: tuple[int, int] | None = None
        self._is_gone = False

    async def create(self) -> None:
        """Create the tables that are not there."""
        await self.write(_create_tables)
        self._opened = await self._identity()

    async def read(self, work: Work[T]) -> T:
        """What `work` returns, called on a reader's thread."""
        with self._errors_explained():
            return await self._readers.do(work)

    async def write(self, work: Work[T]) -> T:
        """What `work` returns, called on the writer's thread in one transaction."""
        with self._errors_explained():
            return await self._writer.do(work)

    async def check(self) -> None:
        """Write without a change; raises StoreFileGoneError where the file is another one."""
        await self.write(_write_version)
        if await self._identity() != self._opened:
            if not self._is_gone:
                _LOG.error(_GONE)
            self._is_gone = True
            raise StoreFileGoneError(_GONE)
        self._is_gone = False

    async def _identity(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        return await asyncio.to_thread(sqlite_file.identity, self._path)

    async def shrink(self) -> None:
        """Give the space of deleted rows back to the disk; PostgreSQL does so by itself."""
        if self._path is not None:
            with self._errors_explained():
                await asyncio.to_thread(sqlite_file.shrink, self._path)

    async def close(self) -> None:
        """Finish what is being read and written, and close all connections."""
        await asyncio.to_thread(self._readers.close)
        await asyncio.to_thread(self._writer.close)

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            advice = _advice(error, self._url)
            raise StoreUnavailableError(f"The store of runs cannot be used: {advice}.") from error


@asynccontextmanager
async def open_database(path: Path, database_url: str | None) -> AsyncIterator[Database]:
    """Open the database at an address, else the file; create what is not there.

    Raises StoreUnavailableError, SettingsError or OSError.
    """
    if database_url is None:
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        url = sqlite_file.sqlite_url(path)
    else:
        url = postgresql.postgresql_url(database_url)
    try:
        database = await asyncio.to_thread(Database, url)  # It imports the driver.
    except ModuleNotFoundError as error:
        raise SettingsError(
            "TRADING_GRAPH_DATABASE_URL needs a driver of PostgreSQL; "
            "install trading-graph[portfolio]."
        ) from error
    try:
        await database.create()
        yield database
    finally:
        await database.close()


def _create_tables(connection: Connection) -> None:
    if _is_file(connection.engine.url):
        sqlite_file.create_tables(connection, VERSION, TABLES)
    else:
        postgresql.create_part(connection, "store", VERSION, TABLES.create_all)


def _write_version(connection: Connection) -> None:
    if _is_file(connection.engine.url):
        sqlite_file.write_version(connection, VERSION)
    else:
        postgresql.write_version(connection, "store", VERSION)


def _engine(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True)
    if not _is_file(url):
        return engine.execution_options(schema_translate_map={None: postgresql.SCHEMA})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        try:
            sqlite_file.prepare(connection, VERSION)
        except BaseException:
            connection.close()
            raise

    return engine


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _advice(error: SQLAlchemyError | sqlite3.Error, url: URL) -> str:
    """What a failure means and what to do."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return sqlite_file.advice(cause)
    return postgresql.advice(error, url) if isinstance(error, DBAPIError) else str(error)

"""SQLite as a back end of the store: how a connection is prepared, and what its errors mean."""

import sqlite3
from pathlib import Path

from sqlalchemy import URL, Connection, MetaData

from trading_graph.service.errors import StoreUnavailableError

_BUSY_MS = 5_000

_ADVICE = {
    sqlite3.SQLITE_BUSY: "another process holds its lock; stop that process, or wait",
    sqlite3.SQLITE_LOCKED: "another process holds its lock; stop that process, or wait",
    sqlite3.SQLITE_FULL: "the disk is full; make room and try again",
    sqlite3.SQLITE_READONLY: "it is read-only; give the service a folder that it may write to",
    sqlite3.SQLITE_CANTOPEN: (
        "its file cannot be opened; give the service a folder that it may write to"
    ),
    sqlite3.SQLITE_NOTADB: "its file is no SQLite database; move it away",
    sqlite3.SQLITE_CORRUPT: "its file is damaged; move it away, or restore a copy",
}


def sqlite_url(path: Path) -> URL:
    """The address of a file."""
    return URL.create("sqlite", database=str(path))


def prepare(connection: sqlite3.Connection, version: int) -> None:
    """Prepare a new connection; raises StoreUnavailableError for the file of a newer release."""
    connection.isolation_level = None  # SQLAlchemy begins transactions, and not the driver.
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    ((there,),) = connection.execute("PRAGMA user_version")
    if there > version:
        ((_, _, path),) = connection.execute("PRAGMA database_list")
        raise StoreUnavailableError(
            f"{path} was written by a newer release; use that, or another folder."
        )
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def lock_at_once(connection: Connection) -> None:
    """Begin as a writer, so that no transaction waits for another process in its middle."""
    connection.connection.cursor().execute("BEGIN IMMEDIATE")


def create_tables(connection: Connection, version: int, tables: MetaData) -> None:
    """Create what is not there of the tables."""
    tables.create_all(connection)
    write_version(connection, version)


def write_version(connection: Connection, version: int) -> None:
    """Write the version of the tables."""
    connection.exec_driver_sql(f"PRAGMA user_version = {version}")


def advice(error: sqlite3.Error) -> str:
    """What a failure means and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # The lowest byte is the kind of error.
    return _ADVICE.get(code, str(error))

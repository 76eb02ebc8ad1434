"""SQLite as a back end of the store: how a connection is prepared, and what its errors mean."""

import sqlite3
import time
from pathlib import Path

from sqlalchemy import URL, Connection, MetaData, inspect

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


_MIGRATIONS = (
    ("ALTER TABLE runs ADD COLUMN kills INTEGER NOT NULL DEFAULT 0",),
    ("DROP TABLE events",),
)
"""The statements that bring a file from version 1 to 2, from 2 to 3, and so on."""


def sqlite_url(path: Path) -> URL:
    """The address of a file."""
    return URL.create("sqlite", database=str(path))


def identity(path: Path) -> tuple[int, int] | None:
    """The device and inode of a file, which no other file has; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


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
    """Create what is not there of the tables, and what an earlier release did not have."""
    is_new = not inspect(connection).has_table("runs")
    there = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if not is_new:
        for statements in _MIGRATIONS[max(0, there - 1) :]:
            for statement in statements:
                connection.exec_driver_sql(statement)
    tables.create_all(connection)
    write_version(connection, version)


def shrink(path: Path) -> None:
    """Write the file anew without its free pages, if a quarter of it is free.

    Raises sqlite3.Error.
    """
    connection = sqlite3.connect(path, timeout=_BUSY_MS / 1_000)
    try:
        ((free,),) = connection.execute("PRAGMA freelist_count")
        ((pages,),) = connection.execute("PRAGMA page_count")
        if free * 4 >= pages:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def set_damaged_aside(path: Path) -> Path | None:
    """Move a damaged file away, with its log; returns where it is now, None where it is whole.

    Raises OSError.
    """
    if not path.exists() or _is_whole(path):
        return None
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for suffix in ("-wal", "-shm"):
        log = path.with_name(path.name + suffix)
        if log.exists():
            log.rename(aside.with_name(aside.name + suffix))
    return path.rename(aside)


def _is_whole(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return code not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
    finally:
        connection.close()


def write_version(connection: Connection, version: int) -> None:
    """Write the version of the tables."""
    connection.exec_driver_sql(f"PRAGMA user_version = {version}")


def advice(error: sqlite3.Error) -> str:
    """What a failure means and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # The lowest byte is the kind of error.
    return _ADVICE.get(code, str(error))

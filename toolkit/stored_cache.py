"""The cache that outlives the process: entries in one SQLite file, under the rules of the cache.

Several processes may use one file at the same time. With write-ahead logging readers never wait for
a writer. Reads run on a thread of their own, writes on another that nobody waits for; each value
has a checksum, since a damaged one would be a wrong price and no error. Where the file fails, the
log says so once, and the process goes on without it.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import sqlite3
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, local
from typing import Any

from trading_graph.toolkit import stored_values
from trading_graph.toolkit.cache import CacheKey, Entry
from trading_graph.toolkit.dataset import tables
from trading_graph.toolkit.live_access import LiveAccess
from trading_graph.toolkit.stored_values import StoredValueError

_LOG = logging.getLogger(__name__)

MAX_BYTES = 1024 * 2**20
"""The default bound of a file, in bytes."""

_APPLICATION = 0x54474D44
"""What SQLite's header says of our files, so that no other program's file is written to."""
_VERSION = 1
_SCHEMA = """
CREATE TABLE entries (
  key TEXT PRIMARY KEY,
  absent INTEGER NOT NULL,
  size INTEGER NOT NULL,
  stored_at REAL NOT NULL,
  fresh_until REAL NOT NULL,
  revalidate_until REAL NOT NULL,
  if_error_until REAL NOT NULL,
  used_at REAL NOT NULL,
  checksum INTEGER NOT NULL,
  value BLOB NOT NULL
) STRICT;
CREATE INDEX entries_by_use ON entries (used_at);
"""
_FIND = """
SELECT absent, size, stored_at, fresh_until, revalidate_until, if_error_until, used_at, checksum,
value FROM entries WHERE key = ?
"""
_PUT = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE_DEAD = "DELETE FROM entries WHERE max(fresh_until, revalidate_until, if_error_until) <= ?"

_DELETE_OLDEST = """
DELETE FROM entries WHERE key IN (SELECT key FROM entries ORDER BY used_at LIMIT 16)
"""

_READERS = 4
"""With one, what a run asks for at once would be read one after the other."""
_READ_WAIT_S = 1.0
_WRITE_WAIT_S = 5.0
"""How long another process may hold the file before it counts as locked."""
_CLOSE_WAIT_S = 2.0
_IN_LINE = 1000
"""The most values that wait to be written: what comes then is not kept."""
_USED_EVERY_S = 60.0
"""How exactly the file knows when a value was last read."""
_FILL = 0.95
"""How full the file is after values were evicted."""
_PAGES_OF_A_ROW = 4
"""An upper bound for what a row needs besides its value."""


class ForeignFileError(Exception):
    """The file belongs to another program."""


class StoredCache:
    """A `Store` in a file; `open_stored_cache` opens one.

    `edition` names what values depend on besides their key: only values of the same edition are
    found. `clock` is the wall clock. A value that says it was stored in the future is not believed:
    the clock was set back, and nobody knows how old it is.
    """

    def __init__(
        self,
        path: Path,
        *,
        edition: str = "",
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self._path = path
        self._edition = edition
        self._max_bytes = max_bytes
        self._usable = True
        self._is_open = False
        self._readers = ThreadPoolExecutor(_READERS, "cache-file-reader")
        self._own = local()
        self._connections: list[sqlite3.Connection] = []
        # Not an executor: a job would count as work of the span that put the value.
        self._writer = Thread(target=self._write_all, name="cache-file-writer", daemon=True)
        self._writes: SimpleQueue[tuple[CacheKey, Entry] | None] = SimpleQueue()
        self._read_keys: set[str] = set()

    async def find(self, key: CacheKey) -> Entry | None:
        """The entry of a key, unless all its lives are over."""
        if not self._usable:
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._find, key)

    def put(self, key: CacheKey, entry: Entry) -> None:
        """Add or replace an entry, soon."""
        if self._usable and key.kind in stored_values.TYPES and self._writes.qsize() < _IN_LINE:
            self._writes.put((key, entry))

    @asynccontextmanager
    async def alone(self, key: CacheKey) -> AsyncIterator[Entry | None]:
        """Nothing: several processes of one machine that load the same are few."""
        yield None

    async def open(self) -> None:
        """Open the file, or make it."""
        await asyncio.get_running_loop().run_in_executor(self._readers, self._open)
        self._writer.start()

    async def close(self) -> None:
        """Write what waits to be written, unless that takes too long, and close the file."""
        self._usable = False
        self._writes.put(None)
        await asyncio.to_thread(self._writer.join, _CLOSE_WAIT_S)
        await asyncio.to_thread(self._close_readers)

    def _fail(self, error: Exception) -> None:
        if self._usable:
            self._usable = False
            _LOG.warning(
                "The cache file %s cannot be used (%s), so everything is fetched: delete it, or "
                "name another with TRADING_GRAPH_CACHE_FILE.",
                self._path,
                error,
            )

    # On the readers' threads.

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _set_up(self._reading())
            self._is_open = True
        except (OSError, sqlite3.Error, ForeignFileError) as error:
            self._fail(error)

    def _reading(self) -> sqlite3.Connection:
        """The connection of the current thread."""
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._connect(_READ_WAIT_S)
            self._connections.append(connection)
        return connection

    def _find(self, key: CacheKey) -> Entry | None:
        if not self._is_open or key.kind not in stored_values.TYPES:
            return None
        try:
            name = name_of(key, self._edition)
            row = self._reading().execute(_FIND, (name,)).fetchone()
            return None if row is None else self._entry(key.kind, name, row)
        except StoredValueError:
            return None
        except Exception as error:  # Whatever it is, the source can be asked.
            self._fail(error)
            return None

    def _entry(self, kind: str, name: str, row: Sequence[Any]) -> Entry | None:
        absent, size, stored_at, *ends, used_at, checksum, data = row
        now = self.clock()
        if not stored_at <= now < max(ends) or zlib.crc32(data) != checksum:
            return None
        if now - used_at > _USED_EVERY_S:
            self._read_keys.add(name)
        return decode_entry(kind, absent, size, (stored_at, *ends), data)

    def _close_readers(self) -> None:
        self._is_open = False
        self._readers.shutdown()
        while self._connections:
            self._connections.pop().close()

    # On the writer's thread.

    def _write_all(self) -> None:
        if not self._usable:
            return
        try:
            with contextlib.closing(self._connect(_WRITE_WAIT_S)) as connection:
                connection.execute(_DELETE_DEAD, (self.clock(),))
                while (write := self._writes.get()) is not None:
                    self._write(connection, *write)
                self._note_use(connection)
        except Exception as error:  # Nobody else would learn of it.
            self._fail(error)

    def _write(self, connection: sqlite3.Connection, key: CacheKey, entry: Entry) -> None:
        try:
            data = encode_entry(entry)
        except StoredValueError as error:
            _LOG.warning("%s is not kept in the cache file: %s", key, error)
            return
        row = entry_row(name_of(key, self._edition), entry, data)
        with _transaction(connection):
            if self._make_room(connection, len(data)):
                connection.execute(_PUT, row)
        if self._read_keys:
            self._note_use(connection)

    def _make_room(self, connection: sqlite3.Connection, size: int) -> bool:
        """Evict what is dead, then what was used least recently; false for too large a value."""
        page = _pragma(connection, "page_size")
        more = size + _PAGES_OF_A_ROW * page

        def exceeds(bound: float) -> bool:
            pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
            return pages * page + more > bound

        if more > self._max_bytes * _FILL:
            return False
        if exceeds(self._max_bytes):
            connection.execute(_DELETE_DEAD, (self.clock(),))
            while exceeds(self._max_bytes * _FILL):
                if not connection.execute(_DELETE_OLDEST).rowcount:
                    break
        return True

    def _note_use(self, connection: sqlite3.Connection) -> None:
        """Note which values were read, so that they are not evicted first."""
        keys, now = [*self._read_keys], self.clock()
        self._read_keys.difference_update(keys)
        with _transaction(connection):
            connection.executemany(
                "UPDATE entries SET used_at = ? WHERE key = ?", [(now, key) for key in keys]
            )

    def _connect(self, wait_s: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=wait_s, isolation_level=None, check_same_thread=False
        )
        # The file is whole after a loss of power, too; only the newest values may be gone.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection


@asynccontextmanager
async def open_stored_cache(
    path: Path,
    *,
    edition: str = "",
    max_bytes: int = MAX_BYTES,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[StoredCache]:
    """Open the cache in a file, which is made with its folder if necessary."""
    store = StoredCache(path, edition=edition, max_bytes=max_bytes, clock=clock)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def name_of(key: CacheKey, edition: str) -> str:
    """The key as a store knows it: all that the value depends on."""
    day = key.as_of.isoformat() if key.as_of else None
    parts = (key.kind, key.source, key.symbol, day, key.params)
    return json.dumps((edition, stored_values.fingerprint(key.kind), *parts), default=repr)


def encode_entry(entry: Entry) -> bytes:
    """The value or the absence of an entry; raises StoredValueError."""
    if entry.error is not None:
        return stored_values.encode_absence(entry.error)
    return stored_values.encode(entry.value)


def entry_row(name: str, entry: Entry, data: bytes) -> tuple[Any, ...]:
    """The columns of an entry with its data encoded, in the order of the tables' columns."""
    return (
        name,
        entry.error is not None,
        entry.size,
        entry.stored_at,
        entry.fresh_until,
        entry.revalidate_until,
        entry.if_error_until,
        entry.stored_at,  # when it was used last
        zlib.crc32(data),
        data,
    )


def decode_entry(
    kind: str, absent: bool, size: int, times: tuple[float, float, float, float], data: bytes
) -> Entry:
    """The entry of such bytes, with when it was stored and its ends; raises StoredValueError."""
    if absent:
        return Entry(None, stored_values.decode_absence(data), size, *times)
    return Entry(stored_values.decode(kind, data), None, size, *times)


def edition(access: LiveAccess) -> str:
    """What market data depends on besides its key, as a digest: program, addresses, tables.

    Blocks, since it reads the tables.
    """
    parts = (metadata.version("trading-graph"), repr(access.urls), tables.digest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _set_up(connection: sqlite3.Connection) -> None:
    """Make the table of a new file, or of one of another version; ForeignFileError for others."""
    is_current = _is_current(connection)
    connection.execute("PRAGMA journal_mode = WAL")
    if is_current:
        return
    with _transaction(connection):
        if _is_current(connection):  # by another process meanwhile
            return
        connection.execute("DROP TABLE IF EXISTS entries")
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")


def _is_current(connection: sqlite3.Connection) -> bool:
    """Whether the table is there; ForeignFileError where others are."""
    if _pragma(connection, "application_id") == _APPLICATION:
        return _pragma(connection, "user_version") == _VERSION
    if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
        raise ForeignFileError("it belongs to another program")
    return False


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (number,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(number)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do all of the block or nothing; waits until no other process writes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # SQLite itself may have undone it.
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")

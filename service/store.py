"""The store of the service: runs, their events, verdicts and watches in one SQLite file.

With write-ahead logging readers never wait for the writer, and commits survive a killed process.
Every statement runs on the connection's own thread, never on the event loop.

Old runs are deleted, each with its row, its events, its verdict and its folder. Only runs of the
service are, and none that somebody made at a terminal in the same folder.
"""

import asyncio
import logging
import shutil
import sqlite3
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import msgspec
from pydantic import TypeAdapter

from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.run.request import RunRequest

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  id TEXT PRIMARY KEY,
  request TEXT NOT NULL,
  symbol TEXT NOT NULL,
  date TEXT NOT NULL,
  state TEXT NOT NULL,
  trace_id TEXT NOT NULL,
  traceparent TEXT,
  idempotency_key TEXT UNIQUE,
  created REAL NOT NULL,
  started REAL,
  ended REAL,
  seconds REAL,
  resumed INTEGER NOT NULL DEFAULT 0,
  action TEXT,
  confidence REAL,
  degraded INTEGER NOT NULL DEFAULT 0,
  passed INTEGER,
  error TEXT,
  langsmith TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS runs_by_state ON runs (state, id);
CREATE INDEX IF NOT EXISTS runs_by_trace ON runs (trace_id);
CREATE TABLE IF NOT EXISTS events (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdicts (
  id TEXT PRIMARY KEY,
  trace_id TEXT NOT NULL,
  service TEXT NOT NULL,
  name TEXT NOT NULL,
  started REAL NOT NULL,
  seconds REAL,
  passed INTEGER,
  judged REAL NOT NULL,
  document TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS verdicts_by_start ON verdicts (started, id);
CREATE TABLE IF NOT EXISTS watches (
  service TEXT PRIMARY KEY,
  since REAL NOT NULL,
  setting INTEGER NOT NULL
) STRICT;
"""
_VERSION = 1
_BUSY_MS = 5_000
_KNOWN = 256


class RunState(StrEnum):
    """The state of a run of the service; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the run will not change any more."""
        return self in (RunState.DONE, RunState.FAILED, RunState.CANCELLED)


_REQUEST = TypeAdapter(RunRequest)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run in the store; times are seconds since the epoch.

    `passed` is the result of its verdict, None without a verdict.
    """

    id: str
    request: RunRequest
    symbol: str
    date: str
    state: RunState
    trace_id: str
    traceparent: str | None
    idempotency_key: str | None
    created: float
    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    resumed: int = 0
    action: str | None = None
    confidence: float | None = None
    degraded: bool = False
    passed: bool | None = None
    error: str | None = None
    langsmith: str | None = None

    @property
    def title(self) -> str:
        """What is analysed."""
        return f"{self.symbol} as of {self.date}"

    @property
    def columns(self) -> dict[str, Any]:
        """The fields by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """The verdict on a trace; `document` is its JSON.

    `id` is the id of a run of this service, since two runs may share a trace, else the trace's.
    """

    id: str
    trace_id: str
    service: str
    name: str
    started: float
    seconds: float | None
    passed: bool | None
    judged: float
    document: str


@dataclass(frozen=True, slots=True)
class StoredWatch:
    """A service whose traces are judged from a time on; `setting`: a setting asks for it."""

    service: str
    since: float
    setting: bool


Record = TypeVar("Record", StoredRun, StoredVerdict, StoredWatch)


class Store:
    """The open store; every method raises StoreUnavailableError when SQLite fails."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._final: OrderedDict[str, StoredRun] = OrderedDict()

    async def add(self, run: StoredRun) -> None:
        """Insert a new run."""
        await self._insert("INSERT INTO runs", run)

    async def change(self, run_id: str, **columns: Any) -> None:
        """Set columns of a run."""
        assert set(columns) <= {field.name for field in fields(StoredRun)}
        assignments = ", ".join(f"{name} = ?" for name in columns)
        await self._write(
            f"UPDATE runs SET {assignments} WHERE id = ?", (*columns.values(), run_id)
        )
        self._final.pop(run_id, None)

    async def run(self, run_id: str) -> StoredRun | None:
        """One run."""
        if run_id in self._final:
            self._final.move_to_end(run_id)
            return self._final[run_id]
        runs = await self._runs("WHERE id = ?", run_id)
        if runs and runs[0].state.final:  # it changes no more, and is read often
            self._final[run_id] = runs[0]
            if len(self._final) > _KNOWN:
                self._final.popitem(last=False)
        return runs[0] if runs else None

    async def run_of_key(self, idempotency_key: str) -> StoredRun | None:
        """The run of an idempotency key."""
        runs = await self._runs("WHERE idempotency_key = ?", idempotency_key)
        return runs[0] if runs else None

    async def runs_of_trace(self, trace_id: str) -> list[StoredRun]:
        """The runs in a trace: the trace of a caller may hold several."""
        return await self._runs("WHERE trace_id = ? ORDER BY id", trace_id)

    async def traces_of_runs(self, trace_ids: Sequence[str]) -> set[str]:
        """Which of these traces hold runs."""
        marks = ", ".join("?" * len(trace_ids))
        rows = await self._read(
            f"SELECT DISTINCT trace_id FROM runs WHERE trace_id IN ({marks})", trace_ids
        )
        return {str(row[0]) for row in rows}

    async def runs(
        self,
        *,
        states: Iterable[RunState] = (),
        symbol: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[StoredRun]:
        """Runs, newest first; `before` is the id after which a page begins."""
        names = list(states)
        where, values = _where(
            {
                f"state IN ({', '.join('?' * len(names))})": names,
                "symbol = ?": [] if symbol is None else [symbol],
                "id < ?": [] if before is None else [before],
            }
        )
        return await self._runs(f"{where} ORDER BY id DESC LIMIT ?", *values, limit)

    async def ended_before(self, moment: float) -> list[str]:
        """The ids of runs that ended before a time."""
        rows = await self._read("SELECT id FROM runs WHERE ended < ?", (moment,))
        return [str(row[0]) for row in rows]

    async def forget(self, run_id: str) -> None:
        """Delete a run, its events and its verdict."""
        await self._write("DELETE FROM verdicts WHERE id = ?", (run_id,))
        await self._write("DELETE FROM runs WHERE id = ?", (run_id,))
        self._final.pop(run_id, None)

    async def forget_verdicts_of(self, ids: Sequence[str]) -> None:
        """Delete verdicts by their ids."""
        await self._write_all("DELETE FROM verdicts WHERE id = ?", [(id,) for id in ids])

    async def forget_verdicts(self, before: float) -> None:
        """Delete verdicts from before a time."""
        await self._write("DELETE FROM verdicts WHERE judged < ?", (before,))

    async def add_events(self, run_id: str, first: int, bodies: Sequence[str]) -> None:
        """Insert events of a run, numbered from `first`."""
        # One statement is one transaction: it inserts all of these events, or none.
        values = [part for at, body in enumerate(bodies) for part in (run_id, first + at, body)]
        rows = ", ".join(["(?, ?, ?)"] * len(bodies))
        await self._write(f"INSERT INTO events VALUES {rows}", values)

    async def events(self, run_id: str, after: int = 0) -> list[tuple[int, str]]:
        """The events of a run after a number."""
        rows = await self._read(
            "SELECT number, body FROM events WHERE run_id = ? AND number > ? ORDER BY number",
            (run_id, after),
        )
        return [(int(number), str(body)) for number, body in rows]

    async def keep_verdict(self, verdict: StoredVerdict) -> None:
        """Insert a verdict; it replaces an earlier one with its id."""
        await self._insert("INSERT OR REPLACE INTO verdicts", verdict)

    async def keep_verdicts(self, verdicts: Sequence[StoredVerdict]) -> None:
        """Insert verdicts, all of them or none; they replace earlier ones with their ids."""
        if not verdicts:
            return
        names = [each.name for each in fields(StoredVerdict)]
        marks = ", ".join("?" * len(names))
        await self._write_all(
            f"INSERT OR REPLACE INTO verdicts ({', '.join(names)}) VALUES ({marks})",
            [tuple(getattr(each, name) for name in names) for each in verdicts],
        )

    async def verdict(self, id: str) -> StoredVerdict | None:
        """The verdict with an id."""
        verdicts = await self._records(StoredVerdict, "verdicts WHERE id = ?", id)
        return verdicts[0] if verdicts else None

    async def verdicts(
        self,
        *,
        service: str | None = None,
        before: str | None = None,
        limit: int = 50,
        of_runs: bool = True,
    ) -> list[StoredVerdict]:
        """Verdicts, the newest trace first; `before` is the id after which a page begins.

        With `of_runs` false, verdicts on runs of this service are left out.
        """
        earlier = "(started, id) < (SELECT started, id FROM verdicts WHERE id = ?)"
        where, values = _where(
            {
                "service = ?": [] if service is None else [service],
                earlier: [] if before is None else [before],
                "? OR id NOT IN (SELECT id FROM runs)": [of_runs],
            }
        )
        order = "ORDER BY started DESC, id DESC"
        return await self._records(
            StoredVerdict, f"verdicts {where} {order} LIMIT ?", *values, limit
        )

    async def keep_watch(self, watch: StoredWatch) -> None:
        """Insert a watch; an earlier one of that service keeps its time."""
        await self._write(
            "INSERT INTO watches VALUES (?, ?, ?) "
            "ON CONFLICT (service) DO UPDATE SET setting = excluded.setting",
            (watch.service, watch.since, watch.setting),
        )

    async def forget_watch(self, service: str) -> bool:
        """Delete a watch; true if there was one."""
        return await self._write("DELETE FROM watches WHERE service = ?", (service,)) > 0

    async def watches(self) -> list[StoredWatch]:
        """All watches, by name of the service."""
        return await self._records(StoredWatch, "watches ORDER BY service")

    async def check(self) -> None:
        """Write without a change, since a store that cannot be written is not ready."""
        await self._write(f"PRAGMA user_version = {_VERSION}", ())

    async def _runs(self, rest: str, *values: Any) -> list[StoredRun]:
        return await self._records(StoredRun, f"runs {rest}", *values)

    async def _records(self, kind: type[Record], rest: str, *values: Any) -> list[Record]:
        rows = await self._read(f"SELECT * FROM {rest}", values)
        # Not strict: SQLite stores a truth value as a number.
        return [msgspec.convert(_decode(row), kind, strict=False) for row in rows]

    async def _read(self, statement: str, values: Sequence[Any]) -> Iterable[sqlite3.Row]:
        async with _explain_errors():
            return await self._connection.execute_fetchall(statement, values)

    async def _insert(self, insert_into: str, record: StoredRun | StoredVerdict) -> None:
        values = {each.name: _encode(getattr(record, each.name)) for each in fields(record)}
        columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        await self._write(f"{insert_into} ({columns}) VALUES ({marks})", values)

    async def _write(self, statement: str, values: Sequence[Any] | Mapping[str, Any]) -> int:
        async with _explain_errors(), self._connection.execute(statement, values) as cursor:
            return cursor.rowcount

    async def _write_all(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute a statement for each row, in one transaction."""
        async with _explain_errors():
            await self._connection.execute("BEGIN")
            await self._connection.executemany(statement, rows)
            await self._connection.execute("COMMIT")


def _encode(value: Any) -> Any:
    """A value as SQLite stores it."""
    return _REQUEST.dump_json(value).decode() if isinstance(value, RunRequest) else value


def _decode(row: sqlite3.Row) -> dict[str, Any]:
    """The values as a record holds them, where SQLite has the text of one."""
    values = dict(row)
    if "request" in values:
        values["request"] = _REQUEST.validate_json(values["request"])
    return values


def _where(conditions: Mapping[str, Sequence[Any]]) -> tuple[str, list[Any]]:
    """The clause of the conditions that have values, and these."""
    given = {condition: values for condition, values in conditions.items() if values}
    clause = " AND ".join(f"({condition})" for condition in given)
    values = [value for values in given.values() for value in values]
    return (f"WHERE {clause}" if clause else ""), values


@asynccontextmanager
async def open_store(path: Path) -> AsyncIterator[Store]:
    """Open or create the file; raises StoreUnavailableError or OSError."""
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    # No implicit transactions: each statement is one.
    connection = aiosqlite.connect(path, isolation_level=None)
    try:
        async with _explain_errors():
            await connection
    except StoreUnavailableError:
        # Its thread has still to tell the loop that it stops; the loop must not close before.
        await asyncio.to_thread(connection._thread.join)
        raise
    try:
        async with _explain_errors():
            connection.row_factory = sqlite3.Row
            await connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
            if version > _VERSION:
                raise StoreUnavailableError(
                    f"{path} was written by a newer release; use that, or another folder."
                )
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
                await connection.execute(f"PRAGMA {pragma}")
            await connection.executescript(_SCHEMA)
            await connection.execute(f"PRAGMA user_version = {_VERSION}")
        yield Store(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def _explain_errors() -> AsyncIterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        reason = str(error)
        advice = next((text for sign, text in _ADVICE.items() if sign in reason), reason)
        raise StoreUnavailableError(f"The store of runs cannot be used: {advice}.") from error


_ADVICE = {
    "locked": "another process holds its lock; stop that process, or wait",
    "full": "the disk is full; make room and try again",
    "readonly": "it is read-only; give the service a folder that it may write to",
    "unable to open": "its file cannot be opened; give the service a folder that it may write to",
    "not a database": "its file is no SQLite database; move it away",
    "malformed": "its file is damaged; move it away, or restore a copy",
}


def now() -> float:
    """The time as the store holds it, in seconds since the epoch."""
    return time.time()


_LOG = logging.getLogger(__name__)

_DAY_S = 86_400.0
_EVERY_S = 3_600.0


async def forget(store: Store, out: Path, keep_days: float) -> int:
    """Delete what is too old; returns the number of runs. Raises StoreUnavailableError.

    The folder goes first: if the process is killed in between, the row still names the run.
    """
    before = now() - keep_days * _DAY_S
    old = await store.ended_before(before)
    for run_id in old:
        await asyncio.to_thread(shutil.rmtree, out / run_id, ignore_errors=True)
        await store.forget(run_id)
    await store.forget_verdicts(before)
    return len(old)


async def forget_old(store: Store, out: Path, keep_days: float) -> None:
    """Delete what is too old, now and every hour, until cancelled."""
    while True:
        try:
            if gone := await forget(store, out, keep_days):
                _LOG.info("%d runs older than %g days are deleted.", gone, keep_days)
        except StoreUnavailableError as error:
            _LOG.warning("Old runs are not deleted: %s", error)
        await asyncio.sleep(_EVERY_S)

"""The store of the service: runs, their events, verdicts and watches in one SQLite file.

With write-ahead logging readers never wait for the writer, and commits survive a killed process.
Every statement runs on the connection's own thread, never on the event loop.
"""

import asyncio
import sqlite3
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiosqlite

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
        return {name: getattr(self, name) for name in _RUN}


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


_RUN = tuple(field.name for field in fields(StoredRun))
_VERDICT = tuple(field.name for field in fields(StoredVerdict))


class Store:
    """The open store; every method raises StoreUnavailableError when SQLite fails."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._final: OrderedDict[str, StoredRun] = OrderedDict()

    async def add(self, run: StoredRun) -> None:
        """Insert a new run."""
        columns, marks = ", ".join(_RUN), ", ".join("?" * len(_RUN))
        values = {**run.columns, "request": run.request.model_dump_json()}
        await self._write(f"INSERT INTO runs ({columns}) VALUES ({marks})", tuple(values.values()))

    async def change(self, run_id: str, **columns: Any) -> None:
        """Set columns of a run."""
        assert set(columns) <= set(_RUN)
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

    async def runs(
        self,
        *,
        states: Iterable[RunState] = (),
        symbol: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[StoredRun]:
        """Runs, newest first; `before` is the id after which a page begins."""
        conditions: list[str] = []
        values: list[Any] = []
        if names := list(states):
            conditions.append(f"state IN ({', '.join('?' * len(names))})")
            values += names
        for column, value in (("symbol =", symbol), ("id <", before)):
            if value is not None:
                conditions.append(f"{column} ?")
                values.append(value)
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        return await self._runs(f"{where}ORDER BY id DESC LIMIT ?", *values, limit)

    async def ended_before(self, moment: float) -> list[str]:
        """The ids of runs that ended before a time."""
        rows = await self._read("SELECT id FROM runs WHERE ended < ?", (moment,))
        return [str(row[0]) for row in rows]

    async def forget(self, run_id: str) -> None:
        """Delete a run, its events and its verdict."""
        await self._write("DELETE FROM verdicts WHERE id = ?", (run_id,))
        await self._write("DELETE FROM runs WHERE id = ?", (run_id,))
        self._final.pop(run_id, None)

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
        marks = ", ".join("?" * len(_VERDICT))
        await self._write(
            f"INSERT OR REPLACE INTO verdicts ({', '.join(_VERDICT)}) VALUES ({marks})",
            tuple(getattr(verdict, name) for name in _VERDICT),
        )

    async def verdict(self, id: str) -> StoredVerdict | None:
        """The verdict with an id."""
        verdicts = await self._verdicts("WHERE id = ?", id)
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
        conditions: list[str] = [] if of_runs else ["id NOT IN (SELECT id FROM runs)"]
        values: list[Any] = []
        if service is not None:
            conditions.append("service = ?")
            values.append(service)
        if before is not None:
            conditions.append("(started, id) < (SELECT started, id FROM verdicts WHERE id = ?)")
            values.append(before)
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        return await self._verdicts(
            f"{where}ORDER BY started DESC, id DESC LIMIT ?", *values, limit
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
        rows = await self._read("SELECT service, since, setting FROM watches ORDER BY service", ())
        return [StoredWatch(str(name), float(since), bool(set_)) for name, since, set_ in rows]

    async def check(self) -> None:
        """Write without a change, since a store that cannot be written is not ready."""
        await self._write(f"PRAGMA user_version = {_VERSION}", ())

    async def _runs(self, rest: str, *values: Any) -> list[StoredRun]:
        rows = await self._read(f"SELECT {', '.join(_RUN)} FROM runs {rest}", values)
        return [_run_of(row) for row in rows]

    async def _verdicts(self, rest: str, *values: Any) -> list[StoredVerdict]:
        rows = await self._read(f"SELECT {', '.join(_VERDICT)} FROM verdicts {rest}", values)
        return [
            StoredVerdict(*(_truth(n, v) for n, v in zip(_VERDICT, row, strict=True)))
            for row in rows
        ]

    async def _read(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        async with _explain_errors():
            return [
                tuple(row) for row in await self._connection.execute_fetchall(statement, values)
            ]

    async def _write(self, statement: str, values: Sequence[Any]) -> int:
        async with _explain_errors():
            cursor = await self._connection.execute(statement, values)
            changed = cursor.rowcount
            await cursor.close()
            return changed


def _run_of(row: tuple[Any, ...]) -> StoredRun:
    values = {name: _truth(name, value) for name, value in zip(_RUN, row, strict=True)}
    values["request"] = RunRequest.model_validate_json(values["request"])
    return StoredRun(**{**values, "state": RunState(values["state"])})


def _truth(name: str, value: Any) -> Any:
    """A truth value, which SQLite stores as a number."""
    return bool(value) if name in ("passed", "degraded") and value is not None else value


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

"""The store of the service: its runs, verdicts and watches, an index over the runs' folders."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    union,
    update,
)
from sqlalchemy.sql.dml import UpdateBase

from trading_graph.service.store.database import Database, open_database
from trading_graph.service.store.records import (
    Record,
    RunState,
    StoredRun,
    StoredVerdict,
    StoredWatch,
    decode,
    encode,
    encode_columns,
)
from trading_graph.service.store.schema import RUNS, VERDICTS, WATCHES, upsert
from trading_graph.service.store.work import (
    WorkFilter,
    WorkPage,
    read_services,
    read_verdicts,
    read_work,
)

_KNOWN = 256

_ID: BindParameter[str] = bindparam("_id")  # No column has this name, so an update can set any.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_MOMENT: BindParameter[float] = bindparam("moment")

_ADD_RUN = insert(RUNS)
_CHANGE_RUN = update(RUNS).where(RUNS.c.id == _ID)
_FORGET_RUN = delete(RUNS).where(RUNS.c.id == _ID)
_RUN = select(RUNS).where(RUNS.c.id == _ID)
_RUN_OF_KEY = select(RUNS).where(RUNS.c.idempotency_key == _ID)
_RUNS_OF_TRACE = select(RUNS).where(RUNS.c.trace_id == _ID).order_by(RUNS.c.id)
_TRACES_OF_RUNS = select(RUNS.c.trace_id).where(RUNS.c.trace_id.in_(_IDS)).distinct()
_ENDED = (
    select(RUNS.c.id, RUNS.c.ended).where(RUNS.c.ended < _MOMENT).order_by(RUNS.c.ended, RUNS.c.id)
)

_STATES = select(RUNS.c.id, RUNS.c.state)

_NUMBER = func.count().label("number")
_RUN_COUNTS = select(RUNS.c.state, _NUMBER).group_by(RUNS.c.state)
_VERDICT_COUNTS = select(VERDICTS.c.passed, _NUMBER).group_by(VERDICTS.c.passed)

_VERDICT = select(VERDICTS).where(VERDICTS.c.id == _ID)
_JUDGED = union(select(VERDICTS.c.id), select(RUNS.c.trace_id))
_FORGET_VERDICT = delete(VERDICTS).where(VERDICTS.c.id == _ID)
_FORGET_VERDICTS_OF = delete(VERDICTS).where(VERDICTS.c.id.in_(_IDS))
_FORGET_VERDICTS = delete(VERDICTS).where(VERDICTS.c.judged < _MOMENT)

_WATCHES = select(WATCHES).order_by(WATCHES.c.service)
_FORGET_WATCH = delete(WATCHES).where(WATCHES.c.service == _ID)


class Store:
    """The open store; every method raises StoreUnavailableError when the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._final: OrderedDict[str, StoredRun] = OrderedDict()

    async def add(self, run: StoredRun) -> None:
        """Insert a new run."""
        await self._write(_ADD_RUN, encode(run))

    async def change(self, run_id: str, **columns: Any) -> None:
        """Set columns of a run."""
        await self._write(_CHANGE_RUN, {**encode_columns(columns), "_id": run_id})
        self._final.pop(run_id, None)

    async def run(self, run_id: str) -> StoredRun | None:
        """One run."""
        if run_id in self._final:
            self._final.move_to_end(run_id)
            return self._final[run_id]
        runs = await self._records(StoredRun, _RUN, _id=run_id)
        if runs and runs[0].state.final:  # it changes no more, and is read often
            self._final[run_id] = runs[0]
            if len(self._final) > _KNOWN:
                self._final.popitem(last=False)
        return runs[0] if runs else None

    async def run_of_key(self, idempotency_key: str) -> StoredRun | None:
        """The run of an idempotency key."""
        runs = await self._records(StoredRun, _RUN_OF_KEY, _id=idempotency_key)
        return runs[0] if runs else None

    async def runs_of_trace(self, trace_id: str) -> list[StoredRun]:
        """The runs in a trace: the trace of a caller may hold several."""
        return await self._records(StoredRun, _RUNS_OF_TRACE, _id=trace_id)

    async def traces_of_runs(self, trace_ids: Sequence[str]) -> set[str]:
        """Which of these traces hold runs."""
        return {row.trace_id for row in await self._rows(_TRACES_OF_RUNS, ids=list(trace_ids))}

    async def runs(
        self,
        *,
        states: Iterable[RunState] = (),
        symbol: str | None = None,
        before: str | None = None,
        limit: int | None = 50,
    ) -> list[StoredRun]:
        """Runs, newest first; `before` is the id after which a page begins."""
        page = select(RUNS).order_by(RUNS.c.id.desc()).limit(limit)
        if names := list(states):
            page = page.where(RUNS.c.state.in_(names))
        if symbol is not None:
            page = page.where(RUNS.c.symbol == symbol)
        if before is not None:
            page = page.where(RUNS.c.id < before)
        return await self._records(StoredRun, page)

    async def states(self) -> dict[str, RunState]:
        """The states of all runs, by id."""
        return {row.id: RunState(row.state) for row in await self._rows(_STATES)}

    async def ended_before(self, moment: float) -> list[tuple[str, float]]:
        """The ids of runs that ended before a time, and when they did, the oldest first."""
        return [(row.id, row.ended) for row in await self._rows(_ENDED, moment=moment)]

    async def forget(self, run_id: str) -> None:
        """Delete a run and its verdict."""

        def forget(connection: Connection) -> None:
            connection.execute(_FORGET_VERDICT, {"_id": run_id})
            connection.execute(_FORGET_RUN, {"_id": run_id})

        await self._database.write(forget)
        self._final.pop(run_id, None)

    async def keep_verdict(self, verdict: StoredVerdict) -> None:
        """Insert a verdict; it replaces an earlier one with its id."""
        await self.keep_verdicts([verdict])

    async def keep_verdicts(self, verdicts: Sequence[StoredVerdict]) -> None:
        """Insert verdicts, each in place of an earlier one with its id: all of these, or none."""
        keep = upsert(self._database.dialect, VERDICTS)
        await self._write(keep, [encode(verdict) for verdict in verdicts])

    async def forget_verdicts(self, before: float) -> None:
        """Delete verdicts from before a time."""
        await self._write(_FORGET_VERDICTS, {"moment": before})

    async def forget_verdicts_of(self, ids: Sequence[str]) -> None:
        """Delete verdicts by their ids."""
        await self._write(_FORGET_VERDICTS_OF, {"ids": list(ids)})

    async def judged_traces(self) -> set[str]:
        """The ids of all that has a verdict, and of the traces that hold runs."""

        def read(connection: Connection) -> set[str]:
            return set(connection.execute(_JUDGED).scalars())

        return await self._database.read(read)

    async def verdict(self, id: str) -> StoredVerdict | None:
        """The verdict with an id."""
        verdicts = await self._records(StoredVerdict, _VERDICT, _id=id)
        return verdicts[0] if verdicts else None

    async def verdicts(
        self,
        *,
        service: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[StoredVerdict]:
        """Verdicts, the newest trace first; `before` is the id after which a page begins."""
        newest = (VERDICTS.c.started.desc(), VERDICTS.c.id.desc())
        page = select(VERDICTS).order_by(*newest).limit(limit)
        if service is not None:
            page = page.where(VERDICTS.c.service == service)
        if before is not None:
            last = VERDICTS.alias()
            place = select(last.c.started, last.c.id).where(last.c.id == before)
            page = page.where(tuple_(VERDICTS.c.started, VERDICTS.c.id) < place.scalar_subquery())
        return await self._records(StoredVerdict, page)

    async def verdicts_of(self, ids: Sequence[str]) -> dict[str, StoredVerdict]:
        """The verdicts with these ids, as far as there are any."""
        return await self._database.read(lambda connection: read_verdicts(connection, ids))

    async def work(
        self,
        of: WorkFilter,
        *,
        before: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> WorkPage:
        """The runs and traces that a filter lets through, newest first.

        The page ends before the entry with one id, or begins after that with the other.
        """
        return await self._database.read(
            lambda connection: read_work(connection, of, before=before, after=after, limit=limit)
        )

    async def services(self, most: int) -> list[str]:
        """The services that have verdicts, by name, so many at most."""
        return await self._database.read(lambda connection: read_services(connection, most))

    async def keep_watch(self, watch: StoredWatch) -> None:
        """Insert a watch; an earlier one of that service keeps its time."""
        await self._write(upsert(self._database.dialect, WATCHES, "setting"), encode(watch))

    async def forget_watch(self, service: str) -> bool:
        """Delete a watch; true if there was one."""
        return await self._write(_FORGET_WATCH, {"_id": service}) > 0

    async def watches(self) -> list[StoredWatch]:
        """All watches, by name of the service."""
        return await self._records(StoredWatch, _WATCHES)

    async def check(self) -> None:
        """Write without a change, since a store that cannot be written is not ready.

        Raises StoreFileGoneError where its file is no longer the one that was opened.
        """
        await self._database.check()

    async def shrink(self) -> None:
        """Give the space of deleted rows back to the disk, where it is worth while."""
        await self._database.shrink()

    async def counts(self) -> tuple[Mapping[RunState, int], Mapping[bool | None, int]]:
        """How many runs there are in each state, and how many verdicts of each result."""
        runs = {RunState(row.state): row.number for row in await self._rows(_RUN_COUNTS)}
        verdicts = {
            None if row.passed is None else bool(row.passed): row.number
            for row in await self._rows(_VERDICT_COUNTS)
        }
        return runs, verdicts

    async def _records(self, kind: type[Record], rows: Select[Any], **values: Any) -> list[Record]:
        """The rows of whole tables, as what they hold."""

        def read(connection: Connection) -> list[Record]:
            return [decode(kind, row) for row in connection.execute(rows, values)]

        return await self._database.read(read)

    async def _rows(self, rows: Select[Any], **values: Any) -> Sequence[Row[Any]]:
        return await self._database.read(lambda connection: connection.execute(rows, values).all())

    async def _write(
        self, statement: UpdateBase, values: dict[str, Any] | list[dict[str, Any]]
    ) -> int:
        """The number of rows that changed, where `values` is of one statement."""
        if not values:
            return 0
        return await self._database.write(
            lambda connection: connection.execute(statement, values).rowcount
        )


@asynccontextmanager
async def open_store(path: Path, database_url: str | None = None) -> AsyncIterator[Store]:
    """Open the store at the address of a PostgreSQL database, else in a SQLite file.

    Creates what is not there. Raises StoreUnavailableError, SettingsError or OSError.
    """
    async with open_database(path, database_url) as database:
        yield Store(database)

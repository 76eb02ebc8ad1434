"""The work of a service as one list: its runs, and the traces of others on which it has verdicts.

A page of it is read from both tables, each in its order, and merged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, literal, select, tuple_

from trading_graph.service.store.records import RunState, StoredRun, StoredVerdict, decode
from trading_graph.service.store.schema import RUNS, VERDICTS

OVER = (RunState.DONE, RunState.FAILED, RunState.CANCELLED)
"""The states of runs that are over."""


class VerdictFilter(StrEnum):
    """Which verdicts are looked for; `none` also where a trace could not be judged."""

    PASSED = "passed"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class WorkFilter:
    """What is looked for: runs in these states, and, with `traces`, traces of others.

    `service` is that of the traces, and `symbol` that of the runs.
    """

    states: Sequence[RunState] = OVER
    traces: bool = True
    verdict: VerdictFilter | None = None
    service: str | None = None
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """A run with the verdict on it, if there is one, or the verdict on a trace of others.

    The list is in the order of `at`: when a run was asked for, or a trace started.
    """

    id: str
    at: float
    run: StoredRun | None
    verdict: StoredVerdict | None


@dataclass(frozen=True, slots=True)
class WorkPage:
    """A page of the list, newest first, and whether there is more on either side of it."""

    entries: Sequence[Work]
    newer: bool
    older: bool


def read_work(
    connection: Connection, of: WorkFilter, *, before: str | None, after: str | None, limit: int
) -> WorkPage:
    """The page that ends before the entry with an id or begins after it, else the first page."""
    place = _place(connection, before or after)
    newer = after is not None and place is not None
    entries: list[Work] = []
    for rows in _parts(of):
        entries += _read(connection, rows, place, newer, limit + 1)
    entries.sort(key=lambda each: (each.at, each.id), reverse=not newer)
    more, entries = len(entries) > limit, entries[:limit]
    if newer and not more:
        # At the newest end a page is filled up rather than short.
        return read_work(connection, of, before=None, after=None, limit=limit)
    if newer:
        return WorkPage(_with_verdicts(connection, entries[::-1]), newer=True, older=True)
    return WorkPage(_with_verdicts(connection, entries), newer=place is not None, older=more)


def read_verdicts(connection: Connection, ids: Sequence[str]) -> dict[str, StoredVerdict]:
    """The verdicts with these ids, as far as there are any."""
    if not ids:
        return {}
    rows = connection.execute(select(VERDICTS).where(VERDICTS.c.id.in_(ids)))
    return {row.id: decode(StoredVerdict, row) for row in rows}


def read_services(connection: Connection, most: int) -> list[str]:
    """The services that have verdicts, by name."""
    names = select(VERDICTS.c.service).distinct().order_by(VERDICTS.c.service).limit(most)
    return list(connection.scalars(names))


_Place = tuple[float, str]
_KEYS = {RUNS: RUNS.c.created, VERDICTS: VERDICTS.c.started}


def _place(connection: Connection, id: str | None) -> _Place | None:
    """Where the entry with an id stands; None where there is none any more."""
    for table, at in _KEYS.items():
        moment = connection.scalar(select(at).where(table.c.id == id)) if id else None
        if id is not None and moment is not None:
            return moment, id
    return None


def _parts(of: WorkFilter) -> list[tuple[Select[Any], Column[Any], Column[Any]]]:
    """The runs and the traces that are looked for, each with its time and its id."""
    parts = []
    if of.states:
        runs = select(RUNS).where(RUNS.c.state.in_(of.states), *_judged(RUNS.c.passed, of.verdict))
        if of.symbol is not None:
            runs = runs.where(RUNS.c.symbol == of.symbol)
        parts.append((runs, RUNS.c.created, RUNS.c.id))
    if of.traces:
        traces = select(VERDICTS).where(
            VERDICTS.c.id.not_in(select(RUNS.c.id)), *_judged(VERDICTS.c.passed, of.verdict)
        )
        if of.service is not None:
            traces = traces.where(VERDICTS.c.service == of.service)
        parts.append((traces, VERDICTS.c.started, VERDICTS.c.id))
    return parts


def _judged(passed: Column[Any], verdict: VerdictFilter | None) -> list[ColumnElement[bool]]:
    match verdict:
        case VerdictFilter.PASSED:
            return [passed.is_(True)]
        case VerdictFilter.FAILED:
            return [passed.is_(False)]
        case VerdictFilter.NONE:
            return [passed.is_(None)]
    return []


def _read(
    connection: Connection,
    part: tuple[Select[Any], Column[Any], Column[Any]],
    place: _Place | None,
    newer: bool,
    limit: int,
) -> list[Work]:
    rows, at, id = part
    if place is not None:
        here, there = tuple_(at, id), tuple_(literal(place[0]), literal(place[1]))
        rows = rows.where(here > there if newer else here < there)
    order = (at.asc(), id.asc()) if newer else (at.desc(), id.desc())
    found = connection.execute(rows.order_by(*order).limit(limit))
    if at is RUNS.c.created:
        runs = [decode(StoredRun, row) for row in found]
        return [Work(each.id, each.created, each, None) for each in runs]
    verdicts = [decode(StoredVerdict, row) for row in found]
    return [Work(each.id, each.started, None, each) for each in verdicts]


def _with_verdicts(connection: Connection, entries: Sequence[Work]) -> list[Work]:
    """The entries, the runs with the verdicts on them."""
    on = read_verdicts(connection, [each.id for each in entries if each.run is not None])
    return [Work(each.id, each.at, each.run, each.verdict or on.get(each.id)) for each in entries]

"""The tables of the store, for SQLite and PostgreSQL alike."""

from functools import cache
from typing import Any

from sqlalchemy import (
    REAL,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

VERSION = 3
"""The version of the tables: a store of a newer one is refused, a file of an older one migrated."""

TABLES = MetaData()

_TEXT = Text()
_INTEGER = Integer()
# The strict tables of SQLite know these two by other names.
_SECONDS: TypeEngine[Any] = Double().with_variant(REAL(), "sqlite")
_TRUTH: TypeEngine[Any] = Boolean().with_variant(Integer(), "sqlite")


def _required(name: str, kind: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **options)


RUNS = Table(
    "runs",
    TABLES,
    _required("id", _TEXT, primary_key=True),
    _required("request", _TEXT),
    _required("symbol", _TEXT),
    _required("date", _TEXT),
    _required("state", _TEXT),
    _required("trace_id", _TEXT),
    Column("traceparent", _TEXT),
    Column("idempotency_key", _TEXT, unique=True),
    _required("created", _SECONDS),
    Column("started", _SECONDS),
    Column("ended", _SECONDS),
    Column("seconds", _SECONDS),
    _required("resumed", _INTEGER),
    Column("action", _TEXT),
    Column("confidence", _SECONDS),
    _required("degraded", _TRUTH),
    Column("passed", _TRUTH),
    Column("error", _TEXT),
    Column("langsmith", _TEXT),
    _required("kills", _INTEGER, server_default="0"),
    sqlite_strict=True,
)
Index("runs_by_state", RUNS.c.state, RUNS.c.id)
Index("runs_by_trace", RUNS.c.trace_id)

VERDICTS = Table(
    "verdicts",
    TABLES,
    _required("id", _TEXT, primary_key=True),
    _required("trace_id", _TEXT),
    _required("service", _TEXT),
    _required("name", _TEXT),
    _required("started", _SECONDS),
    Column("seconds", _SECONDS),
    Column("passed", _TRUTH),
    _required("judged", _SECONDS),
    _required("document", _TEXT),
    sqlite_strict=True,
)
Index("verdicts_by_start", VERDICTS.c.started, VERDICTS.c.id)

WATCHES = Table(
    "watches",
    TABLES,
    _required("service", _TEXT, primary_key=True),
    _required("since", _SECONDS),
    _required("setting", _TRUTH),
    sqlite_strict=True,
)


@cache
def upsert(dialect: str, table: Table, *changing: str) -> UpdateBase:
    """A statement that inserts a row or, where its key is there, sets columns of it.

    Without names, it sets all that are not the key.
    """
    new = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    key = list(table.primary_key)
    names = changing or [column.name for column in table.columns if column not in key]
    return new.on_conflict_do_update(
        index_elements=key, set_={name: new.excluded[name] for name in names}
    )

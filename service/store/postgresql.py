"""PostgreSQL as a back end: its address, our tables beside those of others, and its errors."""

from collections.abc import Callable

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.schema import CreateSchema

from trading_graph.service.errors import SettingsError, StoreUnavailableError

SCHEMA = "trading_graph"
"""Where our tables are."""

_VERSIONS = Table(
    "versions",
    MetaData(schema=SCHEMA),
    Column("part", Text, primary_key=True),
    Column("version", Integer, nullable=False),
)
_LOCK = 0x7472_6164  # Any number that nobody else locks.

_ADVICE = {
    "25006": "it takes no writes; give the service the primary server",
    "42501": "its user may not do that; grant it the right to create a schema and tables",
    "53100": "its disk is full; make room and try again",
    "53300": "it has no connection left; raise max_connections, or stop other clients",
}


def postgresql_url(address: str) -> URL:
    """The address with SQLAlchemy's name of the driver; raises SettingsError for another one."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        # Not quoted: it may hold a password.
        raise SettingsError(
            "TRADING_GRAPH_DATABASE_URL is no address of a PostgreSQL database; "
            "write postgresql://user:password@host:port/name."
        )
    return url.set(drivername="postgresql+psycopg")


def advice(error: DBAPIError, url: URL) -> str:
    """What a failure means and what to do."""
    state = getattr(error.orig, "sqlstate", None)
    reason = str(error.orig).strip().partition("\n")[0]
    if state is None or error.connection_invalidated:
        place = f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"
        return f"no connection to {place} ({reason}); start the database, or correct its address"
    return _ADVICE.get(state, reason)


def create_part(
    connection: Connection, part: str, version: int, create: Callable[[Connection], object]
) -> None:
    """Create the tables of a part, unless they are there.

    Raises StoreUnavailableError, and changes nothing, where another version of them is there.
    """
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))  # Of several that start at once.
    connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
    _VERSIONS.create(connection, checkfirst=True)
    there = connection.scalar(select(_VERSIONS.c.version).where(_VERSIONS.c.part == part))
    if there is None:
        create(connection)
        connection.execute(_VERSIONS.insert().values(part=part, version=version))
    elif there != version:
        age = "a newer" if there > version else "an older"
        raise StoreUnavailableError(
            f"The tables of the {part} were written by {age} release (version {there}, not "
            f"{version}); use that, or another database."
        )


def write_version(connection: Connection, part: str, version: int) -> None:
    """Write the version of the tables of a part that are there."""
    of_part = _VERSIONS.c.part == part
    connection.execute(_VERSIONS.update().where(of_part).values(version=version))

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
    text,
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


def for_driver(url: URL) -> URL:
    """The address as SQLAlchemy and psycopg read it."""
    # Without a word the driver takes the encoding of the database, and SQL_ASCII makes no texts.
    return url.set(drivername="postgresql+psycopg").update_query_dict({"client_encoding": "UTF8"})


def postgresql_url(address: str) -> URL:
    """The address for the driver; raises SettingsError where it is none of a PostgreSQL."""
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
    return for_driver(url)


def wrong_encoding(connection: Connection) -> str | None:
    """Why the database cannot hold every text, after its name; None where it can."""
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding == "UTF8":
        return None
    return (
        f"is in the encoding {encoding}, which does not hold every text; make one with: "
        "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
    )


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

    Raises StoreUnavailableError, and changes nothing, where another version of them is there or the
    database does not hold every text.
    """
    if reason := wrong_encoding(connection):
        raise StoreUnavailableError(f"The database of the {part} {reason}.")
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

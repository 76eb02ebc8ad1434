"""Opens what the workers of a house share: its limits and its cache."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.shared import postgresql
from trading_graph.service.shared.cache import PostgresCache
from trading_graph.service.shared.database import HouseAwayError, HouseDatabase
from trading_graph.service.shared.limits import PostgresLimits
from trading_graph.service.shared.tables import PART, VERSION, create_tables
from trading_graph.toolkit.cache import Store
from trading_graph.toolkit.house import House


@asynccontextmanager
async def open_house(database_url: str) -> AsyncIterator[House]:
    """Open the limits and the cache at the address of a PostgreSQL database.

    Creates their tables if they are not there. Afterwards a database that is away raises nothing.
    Raises StoreUnavailableError or SettingsError.
    """
    url = postgresql.postgresql_url(database_url)
    await asyncio.to_thread(_prepare, url)
    # Without the name of SQLAlchemy's driver, which libpq does not know.
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    database = HouseDatabase(plain)
    try:
        with contextlib.suppress(HouseAwayError):
            await database.beat()
        living = asyncio.create_task(database.live())
        try:
            yield House(PostgresLimits(database), lambda edition: _open_cache(database, edition))
        finally:
            living.cancel()
            await asyncio.wait({living})
    finally:
        await database.close()


@asynccontextmanager
async def _open_cache(database: HouseDatabase, edition: str) -> AsyncIterator[Store]:
    cache = PostgresCache(database, edition)
    try:
        yield cache
    finally:
        await cache.close()


def _prepare(url: URL) -> None:
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    try:
        with engine.begin() as connection:
            postgresql.create_part(connection, PART, VERSION, create_tables)
    except DBAPIError as error:
        advice = postgresql.advice(error, url)
        raise StoreUnavailableError(
            f"The limits and the cache of the house cannot be used: {advice}."
        ) from error
    finally:
        engine.dispose()

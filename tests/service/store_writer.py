"""The connection on which a store writes, so that a test can take its rights away."""

import asyncio
import sqlite3
from typing import cast

from trading_graph.service.store import Store


class StoreWriter:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def pragma(self, text: str) -> None:
        await asyncio.to_thread(self._connection.execute, f"PRAGMA {text}")


async def writer_of(store: Store) -> StoreWriter:
    connection = await store._database.write(lambda writer: writer.connection.dbapi_connection)
    return StoreWriter(cast(sqlite3.Connection, connection))

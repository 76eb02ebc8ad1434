"""The cache of a house in PostgreSQL: what one worker has fetched, no other fetches again.

Whoever loads a value holds a lease on its key, which it renews; one that is killed holds it for a
few seconds more. The others look again and again until the lease is gone. While the database is
away, each worker caches in memory, and fetches for itself.
"""

import asyncio
import contextlib
import logging
import uuid
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from trading_graph.service.shared.database import HouseAwayError, HouseDatabase
from trading_graph.service.shared.postgresql import SCHEMA
from trading_graph.toolkit import stored_values
from trading_graph.toolkit.cache import CacheKey, Entry
from trading_graph.toolkit.stored_cache import (
    MAX_BYTES,
    decode_entry,
    encode_entry,
    entry_row,
    name_of,
)
from trading_graph.toolkit.stored_values import StoredValueError

_LOG = logging.getLogger(__name__)

_LEASE_S = 5.0
_RENEWALS = 5
"""How often a lease is renewed before it would end."""
_FIRST_LOOK_S = 0.02
_LAST_LOOK_S = 0.25
_USED_EVERY_S = 60.0
_PUTS_PER_EVICTION = 50
_CLOCK_ERROR_S = 1.0
"""How far apart two workers may believe the database's clock to be."""

_FIND = f"""
SELECT absent, size, stored_at, fresh_until, revalidate_until, if_error_until, used_at, checksum,
  value FROM {SCHEMA}.cache WHERE key = %s
"""
_PUT = f"""
INSERT INTO {SCHEMA}.cache AS c VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (key) DO UPDATE SET absent = excluded.absent, size = excluded.size,
  stored_at = excluded.stored_at, fresh_until = excluded.fresh_until,
  revalidate_until = excluded.revalidate_until, if_error_until = excluded.if_error_until,
  used_at = excluded.used_at, checksum = excluded.checksum, value = excluded.value
WHERE c.stored_at <= excluded.stored_at
"""
_USE = f"UPDATE {SCHEMA}.cache SET used_at = {SCHEMA}.now_s() WHERE key = %s"
_DELETE_DEAD = f"""
DELETE FROM {SCHEMA}.cache
WHERE greatest(fresh_until, revalidate_until, if_error_until) <= {SCHEMA}.now_s()
"""
_DELETE_OLDEST = f"""
DELETE FROM {SCHEMA}.cache WHERE key IN (
  SELECT key FROM (
    SELECT key, sum(octet_length(value)) OVER (ORDER BY used_at DESC, key) AS total
    FROM {SCHEMA}.cache
  ) c WHERE total > %s
)
"""
_LEAD = f"""
INSERT INTO {SCHEMA}.loads AS l VALUES (%(key)s, %(leader)s, {SCHEMA}.now_s() + %(lease_s)s)
ON CONFLICT (key) DO UPDATE SET leader = excluded.leader, lease_end = excluded.lease_end
WHERE l.lease_end < {SCHEMA}.now_s() RETURNING 1
"""
_RENEW = f"""
UPDATE {SCHEMA}.loads SET lease_end = {SCHEMA}.now_s() + %(lease_s)s
WHERE key = %(key)s AND leader = %(leader)s
"""
_RELEASE = f"DELETE FROM {SCHEMA}.loads WHERE key = %(key)s AND leader = %(leader)s"

_Lease = dict[str, str | float]


class PostgresCache:
    """A `Store` of the house; its clock is the database's."""

    def __init__(
        self,
        database: HouseDatabase,
        edition: str = "",
        *,
        max_bytes: int = MAX_BYTES,
        lease_s: float = _LEASE_S,
    ) -> None:
        self.clock: Callable[[], float] = database.clock
        self._database = database
        self._edition = edition
        self._max_bytes = max_bytes
        self._lease_s = lease_s
        self._writes: dict[str, asyncio.Task[None]] = {}
        self._releases: set[asyncio.Task[None]] = set()
        self._puts = 0

    async def find(self, key: CacheKey) -> Entry | None:
        """The entry of a key, unless all its lives are over."""
        if key.kind not in stored_values.TYPES:
            return None
        try:
            return await self._find(key.kind, name_of(key, self._edition))
        except HouseAwayError:
            return None

    def put(self, key: CacheKey, entry: Entry) -> None:
        """Add or replace an entry, soon."""
        if key.kind not in stored_values.TYPES:
            return
        name = name_of(key, self._edition)
        task = self._writes[name] = asyncio.create_task(self._put(key, name, entry))
        task.add_done_callback(lambda done: self._forget(name, done))

    @asynccontextmanager
    async def alone(self, key: CacheKey) -> AsyncIterator[Entry | None]:
        """Around a load: no other worker loads this key; gives what one of them has put before."""
        if key.kind not in stored_values.TYPES:
            yield None
            return
        name = name_of(key, self._edition)
        lease: _Lease = {"key": name, "leader": uuid.uuid4().hex, "lease_s": self._lease_s}
        entry = None
        renewing = None
        try:
            with contextlib.suppress(HouseAwayError):
                await self._lead(lease)
                renewing = asyncio.create_task(self._renew(lease))
                entry = await self._find(key.kind, name)
                if entry is not None and self.clock() >= entry.fresh_until:
                    entry = None
            yield entry
        finally:
            if renewing is not None:
                renewing.cancel()
            # The value first, so that who leads next finds it; and nobody here waits for either.
            task = asyncio.create_task(self._release(name, lease))
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)

    async def close(self) -> None:
        """Write what was put."""
        if tasks := {*self._writes.values(), *self._releases}:
            await asyncio.wait(tasks)

    async def _find(self, kind: str, name: str) -> Entry | None:
        rows = await self._database.ask(_FIND, (name,))
        for absent, size, *times, used_at, checksum, value in rows:
            now, stored_at = self.clock(), times[0]
            # One of the future is not believed: the clock was set back.
            if not stored_at - _CLOCK_ERROR_S <= now < max(times[1:]):
                return None
            if now - used_at > _USED_EVERY_S:
                self._database.soon(_USE, (name,))
            return await asyncio.to_thread(_decode, kind, absent, size, times, checksum, value)
        return None

    async def _put(self, key: CacheKey, name: str, entry: Entry) -> None:
        try:
            data = await asyncio.to_thread(encode_entry, entry)
        except StoredValueError as error:
            _LOG.warning("%s is not kept in the cache of the house: %s", key, error)
            return
        row = entry_row(name, entry, data)
        with contextlib.suppress(HouseAwayError):
            if len(data) <= self._max_bytes:
                await self._database.ask(_PUT, row)
            self._puts += 1
            if self._puts % _PUTS_PER_EVICTION == 0:
                await self._database.ask(_DELETE_DEAD)
                await self._database.ask(_DELETE_OLDEST, (self._max_bytes,))

    async def _lead(self, lease: _Lease) -> None:
        """Take the lease of a key, as soon as nobody has it; raises HouseAwayError."""
        pause_s = _FIRST_LOOK_S
        while not await self._database.ask(_LEAD, lease):
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _LAST_LOOK_S)

    async def _renew(self, lease: _Lease) -> None:
        while True:
            await asyncio.sleep(self._lease_s / _RENEWALS)
            with contextlib.suppress(HouseAwayError):
                await self._database.ask(_RENEW, lease)

    async def _release(self, name: str, lease: _Lease) -> None:
        if (write := self._writes.get(name)) is not None:
            await asyncio.wait({write})
        with contextlib.suppress(HouseAwayError):
            await self._database.ask(_RELEASE, lease)

    def _forget(self, name: str, task: "asyncio.Task[None]") -> None:
        if self._writes.get(name) is task:
            del self._writes[name]


def _decode(
    kind: str, absent: bool, size: int, times: Any, checksum: int, value: bytes
) -> Entry | None:
    if zlib.crc32(value) != checksum:
        return None
    try:
        return decode_entry(kind, absent, size, tuple(times), value)
    except StoredValueError:
        return None

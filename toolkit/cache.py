"""The cache: market data is fetched once for all who ask, and stays for a time that fits its kind.

Loads are shared while they run (see `single_flight`). A value that is no longer fresh may be served
once more: at once while a new one is fetched in the background, or because its source cannot be
reached. Errors are not cached, except that a source has nothing (UnknownSymbolError, NoDataError).
Callers share values, so values must be immutable. A cache belongs to one event loop.
"""

import asyncio
import datetime
import random
import sys
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span

from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.cache_use import HIT, MISS, SHARED, STALE, count, show_on
from trading_graph.toolkit.errors import NoDataError, SourceUnavailableError, UnknownSymbolError
from trading_graph.toolkit.single_flight import Flights, link_to_load
from trading_graph.toolkit.ttl import Lifetime


@dataclass(frozen=True, slots=True)
class CacheKey:
    """A kind of data from a source, for a symbol, as of a day, with parameters."""

    kind: str
    source: str
    symbol: str = ""
    as_of: datetime.date | None = None
    params: tuple[Hashable, ...] = ()

    def __str__(self) -> str:
        """The key in words, for messages."""
        return " ".join(str(part) for part in (self.kind, self.symbol, self.as_of) if part)


@dataclass(slots=True, eq=False)
class Entry:
    """A value, or the error that says there is none, with the ends of its lifetime.

    One that has no further life ends with `fresh_until`. After a failed load no other one starts
    before `try_again_at`. Times are those of the clock.
    """

    value: Any
    error: UnknownSymbolError | NoDataError | None
    size: int
    stored_at: float
    fresh_until: float
    revalidate_until: float
    if_error_until: float
    try_again_at: float = 0.0

    def serves(self, now: float) -> bool:
        """Whether a get is answered without a load that it has to wait for."""
        again_at = min(self.try_again_at, self.if_error_until)
        return now < max(self.fresh_until, self.revalidate_until, again_at)

    def on_clock(self, offset: float) -> "Entry":
        """The same on another clock, which is ahead by `offset` seconds."""
        return replace(
            self,
            stored_at=self.stored_at + offset,
            fresh_until=self.fresh_until + offset,
            revalidate_until=self.revalidate_until + offset,
            if_error_until=self.if_error_until + offset,
            try_again_at=0.0,
        )


class LeastRecentlyUsed:
    """Entries by key, bounded by number and bytes; the least recently used is evicted first."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[CacheKey, Entry] = OrderedDict()
        self._bytes = 0

    def find(self, key: CacheKey) -> Entry | None:
        """The entry of a key, fresh or not."""
        return self._entries.get(key)

    def touch(self, key: CacheKey) -> None:
        """Make an entry the most recently used one."""
        self._entries.move_to_end(key)

    def put(self, key: CacheKey, entry: Entry) -> None:
        """Add or replace an entry, unless it alone is larger than the limit."""
        self.drop(key)
        if entry.size > self._max_bytes:
            return
        self._entries[key] = entry
        self._bytes += entry.size
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            oldest = next(iter(self._entries))
            self.drop(oldest)
            count(oldest.kind, "evictions")

    def drop(self, key: CacheKey) -> None:
        """Remove an entry, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size


class Store(Protocol):
    """Where entries outlive the process; times in it are those of its clock, the wall clock.

    A store that fails has nothing, and keeps nothing: it never raises, and never holds the event
    loop up.
    """

    clock: Callable[[], float]

    async def find(self, key: CacheKey) -> Entry | None:
        """The entry of a key, unless all its lives are over."""
        ...

    def put(self, key: CacheKey, entry: Entry) -> None:
        """Add or replace an entry, soon."""
        ...

    def alone(self, key: CacheKey) -> AbstractAsyncContextManager[Entry | None]:
        """Around a load: no other process that shares the store loads this key meanwhile.

        Gives the fresh entry that another one has put before, in which case there is no need to.
        """
        ...


T = TypeVar("T")

_NEGATIVE_TTL_S = 60.0

# After a failed load an old value is served for this long before the next load starts.
_AGAIN_AFTER_S = 5.0


class SingleFlightCache:
    """Caches values by key for a time, and lets one load serve all who ask meanwhile.

    Bounded by entries and by approximate bytes; the least recently used is evicted first. The fresh
    time is shortened at random by up to `jitter` of it, so that values of one moment do not expire
    in one moment. `enabled=False` neither caches nor shares: the slow way, on purpose.

    What is not in memory is looked up in the `store`, if there is one, before it is loaded; the
    same rules hold for what stands there. Loads in the background belong to the cache: `close` ends
    them.
    """

    def __init__(
        self,
        max_entries: int = 4096,
        max_bytes: int = 64 * 2**20,
        enabled: bool = True,
        store: Store | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: float = 0.1,
    ) -> None:
        self._enabled = enabled
        self._store = store
        self._clock = clock
        self._jitter = jitter
        self._entries = LeastRecentlyUsed(max_entries, max_bytes)
        self._flights = Flights()
        self._refreshes: set[asyncio.Task[Any]] = set()
        self._look_ups: dict[CacheKey, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """End the loads in the background; values stay, and the cache remains usable."""
        refreshes, self._refreshes = self._refreshes, set()
        for task in refreshes:
            task.cancel()
        if background := {*refreshes, *self._look_ups.values()}:
            await asyncio.wait(background)

    async def get(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[T]],
        *,
        ttl: float | Lifetime,
        size: Callable[[T], int] | None = None,
    ) -> T:
        """The value of `key`: from the cache, from a load that runs already, or from `loader`.

        `ttl` in seconds is a lifetime without staleness. `size` gives a value's bytes; without it
        only the outermost object is measured. Raises what the load raises. The current span gets
        `trading.cache`: stale (an old value, with its age), miss (this call loads), shared (it
        joined a load, and links to the load's span) or hit. Of several gets under one span, the
        first of these that occurs stays.
        """
        kind = key.kind
        span = trace.get_current_span()
        if not self._enabled:
            count(kind, "misses")
            show_on(span, MISS)
            return await loader()
        now = self._clock()
        entry = self._entries.find(key)
        is_fresh = entry is not None and now < entry.fresh_until
        if not is_fresh and self._store is not None and not (entry and entry.serves(now)):
            await self._look_up(key, self._store)
            now, entry = self._clock(), self._entries.find(key)
        if entry is not None:
            if now < entry.fresh_until:
                self._entries.touch(key)
                count(kind, "hits")
                show_on(span, HIT, now - entry.stored_at)
                if entry.error is not None:
                    count(kind, "negative")
                    raise _without_traceback(entry.error)
                value: T = entry.value
                return value
            if now < entry.revalidate_until:
                count(kind, "stale")
                if now >= entry.try_again_at and self._flights.find(key) is None:
                    self._refresh(key, lambda: self._load(key, loader, ttl, size))
                return self._stale(key, entry, span, now)  # type: ignore[no-any-return]
            if now < min(entry.try_again_at, entry.if_error_until):
                count(kind, "stale_errors")
                return self._stale(key, entry, span, now)  # type: ignore[no-any-return]
        flight = self._flights.find(key)
        if flight is None:
            count(kind, "misses")
            show_on(span, MISS)
            flight = self._flights.start(key, lambda: self._load(key, loader, ttl, size))
        else:
            count(kind, "shared")
            show_on(span, SHARED)
        try:
            return await self._flights.wait(key, flight)  # type: ignore[no-any-return]
        except SourceUnavailableError as error:
            entry, now = self._entries.find(key), self._clock()
            if entry is None or entry.error is not None or now >= entry.if_error_until:
                raise
            count(kind, "stale_errors")
            span.add_event("served stale", {semconv.ERROR_TYPE: spans.error_type(error)})
            return self._stale(key, entry, span, now)  # type: ignore[no-any-return]
        finally:
            link_to_load(span, flight)

    async def _look_up(self, key: CacheKey, store: Store) -> None:
        """Take over what the store has of a key, once for all who ask at the same moment."""
        if self._flights.find(key) is not None:
            return  # The store had nothing that serves.
        task = self._look_ups.get(key)
        if task is None:
            task = self._look_ups[key] = asyncio.create_task(self._take_over(key, store))
            task.add_done_callback(lambda _: self._look_ups.pop(key))
        # Unlike `await task`, this does not cancel the task with one of those who wait for it.
        await asyncio.wait((task,))

    async def _take_over(self, key: CacheKey, store: Store) -> None:
        stored = await store.find(key)
        if stored is None:
            return
        entry, own = stored.on_clock(self._clock() - store.clock()), self._entries.find(key)
        if own is None or own.stored_at < entry.stored_at:
            count(key.kind, "stored")
            self._entries.put(key, entry)

    def _stale(self, key: CacheKey, entry: Entry, span: Span, now: float) -> Any:
        self._entries.touch(key)
        show_on(span, STALE, now - entry.stored_at)
        return entry.value

    def _refresh(self, key: CacheKey, load: Callable[[], Awaitable[Any]]) -> None:
        """Load in the background, in a trace of its own: the caller's trace may end earlier."""

        async def renew() -> Any:
            with spans.detached_span(
                f"revalidate {key.kind}",
                attributes={data_attributes.SYMBOL: key.symbol or key.source},
            ):
                return await load()

        count(key.kind, "refreshes")
        # The cache owns it: otherwise the last caller who joins it could cancel it.
        task = self._flights.start(key, renew, owned=True).task
        self._refreshes.add(task)
        task.add_done_callback(self._refreshes.discard)

    async def _load(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[T]],
        ttl: float | Lifetime,
        size: Callable[[T], int] | None,
    ) -> T:
        if self._store is None:
            return await self._load_here(key, loader, ttl, size)
        async with self._store.alone(key) as stored:
            if stored is None:
                return await self._load_here(key, loader, ttl, size)
        count(key.kind, "stored")
        self._entries.put(key, stored.on_clock(self._clock() - self._store.clock()))
        if stored.error is not None:
            raise _without_traceback(stored.error)
        value: T = stored.value
        return value

    async def _load_here(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[T]],
        ttl: float | Lifetime,
        size: Callable[[T], int] | None,
    ) -> T:
        lifetime = ttl if isinstance(ttl, Lifetime) else Lifetime(ttl)
        try:
            value = await loader()
        except (UnknownSymbolError, NoDataError) as error:
            absence = _without_traceback(error)
            short = Lifetime(min(lifetime.fresh_s, _NEGATIVE_TTL_S))
            self._put(key, None, absence, short, sys.getsizeof(absence))
            raise
        except Exception:
            count(key.kind, "failures")
            if (entry := self._entries.find(key)) is not None:
                entry.try_again_at = self._clock() + _AGAIN_AFTER_S
            raise
        self._put(key, value, None, lifetime, size(value) if size else sys.getsizeof(value))
        return value

    def _put(
        self,
        key: CacheKey,
        value: Any,
        error: UnknownSymbolError | NoDataError | None,
        lifetime: Lifetime,
        size: int,
    ) -> None:
        if lifetime.fresh_s <= 0:
            self._entries.drop(key)
            return
        now = self._clock()
        end = now + lifetime.fresh_s
        fresh_until = now + lifetime.fresh_s * (1 - self._jitter * random.random())
        entry = Entry(
            value,
            error,
            size,
            stored_at=now,
            fresh_until=fresh_until,
            revalidate_until=end + lifetime.revalidate_s if lifetime.revalidate_s else fresh_until,
            if_error_until=end + lifetime.if_error_s if lifetime.if_error_s else fresh_until,
        )
        self._entries.put(key, entry)
        if self._store is not None:
            self._store.put(key, entry.on_clock(self._store.clock() - now))


E = TypeVar("E", bound=Exception)


def _without_traceback(error: E) -> E:
    """A copy without traceback, which would grow at every raise, and keep frames alive."""
    return type(error)(*error.args)

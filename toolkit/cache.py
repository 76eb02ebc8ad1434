"""The cache: market data is fetched once for all who ask, and stays for a time that fits its kind.

Loads are shared while they run (see `single_flight`). A value that is no longer fresh may be served
once more: at once while a new one is fetched in the background, or because its source cannot be
reached. Errors are not cached, except that a source has nothing (UnknownSymbolError, NoDataError).
Callers share values, so values must be immutable. One cache may serve several event loops one after
the other: values carry over, running loads do not.
"""

import asyncio
import datetime
import random
import sys
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span

from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.errors import NoDataError, SourceUnavailableError, UnknownSymbolError
from trading_graph.toolkit.single_flight import Flights, link_to_load
from trading_graph.toolkit.ttl import Lifetime


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Counts of the gets of one kind of data, and of what followed from them.

    `stale` gets returned an old value while a new one was fetched (`refreshes`), `stale_errors`
    returned one because its source could not be reached. `negative` gets met a cached absence; they
    count as hits too. `failures` are loads that failed.
    """

    hits: int = 0
    misses: int = 0
    shared: int = 0
    stale: int = 0
    stale_errors: int = 0
    negative: int = 0
    refreshes: int = 0
    failures: int = 0
    evictions: int = 0


COUNTS = tuple(field.name for field in fields(CacheUse))


@dataclass(frozen=True, slots=True)
class KindStatistics(CacheUse):
    """The use of a cache for one kind of data, and its entries now; bytes are approximate."""

    entries: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics(KindStatistics):
    """The counts of all kinds together, and by kind."""

    by_kind: Mapping[str, KindStatistics]


_NAMES = tuple(field.name for field in fields(KindStatistics))


class CacheCounts:
    """The growing counts, in plain mappings because every get writes one."""

    def __init__(self) -> None:
        self._by_kind: defaultdict[str, dict[str, int]] = defaultdict(
            lambda: dict.fromkeys(_NAMES, 0)
        )

    def add(self, kind: str, name: str) -> None:
        """Add one to a count of `CacheUse`, also for the run in which it happens."""
        self._by_kind[kind][name] += 1
        if (run := _RUN.get()) is not None:
            run._by_kind[kind][name] += 1

    def resize(self, kind: str, entries: int, size: int) -> None:
        """Change the number of entries and their bytes; both may be negative."""
        counts = self._by_kind[kind]
        counts["entries"] += entries
        counts["bytes"] += size

    @property
    def statistics(self) -> CacheStatistics:
        """The counts now; any thread may read this."""
        by_kind = {kind: KindStatistics(**counts) for kind, counts in tuple(self._by_kind.items())}
        every = [asdict(each) for each in by_kind.values()]
        total = {name: sum(each[name] for each in every) for name in _NAMES}
        return CacheStatistics(**total, by_kind=by_kind)


_RUN: ContextVar[CacheCounts | None] = ContextVar("cache_counts_of_the_run", default=None)


@contextmanager
def count_cache_use(span: Span) -> Iterator[None]:
    """Write on the block's span what caches do for it: one event `cache` for each kind of data.

    The context tells runs that share a cache apart, so that each run counts its own use.
    """
    counts = CacheCounts()
    token = _RUN.set(counts)
    try:
        yield
    finally:
        _RUN.reset(token)
        for kind, use in sorted(counts.statistics.by_kind.items()):
            numbers = {f"{semconv.CACHE}.{name}": getattr(use, name) for name in COUNTS}
            span.add_event(semconv.CACHE_EVENT, {semconv.CACHE_KIND: kind, **numbers})


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

    After a failed load no other one starts before `try_again_at`. Times are those of the clock.
    """

    value: Any
    error: UnknownSymbolError | NoDataError | None
    size: int
    stored_at: float
    fresh_until: float
    revalidate_until: float
    if_error_until: float
    try_again_at: float = 0.0


class LeastRecentlyUsed:
    """Entries by key, bounded by number and bytes; the least recently used is evicted first."""

    def __init__(self, max_entries: int, max_bytes: int, counts: CacheCounts) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._counts = counts
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
        self._count(key, 1, entry.size)
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            oldest = next(iter(self._entries))
            self.drop(oldest)
            self._counts.add(oldest.kind, "evictions")

    def drop(self, key: CacheKey) -> None:
        """Remove an entry, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._count(key, -1, -entry.size)

    def _count(self, key: CacheKey, entries: int, size: int) -> None:
        self._bytes += size
        self._counts.resize(key.kind, entries, size)


T = TypeVar("T")

HIT = "hit"
SHARED = "shared"
MISS = "miss"
STALE = "stale"

# One span may cover several gets; it shows the result that matters most to its reader.
_WEIGHT = {None: 0, HIT: 1, SHARED: 2, MISS: 3, STALE: 4}

_NEGATIVE_TTL_S = 60.0

# After a failed load an old value is served for this long before the next load starts.
_AGAIN_AFTER_S = 5.0


class SingleFlightCache:
    """Caches values by key for a time, and lets one load serve all who ask meanwhile.

    Bounded by entries and by approximate bytes; the least recently used is evicted first. The fresh
    time is shortened at random by up to `jitter` of it, so that values of one moment do not expire
    in one moment. `enabled=False` neither caches nor shares: the slow way, on purpose.

    Loads in the background belong to the cache: `close` ends them.
    """

    def __init__(
        self,
        max_entries: int = 4096,
        max_bytes: int = 64 * 2**20,
        enabled: bool = True,
        clock: Callable[[], float] = time.monotonic,
        jitter: float = 0.1,
    ) -> None:
        self._enabled = enabled
        self._clock = clock
        self._jitter = jitter
        self._counts = CacheCounts()
        self._entries = LeastRecentlyUsed(max_entries, max_bytes, self._counts)
        self._flights = Flights()
        self._refreshes: set[asyncio.Task[Any]] = set()

    @property
    def statistics(self) -> CacheStatistics:
        """The counts since the cache was made, and its size now."""
        return self._counts.statistics

    async def close(self) -> None:
        """End the loads in the background; values stay, and the cache remains usable."""
        loop = asyncio.get_running_loop()
        refreshes, self._refreshes = self._refreshes, set()
        running = [task for task in refreshes if task.get_loop() is loop]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

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
        count, kind = self._counts.add, key.kind
        span = trace.get_current_span()
        if not self._enabled:
            count(kind, "misses")
            _report(span, MISS)
            return await loader()
        now = self._clock()
        entry = self._entries.find(key)
        if entry is not None:
            if now < entry.fresh_until:
                self._entries.touch(key)
                count(kind, "hits")
                _report(span, HIT, now - entry.stored_at)
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
            _report(span, MISS)
            flight = self._flights.start(key, lambda: self._load(key, loader, ttl, size))
        else:
            count(kind, "shared")
            _report(span, SHARED)
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

    def _stale(self, key: CacheKey, entry: Entry, span: Span, now: float) -> Any:
        self._entries.touch(key)
        _report(span, STALE, now - entry.stored_at)
        return entry.value

    def _refresh(self, key: CacheKey, load: Callable[[], Awaitable[Any]]) -> None:
        """Load in the background, in a trace of its own: the caller's trace may end earlier."""

        async def renew() -> Any:
            with spans.detached_span(
                f"revalidate {key.kind}",
                attributes={data_attributes.SYMBOL: key.symbol or key.source},
            ):
                return await load()

        self._counts.add(key.kind, "refreshes")
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
        lifetime = ttl if isinstance(ttl, Lifetime) else Lifetime(ttl)
        try:
            value = await loader()
        except (UnknownSymbolError, NoDataError) as error:
            absence = _without_traceback(error)
            short = Lifetime(min(lifetime.fresh_s, _NEGATIVE_TTL_S))
            self._put(key, None, absence, short, sys.getsizeof(absence))
            raise
        except Exception:
            self._counts.add(key.kind, "failures")
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
        self._entries.put(
            key,
            Entry(
                value,
                error,
                size,
                stored_at=now,
                fresh_until=now + lifetime.fresh_s * (1 - self._jitter * random.random()),
                revalidate_until=end + lifetime.revalidate_s if lifetime.revalidate_s else 0.0,
                if_error_until=end + lifetime.if_error_s if lifetime.if_error_s else 0.0,
            ),
        )


E = TypeVar("E", bound=Exception)


def _without_traceback(error: E) -> E:
    """A copy without traceback, which would grow at every raise, and keep frames alive."""
    return type(error)(*error.args)


def _report(span: Span, result: str, age_s: float | None = None) -> None:
    """Write a get's result on the caller's span: the weightiest one, and the oldest value's age."""
    if not isinstance(span, ReadableSpan):
        return  # it records nothing
    attributes: Mapping[str, Any] = span.attributes or {}
    before = attributes.get(semconv.CACHE)
    if _WEIGHT[result] > _WEIGHT[before]:
        span.set_attribute(semconv.CACHE, result)
    if age_s is not None and (before is None or age_s > attributes.get(semconv.CACHE_AGE_S, -1.0)):
        span.set_attribute(semconv.CACHE_AGE_S, round(age_s, 3))

"""The cache: what is asked for many times is fetched once, and kept for a time that fits its kind.

Loads are shared while they run (see `single_flight`). Errors are not kept, except that a source
has nothing (UnknownSymbol, NoData). Cached values are shared between callers, so they must be
immutable. A cache may serve several event loops one after the other: values carry over, running
loads do not.
"""

import datetime
import random
import sys
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span

from otel.trace import semconv
from toolkit.errors import NoData, UnknownSymbol
from toolkit.single_flight import Flights, link_to_load

T = TypeVar("T")

HIT = "hit"
SHARED = "shared"
MISS = "miss"

# One span may stand for several gets; it keeps the result that stands for the most work.
_WORK = {None: 0, HIT: 1, SHARED: 2, MISS: 3}

_NEGATIVE_TTL_S = 60.0


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What is cached: a kind of data, from a source, for a symbol, as of a day, with parameters."""

    kind: str
    source: str
    symbol: str = ""
    as_of: datetime.date | None = None
    params: tuple[Hashable, ...] = ()

    def __str__(self) -> str:
        """The key in words, for messages."""
        return " ".join(str(part) for part in (self.kind, self.symbol, self.as_of) if part)


@dataclass(frozen=True, slots=True)
class KindStatistics:
    """How the gets of one kind of data went, and how many of its entries had to make room."""

    hits: int = 0
    misses: int = 0
    shared: int = 0
    evictions: int = 0


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """How all gets went, what is held (entries, approximate bytes), and the same by kind."""

    hits: int
    misses: int
    shared: int
    evictions: int
    entries: int
    bytes: int
    by_kind: Mapping[str, KindStatistics]


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    error: UnknownSymbol | NoData | None
    stored_at: float
    expires_at: float
    size: int


class SingleFlightCache:
    """Keeps values by key for a time, and lets one load serve all who ask meanwhile.

    Bounded by entries and by approximate bytes; the least recently used goes first. A lifetime is
    shortened at random by up to `jitter` of it, so that what was loaded together does not expire
    together. `enabled=False` neither keeps nor shares: the slow way, on purpose.
    """

    def __init__(
        self,
        max_entries: int = 4096,
        max_bytes: int = 64 * 2**20,
        enabled: bool = True,
        clock: Callable[[], float] = time.monotonic,
        jitter: float = 0.1,
    ) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._enabled = enabled
        self._clock = clock
        self._jitter = jitter
        self._entries: OrderedDict[CacheKey, _Entry] = OrderedDict()
        self._bytes = 0
        self._flights = Flights()
        self._counts: defaultdict[str, dict[str, int]] = defaultdict(
            lambda: {"hits": 0, "misses": 0, "shared": 0, "evictions": 0}
        )

    @property
    def statistics(self) -> CacheStatistics:
        """What the cache has done, and what it holds at this moment."""
        by_kind = {kind: KindStatistics(**counts) for kind, counts in self._counts.items()}
        return CacheStatistics(
            hits=sum(kind.hits for kind in by_kind.values()),
            misses=sum(kind.misses for kind in by_kind.values()),
            shared=sum(kind.shared for kind in by_kind.values()),
            evictions=sum(kind.evictions for kind in by_kind.values()),
            entries=len(self._entries),
            bytes=self._bytes,
            by_kind=by_kind,
        )

    async def get(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[T]],
        *,
        ttl: float,
        size: Callable[[T], int] | None = None,
    ) -> T:
        """The value of `key`: cached, or from a load that runs already, or by calling `loader`.

        `ttl` is in seconds. `size` tells a value's bytes; without it only the outermost object is
        measured. Raises what the load raises. The current span gets `trading.cache`: miss (this
        call loads), shared (it joined a load, and links to the load's span) or hit; of several gets
        under one span the strongest stays.
        """
        counts = self._counts[key.kind]
        span = trace.get_current_span()
        if not self._enabled:
            counts["misses"] += 1
            _report(span, MISS)
            return await loader()
        now = self._clock()
        entry = self._entries.get(key)
        if entry is not None and now < entry.expires_at:
            self._entries.move_to_end(key)
            counts["hits"] += 1
            _report(span, HIT, now - entry.stored_at)
            if entry.error is not None:
                raise _afresh(entry.error)
            kept: T = entry.value
            return kept
        flight = self._flights.running(key)
        if flight is None:
            counts["misses"] += 1
            _report(span, MISS)
            flight = self._flights.start(key, lambda: self._load(key, loader, ttl, size))
        else:
            counts["shared"] += 1
            _report(span, SHARED)
        try:
            return await self._flights.wait(key, flight)  # type: ignore[no-any-return]
        finally:
            link_to_load(span, flight)

    async def _load(
        self,
        key: CacheKey,
        loader: Callable[[], Awaitable[T]],
        ttl: float,
        size: Callable[[T], int] | None,
    ) -> T:
        try:
            value = await loader()
        except (UnknownSymbol, NoData) as error:
            kept = _afresh(error)
            self._store(key, None, kept, min(ttl, _NEGATIVE_TTL_S), sys.getsizeof(kept))
            raise
        self._store(key, value, None, ttl, size(value) if size else sys.getsizeof(value))
        return value

    def _store(
        self, key: CacheKey, value: Any, error: UnknownSymbol | NoData | None, ttl: float, size: int
    ) -> None:
        self._drop(key)
        if ttl <= 0 or size > self._max_bytes:
            return
        now = self._clock()
        expires_at = now + ttl * (1 - self._jitter * random.random())
        self._entries[key] = _Entry(value, error, now, expires_at, size)
        self._bytes += size
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            oldest = next(iter(self._entries))
            self._drop(oldest)
            self._counts[oldest.kind]["evictions"] += 1

    def _drop(self, key: CacheKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size


E = TypeVar("E", bound=Exception)


def _afresh(error: E) -> E:
    """A copy without traceback: a kept one would grow at every raise, and keep frames alive."""
    return type(error)(*error.args)


def _report(span: Span, result: str, age_s: float | None = None) -> None:
    """Write how a get went on the caller's span: the strongest result, the oldest value's age."""
    if not isinstance(span, ReadableSpan):
        return  # it records nothing
    written: Mapping[str, Any] = span.attributes or {}
    before = written.get(semconv.CACHE)
    if _WORK[result] > _WORK[before]:
        span.set_attribute(semconv.CACHE, result)
    if age_s is not None and (before is None or age_s > written.get(semconv.CACHE_AGE_S, -1.0)):
        span.set_attribute(semconv.CACHE_AGE_S, round(age_s, 3))

"""The cache: what is asked for many times is fetched once, and kept for a time that fits its kind.

Loads are shared while they run (see `single_flight`). A value that is no longer fresh may be served
once more: at once while it is fetched anew in the background, or because its source cannot be
reached. Errors are not kept, except that a source has nothing (UnknownSymbol, NoData). Cached
values are shared between callers, so they must be immutable. A cache may serve several event loops
one after the other: values carry over, running loads do not.
"""

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span

from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.cache_statistics import CacheCounts, CacheStatistics
from trading_graph.toolkit.errors import NoData, SourceUnavailable, UnknownSymbol
from trading_graph.toolkit.lru import CacheKey, Entry, LeastRecentlyUsed
from trading_graph.toolkit.single_flight import Flights, link_to_load
from trading_graph.toolkit.ttl import Lifetime

__all__ = ["HIT", "MISS", "SHARED", "STALE", "CacheKey", "SingleFlightCache"]

T = TypeVar("T")

HIT = "hit"
SHARED = "shared"
MISS = "miss"
STALE = "stale"

# One span may stand for several gets; it keeps the result that its reader has to know most.
_WEIGHT = {None: 0, HIT: 1, SHARED: 2, MISS: 3, STALE: 4}

_NEGATIVE_TTL_S = 60.0

# After a failed load an old value is served for so long before its source is asked again.
_AGAIN_AFTER_S = 5.0


class SingleFlightCache:
    """Keeps values by key for a time, and lets one load serve all who ask meanwhile.

    Bounded by entries and by approximate bytes; the least recently used goes first. The fresh time
    is shortened at random by up to `jitter` of it, so that what was loaded together does not expire
    together. `enabled=False` neither keeps nor shares: the slow way, on purpose.

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
        self._kept = LeastRecentlyUsed(max_entries, max_bytes, self._counts)
        self._flights = Flights()
        self._refreshes: set[asyncio.Task[Any]] = set()

    @property
    def statistics(self) -> CacheStatistics:
        """What the cache has done, and what it holds at this moment."""
        return self._counts.statistics

    async def close(self) -> None:
        """End the loads in the background; what is kept stays, and the cache can be used on."""
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
        """The value of `key`: cached, or from a load that runs already, or by calling `loader`.

        `ttl` in seconds is a lifetime without staleness. `size` tells a value's bytes; without it
        only the outermost object is measured. Raises what the load raises. The current span gets
        `trading.cache`: stale (its lifetime is over, its age stands beside it), miss (this call
        loads), shared (it joined a load, and links to the load's span) or hit; of several gets
        under one span the first of these that occurs stays.
        """
        count, kind = self._counts.add, key.kind
        span = trace.get_current_span()
        if not self._enabled:
            count(kind, "misses")
            _report(span, MISS)
            return await loader()
        now = self._clock()
        entry = self._kept.find(key)
        if entry is not None:
            if now < entry.fresh_until:
                self._kept.used(key)
                count(kind, "hits")
                _report(span, HIT, now - entry.stored_at)
                if entry.error is not None:
                    count(kind, "negative")
                    raise _afresh(entry.error)
                kept: T = entry.value
                return kept
            if now < entry.revalidate_until:
                count(kind, "stale")
                if now >= entry.try_again_at and self._flights.running(key) is None:
                    self._refresh(key, lambda: self._load(key, loader, ttl, size))
                return self._stale(key, entry, span, now)  # type: ignore[no-any-return]
            if now < min(entry.try_again_at, entry.if_error_until):
                count(kind, "stale_errors")
                return self._stale(key, entry, span, now)  # type: ignore[no-any-return]
        flight = self._flights.running(key)
        if flight is None:
            count(kind, "misses")
            _report(span, MISS)
            flight = self._flights.start(key, lambda: self._load(key, loader, ttl, size))
        else:
            count(kind, "shared")
            _report(span, SHARED)
        try:
            return await self._flights.wait(key, flight)  # type: ignore[no-any-return]
        except SourceUnavailable as error:
            old, now = self._kept.find(key), self._clock()
            if old is None or old.error is not None or now >= old.if_error_until:
                raise
            count(kind, "stale_errors")
            span.add_event("served stale", {semconv.ERROR_TYPE: spans.error_type(error)})
            return self._stale(key, old, span, now)  # type: ignore[no-any-return]
        finally:
            link_to_load(span, flight)

    def _stale(self, key: CacheKey, entry: Entry, span: Span, now: float) -> Any:
        self._kept.used(key)
        _report(span, STALE, now - entry.stored_at)
        return entry.value

    def _refresh(self, key: CacheKey, load: Callable[[], Awaitable[Any]]) -> None:
        """Load in the background, in a trace of its own: the asker's may be over before it is."""

        async def renew() -> Any:
            with spans.detached_span(
                f"revalidate {key.kind}", attributes={semconv.SYMBOL: key.symbol or key.source}
            ):
                return await load()

        self._counts.add(key.kind, "refreshes")
        # Nobody waits for it, so the cache does: else the last one who joins it could cancel it.
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
        except (UnknownSymbol, NoData) as error:
            kept = _afresh(error)
            short = Lifetime(min(lifetime.fresh_s, _NEGATIVE_TTL_S))
            self._keep(key, None, kept, short, sys.getsizeof(kept))
            raise
        except Exception:
            self._counts.add(key.kind, "failures")
            if (old := self._kept.find(key)) is not None:
                old.try_again_at = self._clock() + _AGAIN_AFTER_S
            raise
        self._keep(key, value, None, lifetime, size(value) if size else sys.getsizeof(value))
        return value

    def _keep(
        self,
        key: CacheKey,
        value: Any,
        error: UnknownSymbol | NoData | None,
        lifetime: Lifetime,
        size: int,
    ) -> None:
        if lifetime.fresh_s <= 0:
            self._kept.drop(key)
            return
        now = self._clock()
        end = now + lifetime.fresh_s
        self._kept.put(
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


def _afresh(error: E) -> E:
    """A copy without traceback: a kept one would grow at every raise, and keep frames alive."""
    return type(error)(*error.args)


def _report(span: Span, result: str, age_s: float | None = None) -> None:
    """Write how a get went on the caller's span: the weightiest result, the oldest value's age."""
    if not isinstance(span, ReadableSpan):
        return  # it records nothing
    written: Mapping[str, Any] = span.attributes or {}
    before = written.get(semconv.CACHE)
    if _WEIGHT[result] > _WEIGHT[before]:
        span.set_attribute(semconv.CACHE, result)
    if age_s is not None and (before is None or age_s > written.get(semconv.CACHE_AGE_S, -1.0)):
        span.set_attribute(semconv.CACHE_AGE_S, round(age_s, 3))

"""The cache: what is kept, for how long, and how much of it."""

import asyncio
import datetime

import pytest
from opentelemetry.trace import INVALID_SPAN

from tests.toolkit.upstream import DAY, KEY, Clock, Upstream, key_of
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.cache_use import count_cache_use
from trading_graph.toolkit.errors import NoDataError, UnknownSymbolError

# One load


async def test_a_thousand_concurrent_misses_load_once() -> None:
    cache, upstream = SingleFlightCache(), Upstream()
    with count_cache_use(INVALID_SPAN) as counts:
        values = await asyncio.gather(*(cache.get(KEY, upstream.load, ttl=60) for _ in range(1000)))
    assert values == ["value"] * 1000
    assert upstream.calls == 1
    assert counts["bars"] == {"misses": 1, "shared": 999}


async def test_after_the_load_gets_hit_without_a_load() -> None:
    cache, upstream = SingleFlightCache(), Upstream()
    with count_cache_use(INVALID_SPAN) as counts:
        for _ in range(3):
            assert await cache.get(KEY, upstream.load, ttl=60) == "value"
    assert upstream.calls == 1
    assert counts["bars"] == {"misses": 1, "hits": 2}


@pytest.mark.parametrize(
    "other",
    [
        CacheKey("statements", "test", "AAPL", DAY),
        CacheKey("bars", "other", "AAPL", DAY),
        CacheKey("bars", "test", "NVDA", DAY),
        CacheKey("bars", "test", "AAPL", datetime.date(2025, 11, 13)),
        CacheKey("bars", "test", "AAPL", DAY, ("quarterly",)),
    ],
    ids=["kind", "source", "symbol", "as_of", "params"],
)
async def test_every_part_of_the_key_counts(other: CacheKey) -> None:
    cache, first, second = SingleFlightCache(), Upstream("first"), Upstream("second")
    assert await cache.get(KEY, first.load, ttl=60) == "first"
    assert await cache.get(other, second.load, ttl=60) == "second"


async def test_none_and_other_false_values_are_kept_like_any_value() -> None:
    cache, upstream = SingleFlightCache(), Upstream(None)
    for _ in range(2):
        assert await cache.get(KEY, upstream.load, ttl=60) is None
    assert upstream.calls == 1


async def test_disabled_it_neither_keeps_nor_shares() -> None:
    cache, upstream = SingleFlightCache(enabled=False), Upstream()
    with count_cache_use(INVALID_SPAN) as counts:
        await asyncio.gather(*(cache.get(KEY, upstream.load, ttl=60) for _ in range(10)))
        await cache.get(KEY, upstream.load, ttl=60)
    assert upstream.calls == 11
    assert counts["bars"] == {"misses": 11}


# Absence


@pytest.mark.parametrize(
    "absent", [UnknownSymbolError("no such ticker"), NoDataError("nothing that day")]
)
async def test_that_a_source_has_nothing_is_kept_for_sixty_seconds(absent: Exception) -> None:
    clock = Clock()
    cache, upstream = SingleFlightCache(clock=clock, jitter=0), Upstream(absent)
    for now, calls in [(0.0, 1), (59.0, 1), (60.0, 2)]:
        clock.now = now
        with pytest.raises(type(absent), match=str(absent)):
            await cache.get(KEY, upstream.load, ttl=86400)
        assert upstream.calls == calls


async def test_a_kept_error_holds_no_traceback_and_does_not_grow() -> None:
    cache, upstream = SingleFlightCache(), Upstream(NoDataError("nothing"))
    raised: list[NoDataError] = []
    for _ in range(3):
        with pytest.raises(NoDataError) as caught:
            await cache.get(KEY, upstream.load, ttl=60)
        raised.append(caught.value)
    assert len({id(error) for error in raised}) == 3
    depths = []
    for error in raised[1:]:
        depth, step = 0, error.__traceback__
        while step is not None:
            depth, step = depth + 1, step.tb_next
        depths.append(depth)
    assert depths[0] == depths[1]


# Time


async def test_each_get_sets_the_lifetime_of_what_it_loads() -> None:
    clock = Clock()
    cache = SingleFlightCache(clock=clock, jitter=0)
    today, closed = Upstream("today"), Upstream("closed day")

    async def ask() -> tuple[int, int]:
        await cache.get(key_of("AAPL", "bars today"), today.load, ttl=60)
        await cache.get(key_of("AAPL", "bars closed"), closed.load, ttl=86400)
        return today.calls, closed.calls

    assert await ask() == (1, 1)
    clock.now = 59.9
    assert await ask() == (1, 1)
    clock.now = 60.0
    assert await ask() == (2, 1)
    clock.now = 86400.0
    assert await ask() == (3, 2)


async def test_a_lifetime_of_zero_shares_and_does_not_keep() -> None:
    cache, upstream = SingleFlightCache(), Upstream()
    await asyncio.gather(*(cache.get(KEY, upstream.load, ttl=0) for _ in range(10)))
    assert upstream.calls == 1
    await cache.get(KEY, upstream.load, ttl=0)
    assert upstream.calls == 2


async def test_jitter_spreads_the_ends_of_lives_and_only_shortens_them() -> None:
    clock = Clock()
    cache = SingleFlightCache(clock=clock, jitter=0.1)
    upstream = Upstream()
    keys = [key_of(f"S{number}") for number in range(200)]
    for key in keys:
        await cache.get(key, upstream.load, ttl=100)

    clock.now = 89.9
    for key in keys:
        await cache.get(key, upstream.load, ttl=100)
    assert upstream.calls == 200
    clock.now = 95.0
    for key in keys:
        await cache.get(key, upstream.load, ttl=100)
    assert 200 < upstream.calls < 400
    clock.now = 100.0
    survivors = 400 - upstream.calls
    with count_cache_use(INVALID_SPAN) as counts:
        for key in keys:
            await cache.get(key, upstream.load, ttl=100)
    assert upstream.calls == 400, "no first load outlives its ttl"
    assert counts["bars"]["hits"] == 200 - survivors


# Bounds


async def test_the_least_recently_used_entry_goes_first() -> None:
    cache = SingleFlightCache(max_entries=2)
    upstreams = {name: Upstream(name) for name in "ABC"}

    async def get(name: str) -> None:
        await cache.get(key_of(name), upstreams[name].load, ttl=60)

    for name in "ABAC":
        await get(name)
    await get("A")
    assert (upstreams["A"].calls, upstreams["B"].calls) == (1, 1)
    await get("B")
    assert upstreams["B"].calls == 2


async def test_entries_make_room_by_bytes() -> None:
    cache = SingleFlightCache(max_bytes=100)

    async def get(name: str, size: int) -> int:
        upstream = Upstream(name)
        await cache.get(key_of(name, kind=name), upstream.load, ttl=60, size=lambda value: size)
        return upstream.calls

    with count_cache_use(INVALID_SPAN) as counts:
        await get("A", 60)
        await get("B", 40)
        assert "evictions" not in counts["A"]
        await get("C", 30)
        assert counts["A"]["evictions"] == 1
    assert await get("B", 40) == 0
    assert await get("C", 30) == 0
    assert await get("A", 60) == 1


async def test_what_is_larger_than_the_cache_is_served_and_evicts_nothing() -> None:
    cache, small, large = SingleFlightCache(max_bytes=100), Upstream("x"), Upstream("X")
    for _ in range(2):
        await cache.get(key_of("small"), small.load, ttl=60, size=lambda value: 10)
        served = await cache.get(key_of("large"), large.load, ttl=60, size=lambda value: 101)
        assert served == "X"
    assert (small.calls, large.calls) == (1, 2)


async def test_reloading_an_expired_entry_counts_its_bytes_once() -> None:
    clock = Clock()
    cache = SingleFlightCache(max_bytes=10, clock=clock, jitter=0)
    for now in (0.0, 100.0, 200.0):
        clock.now = now
        await cache.get(KEY, Upstream().load, ttl=60, size=lambda value: 7)
    with count_cache_use(INVALID_SPAN) as counts:
        await cache.get(key_of("other"), Upstream().load, ttl=60, size=lambda value: 3)
    assert counts["bars"] == {"misses": 1}, "both fit, so that none is evicted"


@pytest.mark.parametrize(("max_bytes", "loads"), [(5000, 2), (5100, 1)])
async def test_without_a_size_the_outermost_object_is_measured(max_bytes: int, loads: int) -> None:
    cache, upstream = SingleFlightCache(max_bytes=max_bytes), Upstream(b"x" * 5000)
    for _ in range(2):
        await cache.get(KEY, upstream.load, ttl=60)
    assert upstream.calls == loads


async def test_use_is_counted_by_kind() -> None:
    cache = SingleFlightCache()
    bars, statements = Upstream(), Upstream()
    with count_cache_use(INVALID_SPAN) as counts:
        await asyncio.gather(*(cache.get(key_of("A"), bars.load, ttl=60) for _ in range(3)))
        await cache.get(key_of("A", "statements"), statements.load, ttl=60)
        await cache.get(key_of("A", "statements"), statements.load, ttl=60)
    assert counts["bars"] == {"misses": 1, "shared": 2}
    assert counts["statements"] == {"misses": 1, "hits": 1}

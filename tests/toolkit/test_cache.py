"""The cache: what is kept, for how long, and how much of it."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable

import pytest

from tests.toolkit.upstream import DAY, KEY, Clock, Upstream, key_of
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.errors import NoDataError, UnknownSymbolError

# One load


async def test_a_thousand_concurrent_misses_load_once() -> None:
    cache, upstream = SingleFlightCache(), Upstream()
    values = await asyncio.gather(*(cache.get(KEY, upstream.load, ttl=60) for _ in range(1000)))
    assert values == ["value"] * 1000
    assert upstream.calls == 1
    counted = cache.statistics
    assert (counted.misses, counted.shared, counted.hits) == (1, 999, 0)


async def test_after_the_load_gets_hit_without_a_load() -> None:
    cache, upstream = SingleFlightCache(), Upstream()
    for _ in range(3):
        assert await cache.get(KEY, upstream.load, ttl=60) == "value"
    assert upstream.calls == 1
    assert cache.statistics.hits == 2


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
    await asyncio.gather(*(cache.get(KEY, upstream.load, ttl=60) for _ in range(10)))
    await cache.get(KEY, upstream.load, ttl=60)
    assert upstream.calls == 11
    counted = cache.statistics
    assert (counted.misses, counted.shared, counted.hits, counted.entries) == (11, 0, 0, 0)


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
    before = cache.statistics.hits
    survivors = 400 - upstream.calls
    for key in keys:
        await cache.get(key, upstream.load, ttl=100)
    assert upstream.calls == 400, "no first load outlives its ttl"
    assert cache.statistics.hits - before == 200 - survivors


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
    assert cache.statistics.entries == 2


async def test_entries_make_room_by_bytes() -> None:
    cache = SingleFlightCache(max_bytes=100)

    async def get(name: str, size: int) -> int:
        upstream = Upstream(name)
        await cache.get(key_of(name, kind=name), upstream.load, ttl=60, size=lambda value: size)
        return upstream.calls

    await get("A", 60)
    await get("B", 40)
    assert (cache.statistics.bytes, cache.statistics.evictions) == (100, 0)
    await get("C", 30)
    statistics = cache.statistics
    assert (statistics.bytes, statistics.entries, statistics.evictions) == (70, 2, 1)
    assert statistics.by_kind["A"].evictions == 1
    assert await get("B", 40) == 0
    assert await get("C", 30) == 0


async def test_what_is_larger_than_the_cache_is_served_and_evicts_nothing() -> None:
    cache = SingleFlightCache(max_bytes=100)
    await cache.get(key_of("small"), Upstream().load, ttl=60, size=lambda value: 10)
    assert (
        await cache.get(key_of("large"), Upstream("x").load, ttl=60, size=lambda value: 101) == "x"
    )
    statistics = cache.statistics
    assert (statistics.entries, statistics.bytes, statistics.evictions) == (1, 10, 0)


async def test_reloading_an_expired_entry_counts_its_bytes_once() -> None:
    clock = Clock()
    cache = SingleFlightCache(clock=clock, jitter=0)
    for now in (0.0, 100.0, 200.0):
        clock.now = now
        await cache.get(KEY, Upstream().load, ttl=60, size=lambda value: 7)
    assert (cache.statistics.entries, cache.statistics.bytes) == (1, 7)


async def test_without_a_size_the_outermost_object_is_measured() -> None:
    cache = SingleFlightCache()
    await cache.get(KEY, Upstream(b"x" * 5000).load, ttl=60)
    assert 5000 <= cache.statistics.bytes < 5100


async def test_statistics_are_kept_by_kind() -> None:
    cache = SingleFlightCache()
    bars, statements = Upstream(), Upstream()
    await asyncio.gather(*(cache.get(key_of("A"), bars.load, ttl=60) for _ in range(3)))
    await cache.get(key_of("A", "statements"), statements.load, ttl=60)
    await cache.get(key_of("A", "statements"), statements.load, ttl=60)
    counted = cache.statistics
    assert (counted.by_kind["bars"].misses, counted.by_kind["bars"].shared) == (1, 2)
    assert (counted.by_kind["statements"].misses, counted.by_kind["statements"].hits) == (1, 1)
    assert (counted.misses, counted.shared, counted.hits) == (2, 2, 1)


# Event loops


def test_values_carry_over_to_another_event_loop() -> None:
    cache = SingleFlightCache()
    calls: list[int] = []

    async def load() -> str:
        calls.append(1)
        await asyncio.sleep(0)
        return "value"

    for _ in range(2):
        assert asyncio.run(cache.get(KEY, load, ttl=60)) == "value"
    assert len(calls) == 1


def test_a_load_of_another_event_loop_is_never_joined() -> None:
    """The first loop stands still with its load half way; the second one loads for itself."""
    cache = SingleFlightCache()

    async def ask(load: Callable[[], Awaitable[str]]) -> str:
        return await cache.get(KEY, load, ttl=0)

    async def first_load() -> str:
        await asyncio.sleep(0.01)
        return "first"

    async def second_load() -> str:
        await asyncio.sleep(0)
        return "second"

    first_loop, second_loop = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        pending = first_loop.create_task(ask(first_load))
        first_loop.run_until_complete(asyncio.sleep(0))
        assert second_loop.run_until_complete(ask(second_load)) == "second"
        assert first_loop.run_until_complete(pending) == "first"
        assert second_loop.run_until_complete(ask(second_load)) == "second"
    finally:
        first_loop.close()
        second_loop.close()

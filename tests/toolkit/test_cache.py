"""The cache: one load for many, nobody harmed by another's end, bounded in time and size."""

import asyncio
import datetime
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel import spans
from otel.trace import semconv
from toolkit.cache import CacheKey, SingleFlightCache
from toolkit.errors import NoData, SourceUnavailable, UnknownSymbol
from toolkit.single_flight import note_load_span

DAY = datetime.date(2025, 11, 14)
KEY = CacheKey("bars", "test", "AAPL", DAY)


def _key(symbol: str, kind: str = "bars") -> CacheKey:
    return CacheKey(kind, "test", symbol, DAY)


class Upstream:
    """A source that answers when it is told to, and counts what it was asked."""

    def __init__(self, answer: object = "value", *, held: bool = False) -> None:
        self.calls = 0
        self.cancelled = 0
        self.answer = answer
        self.release = asyncio.Event()
        if not held:
            self.release.set()

    async def load(self) -> object:
        self.calls += 1
        try:
            await self.release.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def _turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


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


# Cancellation


async def test_a_cancelled_leader_harms_no_follower() -> None:
    cache, upstream = SingleFlightCache(), Upstream(held=True)
    leader = asyncio.create_task(cache.get(KEY, upstream.load, ttl=60))
    await _turns()
    followers = [asyncio.create_task(cache.get(KEY, upstream.load, ttl=60)) for _ in range(50)]
    await _turns()
    leader.cancel()
    await _turns()
    upstream.release.set()
    assert await asyncio.gather(*followers) == ["value"] * 50
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert (upstream.calls, upstream.cancelled) == (1, 0)


async def test_a_leader_cancelled_before_its_load_began_harms_no_follower() -> None:
    """Leader and followers ask in the same turn of the loop; the load has not run a step yet."""
    cache, upstream = SingleFlightCache(), Upstream()
    leader = asyncio.create_task(cache.get(KEY, upstream.load, ttl=60))
    followers = [asyncio.create_task(cache.get(KEY, upstream.load, ttl=60)) for _ in range(50)]
    await asyncio.sleep(0)
    leader.cancel()
    assert await asyncio.gather(*followers) == ["value"] * 50
    assert leader.cancelled()
    assert upstream.calls == 1


async def test_a_cancelled_follower_harms_nobody() -> None:
    cache, upstream = SingleFlightCache(), Upstream(held=True)
    tasks = [asyncio.create_task(cache.get(KEY, upstream.load, ttl=60)) for _ in range(20)]
    await _turns()
    for follower in tasks[1::2]:
        follower.cancel()
    await _turns()
    upstream.release.set()
    assert await asyncio.gather(*tasks[0::2]) == ["value"] * 10
    assert (upstream.calls, upstream.cancelled) == (1, 0)


async def test_the_last_one_to_leave_cancels_the_load_and_sees_it_end() -> None:
    cache, upstream = SingleFlightCache(), Upstream(held=True)
    tasks = [asyncio.create_task(cache.get(KEY, upstream.load, ttl=60)) for _ in range(5)]
    await _turns()
    for task in tasks[:-1]:
        task.cancel()
    await _turns()
    assert upstream.cancelled == 0
    tasks[-1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[-1]
    assert upstream.cancelled == 1  # at this moment, not some turns of the loop later


async def test_whoever_asks_after_an_abandoned_load_starts_anew() -> None:
    """An abandoned load takes a while to unwind, and must not be joined meanwhile."""
    cache = SingleFlightCache()
    unwinding = asyncio.Event()

    async def slow_to_unwind() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            await unwinding.wait()
        return "never"

    abandoned = asyncio.create_task(cache.get(KEY, slow_to_unwind, ttl=60))
    await _turns()
    abandoned.cancel()
    await _turns()
    upstream = Upstream("anew")
    assert await cache.get(KEY, upstream.load, ttl=60) == "anew"
    unwinding.set()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    assert await cache.get(KEY, upstream.load, ttl=60) == "anew"
    assert upstream.calls == 1


async def test_a_deadline_around_a_get_is_the_callers_alone() -> None:
    cache, upstream = SingleFlightCache(), Upstream(held=True)
    patient = asyncio.create_task(cache.get(KEY, upstream.load, ttl=60))
    await _turns()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await cache.get(KEY, upstream.load, ttl=60)
    upstream.release.set()
    assert await patient == "value"


async def test_a_load_cancelled_from_outside_is_an_error_not_a_cancellation_of_its_waiters() -> (
    None
):
    cache = SingleFlightCache()

    async def cancels_itself() -> str:
        raise asyncio.CancelledError

    with pytest.raises(SourceUnavailable, match="bars AAPL 2025-11-14 was cancelled from outside"):
        await cache.get(KEY, cancels_itself, ttl=60)
    assert await cache.get(KEY, Upstream().load, ttl=60) == "value"


async def test_a_load_that_asks_for_its_own_key_is_refused_instead_of_hanging() -> None:
    cache = SingleFlightCache()

    async def ask_again() -> object:
        return await cache.get(KEY, ask_again, ttl=60)

    with pytest.raises(RuntimeError, match="waits for itself"):
        await cache.get(KEY, ask_again, ttl=60)


# Errors


async def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    cache, failing = SingleFlightCache(), Upstream(SourceUnavailable("down"))
    outcomes = await asyncio.gather(
        *(cache.get(KEY, failing.load, ttl=60) for _ in range(100)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [SourceUnavailable] * 100
    assert failing.calls == 1
    assert await cache.get(KEY, Upstream().load, ttl=60) == "value"


@pytest.mark.parametrize("absent", [UnknownSymbol("no such ticker"), NoData("nothing that day")])
async def test_that_a_source_has_nothing_is_kept_for_sixty_seconds(absent: Exception) -> None:
    clock = Clock()
    cache, upstream = SingleFlightCache(clock=clock, jitter=0), Upstream(absent)
    for now, calls in [(0.0, 1), (59.0, 1), (60.0, 2)]:
        clock.now = now
        with pytest.raises(type(absent), match=str(absent)):
            await cache.get(KEY, upstream.load, ttl=86400)
        assert upstream.calls == calls


async def test_a_kept_error_holds_no_traceback_and_does_not_grow() -> None:
    cache, upstream = SingleFlightCache(), Upstream(NoData("nothing"))
    raised: list[NoData] = []
    for _ in range(3):
        with pytest.raises(NoData) as caught:
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


async def test_no_error_is_ever_reported_as_forgotten() -> None:
    """Waiters that leave, loads that fail as they are cancelled: asyncio has no complaint."""
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: complaints.append(str(context["message"]))
    )
    cache = SingleFlightCache()

    async def fails_when_cancelled() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise SourceUnavailable("broke while it was cancelled") from None
        return "never"

    for leave_in_mid_unwinding in (False, True):
        waiter = asyncio.create_task(cache.get(KEY, fails_when_cancelled, ttl=60))
        await _turns()
        waiter.cancel()
        if leave_in_mid_unwinding:
            await asyncio.sleep(0)
            waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

    failing = Upstream(SourceUnavailable("down"), held=True)
    late = asyncio.create_task(cache.get(KEY, failing.load, ttl=60))
    await _turns()
    failing.release.set()
    await _turns(2)
    late.cancel()  # in the very turn in which the load fails
    await asyncio.gather(late, return_exceptions=True)

    del waiter, late, failing
    await _turns()
    gc.collect()
    await _turns()
    assert complaints == []


# Time


async def test_each_get_sets_the_lifetime_of_what_it_loads() -> None:
    clock = Clock()
    cache = SingleFlightCache(clock=clock, jitter=0)
    today, closed = Upstream("today"), Upstream("closed day")

    async def ask() -> tuple[int, int]:
        await cache.get(_key("AAPL", "bars today"), today.load, ttl=60)
        await cache.get(_key("AAPL", "bars closed"), closed.load, ttl=86400)
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
    keys = [_key(f"S{number}") for number in range(200)]
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
        await cache.get(_key(name), upstreams[name].load, ttl=60)

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
        await cache.get(_key(name, kind=name), upstream.load, ttl=60, size=lambda value: size)
        return upstream.calls

    await get("A", 60)
    await get("B", 40)
    assert (cache.statistics.bytes, cache.statistics.evictions) == (100, 0)
    await get("C", 30)
    held = cache.statistics
    assert (held.bytes, held.entries, held.evictions) == (70, 2, 1)
    assert held.by_kind["A"].evictions == 1
    assert await get("B", 40) == 0
    assert await get("C", 30) == 0


async def test_what_is_larger_than_the_cache_is_served_and_evicts_nothing() -> None:
    cache = SingleFlightCache(max_bytes=100)
    await cache.get(_key("small"), Upstream().load, ttl=60, size=lambda value: 10)
    assert await cache.get(_key("large"), Upstream("x").load, ttl=60, size=lambda value: 101) == "x"
    held = cache.statistics
    assert (held.entries, held.bytes, held.evictions) == (1, 10, 0)


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
    await asyncio.gather(*(cache.get(_key("A"), bars.load, ttl=60) for _ in range(3)))
    await cache.get(_key("A", "statements"), statements.load, ttl=60)
    await cache.get(_key("A", "statements"), statements.load, ttl=60)
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


# Spans


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider()


@pytest.fixture
def exported(provider: TracerProvider) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def _named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def _context(span: ReadableSpan) -> trace.SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def _fetching(upstream: Upstream) -> Callable[[], Awaitable[object]]:
    async def load() -> object:
        with spans.fetch("test", symbol="AAPL"):
            note_load_span()  # as the pool does before each request
            return await upstream.load()

    return load


async def test_the_callers_spans_say_miss_shared_and_hit_and_followers_link_to_the_load(
    provider: TracerProvider, exported: InMemorySpanExporter
) -> None:
    cache, upstream = SingleFlightCache(), Upstream()

    async def ask(name: str) -> None:
        with spans.open_span(name):
            await cache.get(KEY, _fetching(upstream), ttl=60)

    async with spans.run("test", provider=provider, attributes={}):
        await asyncio.gather(ask("leader"), ask("follower"), ask("follower"))
        await ask("late")

    (fetch,) = _named(exported, "fetch test")
    (leader,) = _named(exported, "leader")
    (late,) = _named(exported, "late")
    followers = _named(exported, "follower")
    assert fetch.parent == _context(leader)
    assert (leader.attributes or {})[semconv.CACHE] == "miss"
    assert not leader.links
    for follower in followers:
        assert (follower.attributes or {})[semconv.CACHE] == "shared"
        assert [link.context for link in follower.links] == [_context(fetch)]
    assert (late.attributes or {})[semconv.CACHE] == "hit"
    assert not late.links


async def test_followers_link_to_a_load_that_fails_too(
    provider: TracerProvider, exported: InMemorySpanExporter
) -> None:
    cache, upstream = SingleFlightCache(), Upstream(SourceUnavailable("down"))

    async def ask(name: str) -> None:
        with spans.open_span(name):
            await cache.get(KEY, _fetching(upstream), ttl=60)

    async with spans.run("test", provider=provider, attributes={}):
        await asyncio.gather(ask("leader"), ask("follower"), return_exceptions=True)
    (fetch,) = _named(exported, "fetch test")
    (follower,) = _named(exported, "follower")
    assert [link.context for link in follower.links] == [_context(fetch)]


async def test_two_gets_of_one_span_that_share_a_load_are_a_miss_without_a_link(
    provider: TracerProvider, exported: InMemorySpanExporter
) -> None:
    cache, upstream = SingleFlightCache(), Upstream()
    async with spans.run("test", provider=provider, attributes={}):
        with spans.open_span("tool"):
            await asyncio.gather(*(cache.get(KEY, _fetching(upstream), ttl=60) for _ in range(2)))
    (tool,) = _named(exported, "tool")
    assert (tool.attributes or {})[semconv.CACHE] == "miss"
    assert not tool.links


async def test_of_several_gets_under_one_span_the_strongest_stays(
    provider: TracerProvider, exported: InMemorySpanExporter
) -> None:
    cache = SingleFlightCache()
    held = Upstream(held=True)
    await cache.get(_key("hit"), Upstream().load, ttl=60)

    async def gets(name: str, *symbols: str) -> None:
        with spans.open_span(name):
            for symbol in symbols:
                load = held.load if symbol == "shared" else Upstream().load
                await cache.get(_key(symbol), load, ttl=60)

    async with spans.run("test", provider=provider, attributes={}):
        leader = asyncio.create_task(cache.get(_key("shared"), held.load, ttl=60))
        await _turns()
        asyncio.get_running_loop().call_soon(held.release.set)
        await gets("hit then shared", "hit", "shared", "hit")
        await gets("miss last", "hit", "new")
        await gets("miss first", "newer", "hit", "hit")
        await leader

    results = {
        span.name: (span.attributes or {}).get(semconv.CACHE)
        for span in exported.get_finished_spans()
    }
    assert results["hit then shared"] == "shared"
    assert results["miss last"] == "miss"
    assert results["miss first"] == "miss"


async def test_a_hit_tells_the_age_of_the_oldest_value_that_served(
    provider: TracerProvider, exported: InMemorySpanExporter
) -> None:
    clock = Clock()
    cache = SingleFlightCache(clock=clock)
    await cache.get(_key("old"), Upstream().load, ttl=1000)
    clock.now = 20.0
    await cache.get(_key("young"), Upstream().load, ttl=1000)
    clock.now = 30.0
    async with spans.run("test", provider=provider, attributes={}):
        with spans.open_span("tool"):
            for name in ("young", "old", "young"):
                await cache.get(_key(name), Upstream().load, ttl=1000)
    (tool,) = _named(exported, "tool")
    assert (tool.attributes or {})[semconv.CACHE_AGE_S] == 30.0


async def test_an_abandoned_loads_span_ends_within_its_last_callers_and_is_marked_cancelled(
    provider: TracerProvider, exported: InMemorySpanExporter
) -> None:
    cache, upstream = SingleFlightCache(), Upstream(held=True)

    async def ask() -> None:
        with spans.open_span("tool"):
            await cache.get(KEY, _fetching(upstream), ttl=60)

    async with spans.run("test", provider=provider, attributes={}):
        caller = asyncio.create_task(ask())
        await _turns()
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
    (tool,) = _named(exported, "tool")
    (fetch,) = _named(exported, "fetch test")
    assert fetch.end_time is not None
    assert tool.end_time is not None
    assert fetch.end_time <= tool.end_time
    assert (fetch.attributes or {})[semconv.ERROR_TYPE] == "cancelled"


async def test_nothing_is_noted_outside_a_load() -> None:
    with spans.open_span("alone"):
        note_load_span()

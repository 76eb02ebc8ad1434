"""The cache on the spans of those who ask: what served them, and whose work it was."""

import asyncio
from collections.abc import Awaitable, Callable

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.toolkit.spans_in_memory import spans_of
from tests.toolkit.upstream import KEY, Clock, Upstream, key_of, turns
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.cache_use import count_cache_use
from trading_graph.toolkit.errors import SourceUnavailableError
from trading_graph.toolkit.single_flight import note_load_span


def _context(span: ReadableSpan) -> trace.SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def _fetching(upstream: Upstream) -> Callable[[], Awaitable[object]]:
    async def load() -> object:
        with spans.fetch("test"):
            note_load_span()  # as the pool does before each request
            return await upstream.load()

    return load


async def test_the_callers_spans_say_miss_shared_and_hit_and_followers_link_to_the_load(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    cache, upstream = SingleFlightCache(), Upstream()

    async def ask(name: str) -> None:
        with spans.open_span(name):
            await cache.get(KEY, _fetching(upstream), ttl=60)

    async with spans.run("test", provider=provider, attributes={}):
        await asyncio.gather(ask("leader"), ask("follower"), ask("follower"))
        await ask("late")

    (fetch,) = spans_of(exporter, "fetch test")
    (leader,) = spans_of(exporter, "leader")
    (late,) = spans_of(exporter, "late")
    followers = spans_of(exporter, "follower")
    assert fetch.parent == _context(leader)
    assert (leader.attributes or {})[semconv.CACHE] == "miss"
    assert not leader.links
    for follower in followers:
        assert (follower.attributes or {})[semconv.CACHE] == "shared"
        assert [link.context for link in follower.links] == [_context(fetch)]
    assert (late.attributes or {})[semconv.CACHE] == "hit"
    assert not late.links


async def test_followers_link_to_a_load_that_fails_too(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    cache, upstream = SingleFlightCache(), Upstream(SourceUnavailableError("down"))

    async def ask(name: str) -> None:
        with spans.open_span(name):
            await cache.get(KEY, _fetching(upstream), ttl=60)

    async with spans.run("test", provider=provider, attributes={}):
        await asyncio.gather(ask("leader"), ask("follower"), return_exceptions=True)
    (fetch,) = spans_of(exporter, "fetch test")
    (follower,) = spans_of(exporter, "follower")
    assert [link.context for link in follower.links] == [_context(fetch)]


async def test_who_shares_a_load_of_loads_links_to_the_last_of_these(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """As a source does that keeps what it fetches, and answers several questions from it."""
    cache, index, listed = SingleFlightCache(), Upstream(), Upstream()

    async def load() -> object:
        await cache.get(key_of("index"), _fetching(index), ttl=60)
        return await cache.get(key_of("listed"), _fetching(listed), ttl=60)

    async def ask(name: str) -> None:
        with spans.open_span(name):
            await cache.get(KEY, load, ttl=60)

    async with spans.run("test", provider=provider, attributes={}):
        await asyncio.gather(ask("leader"), ask("follower"))
    _, last = spans_of(exporter, "fetch test")
    (follower,) = spans_of(exporter, "follower")
    assert [link.context for link in follower.links] == [_context(last)]


async def test_two_gets_of_one_span_that_share_a_load_are_a_miss_without_a_link(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    cache, upstream = SingleFlightCache(), Upstream()
    async with spans.run("test", provider=provider, attributes={}):
        with spans.open_span("tool"):
            await asyncio.gather(*(cache.get(KEY, _fetching(upstream), ttl=60) for _ in range(2)))
    (tool,) = spans_of(exporter, "tool")
    assert (tool.attributes or {})[semconv.CACHE] == "miss"
    assert not tool.links


async def test_of_several_gets_under_one_span_the_strongest_stays(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    cache = SingleFlightCache()
    slow = Upstream(waits=True)
    await cache.get(key_of("hit"), Upstream().load, ttl=60)

    async def gets(name: str, *symbols: str) -> None:
        with spans.open_span(name):
            for symbol in symbols:
                load = slow.load if symbol == "shared" else Upstream().load
                await cache.get(key_of(symbol), load, ttl=60)

    async with spans.run("test", provider=provider, attributes={}):
        leader = asyncio.create_task(cache.get(key_of("shared"), slow.load, ttl=60))
        await turns()
        asyncio.get_running_loop().call_soon(slow.release.set)
        await gets("hit then shared", "hit", "shared", "hit")
        await gets("miss last", "hit", "new")
        await gets("miss first", "newer", "hit", "hit")
        await leader

    results = {
        span.name: (span.attributes or {}).get(semconv.CACHE)
        for span in exporter.get_finished_spans()
    }
    assert results["hit then shared"] == "shared"
    assert results["miss last"] == "miss"
    assert results["miss first"] == "miss"


async def test_a_hit_tells_the_age_of_the_oldest_value_that_served(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    clock = Clock()
    cache = SingleFlightCache(clock=clock)
    await cache.get(key_of("old"), Upstream().load, ttl=1000)
    clock.now = 20.0
    await cache.get(key_of("young"), Upstream().load, ttl=1000)
    clock.now = 30.0
    async with spans.run("test", provider=provider, attributes={}):
        with spans.open_span("tool"):
            for name in ("young", "old", "young"):
                await cache.get(key_of(name), Upstream().load, ttl=1000)
    (tool,) = spans_of(exporter, "tool")
    assert (tool.attributes or {})[semconv.CACHE_AGE_S] == 30.0


async def test_an_abandoned_loads_span_ends_within_its_last_callers_and_is_marked_cancelled(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    cache, upstream = SingleFlightCache(), Upstream(waits=True)

    async def ask() -> None:
        with spans.open_span("tool"):
            await cache.get(KEY, _fetching(upstream), ttl=60)

    async with spans.run("test", provider=provider, attributes={}):
        caller = asyncio.create_task(ask())
        await turns()
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
    (tool,) = spans_of(exporter, "tool")
    (fetch,) = spans_of(exporter, "fetch test")
    assert fetch.end_time is not None
    assert tool.end_time is not None
    assert fetch.end_time <= tool.end_time
    assert (fetch.attributes or {})[semconv.ERROR_TYPE] == "cancelled"


async def test_nothing_is_noted_outside_a_load() -> None:
    with spans.open_span("alone"):
        note_load_span()


async def test_each_of_two_runs_on_one_cache_counts_what_was_done_for_it(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    cache, upstream = SingleFlightCache(), Upstream()

    async def run(name: str, kinds: tuple[str, ...]) -> None:
        with spans.open_span(name) as span, count_cache_use(span):
            for kind in kinds:
                await asyncio.create_task(cache.get(CacheKey(kind, "test"), upstream.load, ttl=60))

    await cache.get(CacheKey("bars", "test"), upstream.load, ttl=60)
    async with spans.run("test", provider=provider, attributes={}):
        await asyncio.gather(run("one", ("bars", "news")), run("two", ("bars", "bars", "news")))

    def counts_of(name: str) -> dict[object, dict[str, int]]:
        (span,) = spans_of(exporter, name)
        events = [event.attributes or {} for event in span.events if event.name == "cache"]
        return {
            event[semconv.CACHE_KIND]: {
                word: number
                for word in ("hits", "misses", "shared")
                if isinstance(number := event[f"{semconv.CACHE}.{word}"], int) and number
            }
            for event in events
        }

    assert counts_of("one") == {"bars": {"hits": 1}, "news": {"misses": 1}}
    assert counts_of("two") == {"bars": {"hits": 2}, "news": {"hits": 1}}

"""Old values: served while they are fetched anew, or because their source cannot be reached."""

import asyncio
import datetime
from collections import Counter
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN

from tests.toolkit.spans_in_memory import spans_of
from tests.toolkit.upstream import KEY, Clock, Upstream, turns
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.cache_use import count_cache_use
from trading_graph.toolkit.errors import (
    BadSymbolError,
    NoDataError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from trading_graph.toolkit.ttl import CLOSED_DAY, DAY_S, TODAY, Lifetime, ttl_for

LIFE = Lifetime(60, revalidate_s=30, if_error_s=120)
NO_REVALIDATION = Lifetime(60, if_error_s=120)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts() -> Iterator[Counter[str]]:
    """What the cache did for the test, with bars."""
    with count_cache_use(INVALID_SPAN) as by_kind:
        yield by_kind["bars"]


@pytest.fixture
def cache(clock: Clock) -> SingleFlightCache:
    return SingleFlightCache(clock=clock, jitter=0)


async def _get(cache: SingleFlightCache, upstream: Upstream, life: Lifetime = LIFE) -> object:
    return await cache.get(KEY, upstream.load, ttl=life)


# The table of lifetimes


def test_a_closed_day_lasts_long_and_today_does_not() -> None:
    today = datetime.date(2026, 11, 25)
    yesterday = today - datetime.timedelta(days=1)
    assert ttl_for("bars", today, today).fresh_s == 60
    for kind in TODAY:
        assert ttl_for(kind, yesterday, today).fresh_s >= DAY_S
    with pytest.raises(KeyError):
        ttl_for("no such kind", yesterday, today)


def test_what_cannot_change_is_never_served_while_it_is_fetched_anew() -> None:
    assert CLOSED_DAY.revalidate_s == 0


# Stale while revalidated


async def test_an_old_value_is_served_at_once_and_fetched_anew_once(
    cache: SingleFlightCache, clock: Clock, counts: Counter[str]
) -> None:
    await _get(cache, Upstream("old"))
    clock.now = 60.0
    renewed = Upstream("new", waits=True)
    assert [await _get(cache, renewed) for _ in range(5)] == ["old"] * 5
    await turns()
    assert renewed.calls == 1
    renewed.release.set()
    await turns()
    assert await _get(cache, Upstream("never")) == "new"
    assert counts == {"misses": 1, "stale": 5, "refreshes": 1, "hits": 1}


async def test_after_its_time_an_old_value_is_not_served(
    cache: SingleFlightCache, clock: Clock, counts: Counter[str]
) -> None:
    await _get(cache, Upstream("old"))
    clock.now = 90.0
    assert await _get(cache, Upstream("new")) == "new"
    assert counts["stale"] == 0


async def test_who_asks_after_the_old_value_has_ended_joins_the_fetch_under_way(
    cache: SingleFlightCache, clock: Clock
) -> None:
    await _get(cache, Upstream("old"))
    clock.now = 60.0
    renewed = Upstream("new", waits=True)
    await _get(cache, renewed)
    clock.now = 100.0
    joined = asyncio.create_task(_get(cache, renewed))
    leaver = asyncio.create_task(_get(cache, renewed))
    await turns()
    leaver.cancel()
    await turns()
    renewed.release.set()
    assert await joined == "new"
    assert (renewed.calls, renewed.cancelled) == (1, 0)


async def test_the_last_joiner_to_leave_does_not_cancel_what_the_cache_began(
    cache: SingleFlightCache, clock: Clock
) -> None:
    await _get(cache, Upstream("old"))
    clock.now = 60.0
    renewed = Upstream("new", waits=True)
    await _get(cache, renewed)
    clock.now = 100.0
    joined = asyncio.create_task(_get(cache, renewed))
    await turns()
    joined.cancel()
    await asyncio.gather(joined, return_exceptions=True)
    renewed.release.set()
    await turns()
    assert renewed.cancelled == 0
    assert await _get(cache, Upstream("never")) == "new"


async def test_a_refresh_that_fails_keeps_the_old_value_and_waits_before_the_next(
    cache: SingleFlightCache, clock: Clock, counts: Counter[str]
) -> None:
    await _get(cache, Upstream("old"))
    failing = Upstream(SourceUnavailableError("down"))
    for now, calls in [(60.0, 1), (61.0, 1), (64.9, 1), (65.0, 2)]:
        clock.now = now
        assert await _get(cache, failing) == "old"
        await turns()
        assert failing.calls == calls
    assert counts["failures"] == 2


async def test_a_refresh_may_find_that_there_is_nothing_any_more(
    cache: SingleFlightCache, clock: Clock, counts: Counter[str]
) -> None:
    await _get(cache, Upstream("old"))
    clock.now = 60.0
    await _get(cache, Upstream(NoDataError("delisted")))
    await turns()
    with pytest.raises(NoDataError):
        await _get(cache, Upstream("never"))
    assert counts["negative"] == 1


async def test_closing_ends_what_runs_in_the_background_and_waits_for_its_end(
    cache: SingleFlightCache, clock: Clock
) -> None:
    await _get(cache, Upstream("old"))
    clock.now = 60.0
    renewed = Upstream("new", waits=True)
    await _get(cache, renewed)
    await turns()
    before = asyncio.all_tasks()
    await cache.close()
    assert renewed.cancelled == 1
    assert len(asyncio.all_tasks()) == len(before) - 1
    assert await _get(cache, Upstream("new")) == "old", "what is kept stays"
    await cache.close()


async def test_a_refresh_that_fails_unseen_is_never_reported_as_forgotten(
    cache: SingleFlightCache, clock: Clock
) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: complaints.append(str(context["message"]))
    )
    await _get(cache, Upstream("old"))
    clock.now = 60.0
    await _get(cache, Upstream(RuntimeError("a fault of ours")))
    await turns()
    assert complaints == []


# Stale if error


@pytest.mark.parametrize("error", [SourceUnavailableError("down"), SourceTimeoutError("slow")])
async def test_an_old_value_serves_all_where_its_source_cannot_be_reached(
    cache: SingleFlightCache, clock: Clock, error: Exception, counts: Counter[str]
) -> None:
    await _get(cache, Upstream("old"), NO_REVALIDATION)
    clock.now = 100.0
    failing = Upstream(error)
    outcomes = await asyncio.gather(*(_get(cache, failing, NO_REVALIDATION) for _ in range(20)))
    assert outcomes == ["old"] * 20
    assert failing.calls == 1
    assert counts["stale_errors"] == 20


async def test_a_source_that_failed_is_not_asked_again_at_once(
    cache: SingleFlightCache, clock: Clock
) -> None:
    """Each asker would wait for all tries of a source that is down, only to get the old value."""
    await _get(cache, Upstream("old"), NO_REVALIDATION)
    failing = Upstream(SourceUnavailableError("down"))
    for now, calls in [(100.0, 1), (104.9, 1), (105.0, 2)]:
        clock.now = now
        assert await _get(cache, failing, NO_REVALIDATION) == "old"
        assert failing.calls == calls
    clock.now = 111.0
    assert await _get(cache, Upstream("new"), NO_REVALIDATION) == "new"


async def test_after_its_time_the_error_is_told(cache: SingleFlightCache, clock: Clock) -> None:
    await _get(cache, Upstream("old"), NO_REVALIDATION)
    failing = Upstream(SourceUnavailableError("down"))
    clock.now = 179.0
    assert await _get(cache, failing, NO_REVALIDATION) == "old"
    clock.now = 180.0
    with pytest.raises(SourceUnavailableError, match="down"):
        await _get(cache, failing, NO_REVALIDATION)


@pytest.mark.parametrize("error", [BadSymbolError("no"), NoDataError("gone"), RuntimeError("ours")])
async def test_an_old_value_hides_no_other_error(
    cache: SingleFlightCache, clock: Clock, error: Exception
) -> None:
    await _get(cache, Upstream("old"), NO_REVALIDATION)
    clock.now = 100.0
    with pytest.raises(type(error), match=str(error)):
        await _get(cache, Upstream(error), NO_REVALIDATION)


async def test_without_a_second_life_nothing_old_is_served(
    cache: SingleFlightCache, clock: Clock
) -> None:
    await cache.get(KEY, Upstream("old").load, ttl=60)
    clock.now = 60.0
    with pytest.raises(SourceUnavailableError):
        await cache.get(KEY, Upstream(SourceUnavailableError("down")).load, ttl=60)


async def test_a_kept_absence_is_never_served_stale(
    cache: SingleFlightCache, clock: Clock, counts: Counter[str]
) -> None:
    with pytest.raises(NoDataError):
        await _get(cache, Upstream(NoDataError("nothing")))
    clock.now = 60.0
    with pytest.raises(SourceUnavailableError):
        await _get(cache, Upstream(SourceUnavailableError("down")))
    assert counts["stale"] == 0


# Spans


async def test_the_askers_span_says_stale_and_how_old_and_the_refresh_is_a_trace_of_its_own(
    cache: SingleFlightCache,
    clock: Clock,
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    """As a part of the run it would end after the run, and make the run's trace incomplete."""
    faults: list[BaseException] = []
    provider.add_span_processor(spans.RecordingProcessor(faults.append))
    renewed = Upstream("new", waits=True)

    async def load() -> object:
        with spans.fetch("test"):
            return await renewed.load()

    await _get(cache, Upstream("old"))
    clock.now = 75.0
    async with spans.run("test", provider=provider, attributes={}) as run:
        with spans.open_span("tool"):
            assert await cache.get(KEY, load, ttl=LIFE) == "old"
        await turns()
    renewed.release.set()
    await turns()
    (tool,) = spans_of(exporter, "tool")
    assert (tool.attributes or {})[semconv.CACHE] == "stale"
    assert (tool.attributes or {})[semconv.CACHE_AGE_S] == 75.0
    (refresh,), (fetch,) = spans_of(exporter, "revalidate bars"), spans_of(exporter, "fetch test")
    assert refresh.parent is None
    assert refresh.context is not None
    assert tool.context is not None
    assert refresh.context.trace_id != tool.context.trace_id
    assert [link.context.span_id for link in refresh.links] == [tool.context.span_id]
    assert fetch.parent is not None
    assert fetch.parent.span_id == refresh.context.span_id
    assert run.recording.spans_started == 2, "the run and its tool"
    assert not faults


async def test_an_old_value_instead_of_an_error_says_stale_and_names_the_error(
    cache: SingleFlightCache,
    clock: Clock,
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    await _get(cache, Upstream("old"), NO_REVALIDATION)
    clock.now = 100.0
    async with spans.run("test", provider=provider, attributes={}):
        with spans.open_span("tool"):
            await _get(cache, Upstream(SourceTimeoutError("slow")), NO_REVALIDATION)
            await cache.get(CacheKey("macro", "test"), Upstream().load, ttl=60)
    (tool,) = spans_of(exporter, "tool")
    assert (tool.attributes or {})[semconv.CACHE] == "stale", "a miss beside it does not hide it"
    assert (tool.attributes or {})[semconv.CACHE_AGE_S] == 100.0
    (event,) = tool.events
    assert event.name == "served stale"
    assert dict(event.attributes or {}) == {semconv.ERROR_TYPE: "timeout"}

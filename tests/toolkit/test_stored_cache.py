"""The cache that outlives the process: the same rules, and a file that may fail."""

import asyncio
import contextlib
import datetime
import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN

from tests.toolkit.answers import in_time, instants_of
from tests.toolkit.spans_in_memory import spans_of
from tests.toolkit.stored_bars import bars_of, key_of
from tests.toolkit.upstream import Clock, Upstream, turns
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.cache_use import count_cache_use
from trading_graph.toolkit.errors import NoDataError, SourceUnavailableError
from trading_graph.toolkit.live_access import BaseUrls, LiveAccess
from trading_graph.toolkit.market_data import AsyncToolkit, open_toolkit
from trading_graph.toolkit.records import Observation, Series, SourceAnswer
from trading_graph.toolkit.stored_cache import StoredCache, edition, open_stored_cache
from trading_graph.toolkit.ttl import CLOSED_DAY, Lifetime

LIFE = Lifetime(60, revalidate_s=30, if_error_s=120)
NO_REVALIDATION = Lifetime(60, if_error_s=120)
START = 1_000_000.0


class Time:
    """The clocks of a machine whose processes come and go: each has a monotonic one of its own."""

    def __init__(self) -> None:
        self.wall = Clock(START)
        self.boots = 0

    def monotonic(self) -> Clock:
        """The clock of a new process, which begins anywhere."""
        self.boots += 1
        return _Behind(self.wall, 12_345.0 * self.boots)

    def wait(self, seconds: float) -> None:
        self.wall.now += seconds


class _Behind(Clock):
    def __init__(self, clock: Clock, by: float) -> None:
        super().__init__(by - clock.now)
        self._clock = clock

    def __call__(self) -> float:
        return self._clock.now + self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "market_data.sqlite"


@pytest.fixture
def counts() -> Iterator[Counter[str]]:
    """What the caches did for the test, with bars."""
    with count_cache_use(INVALID_SPAN) as by_kind:
        yield by_kind["bars"]


@asynccontextmanager
async def process(path: Path, time: Time, **options: object) -> AsyncIterator[SingleFlightCache]:
    """The cache of a new process."""
    async with open_stored_cache(path, clock=time.wall, **options) as store:  # type: ignore[arg-type]
        yield SingleFlightCache(store=store, clock=time.monotonic(), jitter=0)


async def get(cache: SingleFlightCache, upstream: Upstream, life: Lifetime = LIFE) -> object:
    return await cache.get(key_of(1), upstream.load, ttl=life)


async def stored(path: Path, time: Time, answer: object, life: Lifetime = LIFE) -> None:
    """Let an earlier process have stored an answer."""
    async with process(path, time) as cache:
        with contextlib.suppress(NoDataError):
            await get(cache, Upstream(answer), life)


def in_the_file(path: Path, statement: str) -> list[object]:
    """What a statement on the file gives."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).fetchall()


def close_of(value: object) -> float:
    assert isinstance(value, Bars)
    return float(value.close[-1])


def of_kind(kind: str) -> CacheKey:
    return replace(key_of(1), kind=kind)


OLD, NEW = bars_of(1), bars_of(2)


# The rules


async def test_a_later_process_finds_what_an_earlier_one_fetched(
    path: Path,
    time: Time,
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    await stored(path, time, OLD)
    time.wait(42)
    upstream = Upstream(NEW)
    async with process(path, time) as cache, spans.run("test", provider=provider, attributes={}):
        with spans.open_span("tool") as span, count_cache_use(span):
            for _ in range(2):
                assert close_of(await get(cache, upstream)) == close_of(OLD)
    assert upstream.calls == 0
    (tool,) = spans_of(exporter, "tool")
    assert (tool.attributes or {})[semconv.CACHE] == "hit"
    assert (tool.attributes or {})[semconv.CACHE_AGE_S] == 42.0
    (event,) = tool.events
    said = event.attributes or {}
    assert (said[f"{semconv.CACHE}.hits"], said[f"{semconv.CACHE}.stored"]) == (2, 1)
    assert said[f"{semconv.CACHE}.misses"] == 0


@pytest.mark.parametrize(
    ("waited", "served", "use"),
    [
        (59, OLD, {"hits": 1, "stored": 1}),
        (60, OLD, {"stale": 1, "refreshes": 1, "stored": 1}),
        (89, OLD, {"stale": 1, "refreshes": 1, "stored": 1}),
        (90, NEW, {"misses": 1, "stored": 1}),
        (179, NEW, {"misses": 1, "stored": 1}),
        (180, NEW, {"misses": 1}),
    ],
)
async def test_lives_end_in_a_later_process_when_they_would_have_ended(
    path: Path, time: Time, waited: float, served: Bars, use: Mapping[str, int]
) -> None:
    await stored(path, time, OLD)
    time.wait(waited)
    async with process(path, time) as cache:
        with count_cache_use(INVALID_SPAN) as uses:
            assert close_of(await get(cache, Upstream(NEW))) == close_of(served)
        assert uses["bars"] == use
        await turns()
        assert close_of(await get(cache, Upstream("never"))) == close_of(
            OLD if waited < 60 else NEW
        )


@pytest.mark.parametrize(("waited", "serves"), [(179, True), (180, False)])
async def test_what_is_stored_serves_where_its_source_cannot_be_reached(
    path: Path, time: Time, counts: Counter[str], waited: float, serves: bool
) -> None:
    await stored(path, time, OLD, NO_REVALIDATION)
    time.wait(waited)
    down = Upstream(SourceUnavailableError("down"))
    async with process(path, time) as cache:
        if serves:
            assert close_of(await get(cache, down, NO_REVALIDATION)) == close_of(OLD)
        else:
            with pytest.raises(SourceUnavailableError):
                await get(cache, down, NO_REVALIDATION)
    assert down.calls == 1
    assert counts["stale_errors"] == serves


async def test_an_absence_is_stored_for_sixty_seconds_and_no_other_error(
    path: Path, time: Time
) -> None:
    await stored(path, time, NoDataError("nothing that day"), CLOSED_DAY)
    async with process(path, time) as cache:
        time.wait(59)
        with pytest.raises(NoDataError, match="nothing that day"):
            await get(cache, Upstream("never"), CLOSED_DAY)
        time.wait(1)
        with pytest.raises(SourceUnavailableError):
            await get(cache, Upstream(SourceUnavailableError("down")), CLOSED_DAY)
    async with process(path, time) as cache:
        assert close_of(await get(cache, Upstream(NEW), CLOSED_DAY)) == close_of(NEW)


async def test_a_value_from_the_future_is_not_believed(path: Path, time: Time) -> None:
    """The clock was set back: nobody knows how old it is."""
    await stored(path, time, OLD)
    time.wait(-3600)
    async with process(path, time) as cache:
        assert close_of(await get(cache, Upstream(NEW))) == close_of(NEW)
    async with process(path, time) as cache:
        assert close_of(await get(cache, Upstream("never"))) == close_of(NEW)


async def test_what_has_no_life_is_not_stored(path: Path, time: Time) -> None:
    await stored(path, time, OLD, Lifetime(0))
    async with process(path, time) as cache:
        assert close_of(await get(cache, Upstream(NEW))) == close_of(NEW)


async def test_what_memory_evicts_is_read_again(path: Path, time: Time) -> None:
    upstreams = [Upstream(bars_of(number)) for number in range(5)]
    async with open_stored_cache(path, clock=time.wall) as store:
        cache = SingleFlightCache(2, store=store, clock=time.monotonic())
        for _ in range(3):
            for number, upstream in enumerate(upstreams):
                bars = await cache.get(key_of(number), upstream.load, ttl=LIFE)
                assert close_of(bars) == close_of(upstream.answer)
                await written(store)
    assert [upstream.calls for upstream in upstreams] == [1] * 5


async def written(store: StoredCache) -> None:
    """Wait until nothing waits to be written."""
    while store._writes.qsize():  # noqa: ASYNC110 - only tests wait for it.
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.003)


# Many at once


async def test_a_thousand_callers_read_the_file_once_and_fetch_nothing(
    path: Path, time: Time, counts: Counter[str]
) -> None:
    await stored(path, time, OLD)
    counts.clear()
    upstream = Upstream(NEW)
    async with process(path, time) as cache:
        callers = [asyncio.create_task(get(cache, upstream)) for _ in range(1000)]
        await turns(1)
        callers[0].cancel()
        answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {close_of(answer) for answer in answers[1:]} == {close_of(OLD)}
    assert upstream.calls == 0
    assert counts == {"hits": 999, "stored": 1}


async def test_a_thousand_callers_of_what_is_not_stored_fetch_it_once(
    path: Path, time: Time, counts: Counter[str]
) -> None:
    upstream = Upstream(NEW)
    async with process(path, time) as cache:
        await asyncio.gather(*(get(cache, upstream) for _ in range(1000)))
    assert upstream.calls == 1
    assert counts == {"misses": 1, "shared": 999}


# What a value depends on


async def test_values_of_another_edition_are_not_found(path: Path, time: Time) -> None:
    for name, found in [("a", NEW), ("b", OLD), ("a", NEW), ("b", OLD)]:
        async with process(path, time, edition=name) as cache:
            assert close_of(await get(cache, Upstream(found))) == close_of(found)


def test_program_addresses_and_tables_make_the_edition() -> None:
    other = LiveAccess(BaseUrls(yahoo="http://user:secret@127.0.0.1:1"))
    assert edition(LiveAccess()) == edition(LiveAccess(sec_user_agent="A a@example.org"))
    assert edition(LiveAccess()) != edition(other)
    assert "secret" not in edition(other)


async def test_values_of_an_older_type_are_misses(
    path: Path, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    """As if `bars` had been series, and the key said nothing of it."""
    await stored(path, time, OLD)
    series = Series("X", False, (Observation(datetime.date(2025, 1, 1), 1.0, NEW.session),))
    async with process(path, time) as cache:
        await cache.get(of_kind("macro"), Upstream(series).load, ttl=LIFE)
    await asyncio.to_thread(
        in_the_file,
        path,
        "UPDATE entries SET (value, checksum) = (SELECT value, checksum FROM entries WHERE key "
        "LIKE '%macro%') WHERE key LIKE '%bars%'",
    )
    async with process(path, time) as cache:
        assert close_of(await get(cache, Upstream(NEW))) == close_of(NEW)
    assert not caplog.records


# Bounds


async def test_the_file_stays_within_its_bound_and_what_was_read_last_stays(
    path: Path, time: Time
) -> None:
    bound, favourite = 2**19, Upstream(bars_of(0))
    async with open_stored_cache(path, max_bytes=bound, clock=time.wall) as store:
        for number in range(100):
            time.wait(61)
            cache = SingleFlightCache(store=store, clock=time.monotonic())
            await cache.get(key_of(0), favourite.load, ttl=CLOSED_DAY)
            await cache.get(key_of(number), Upstream(bars_of(number)).load, ttl=CLOSED_DAY)
            await written(store)
        assert (await asyncio.to_thread(path.stat)).st_size <= bound
    assert (await asyncio.to_thread(path.stat)).st_size <= bound
    assert favourite.calls == 1
    kept = []
    async with process(path, time) as cache:
        for number in range(100):
            upstream = Upstream(bars_of(number))
            await cache.get(key_of(number), upstream.load, ttl=CLOSED_DAY)
            kept.append(not upstream.calls)
    assert kept[0]
    newest = kept[1:].index(True) + 1
    assert newest > 50
    assert all(kept[newest:]), "the least recently used went first"


async def test_a_value_larger_than_the_file_may_be_evicts_nothing(path: Path, time: Time) -> None:
    small = Series("X", False, ())
    large = Series("Y" * 2**20, False, ())
    for _ in range(2):
        async with process(path, time, max_bytes=2**19) as cache:
            await cache.get(of_kind("macro"), Upstream(small).load, ttl=LIFE)
            await get(cache, Upstream(bars_of(1)))
            await cache.get(of_kind("news"), Upstream(large).load, ttl=LIFE)
    upstreams = Upstream(small), Upstream(OLD)
    async with process(path, time) as cache:
        await cache.get(of_kind("macro"), upstreams[0].load, ttl=LIFE)
        await get(cache, upstreams[1])
    assert [upstream.calls for upstream in upstreams] == [0, 0]


async def test_the_dead_leave_the_file(path: Path, time: Time) -> None:
    await stored(path, time, OLD)
    time.wait(180)
    async with process(path, time):
        pass
    assert await asyncio.to_thread(in_the_file, path, "SELECT count(*) FROM entries") == [(0,)]


# Market data


DAYS = [datetime.date(2025, 11, 14), datetime.date(2025, 6, 30), datetime.date(2025, 9, 15)]


async def everything(toolkit: AsyncToolkit, day: datetime.date) -> dict[str, SourceAnswer]:
    data = await toolkit.get_all_market_data("NVDA", AsOf(day))
    parts: dict[str, SourceAnswer | None] = {"bars": data.bars, **data.statements, **data.macro}
    parts |= {"filings": data.filings, "insiders": data.insiders}
    return {name: part for name, part in parts.items() if part is not None}


async def test_nothing_from_after_the_as_of_date_comes_from_the_file(path: Path) -> None:
    """Whatever day was stored first, and also for what was known in between."""
    access = LiveAccess()
    first: dict[datetime.date, dict[str, SourceAnswer]] = {}
    for days, from_file in [(DAYS, False), (DAYS[::-1], True)]:
        for day in days:
            opened = open_toolkit("offline", access, embedded_latency_s=0, cache_file=path)
            async with opened as toolkit:
                with count_cache_use(INVALID_SPAN) as uses:
                    parts = await everything(toolkit, day)
            use = sum(uses.values(), Counter[str]())
            assert (use["misses"] == 0, use["stored"] > 0) == (from_file, from_file)
            for part in parts.values():
                assert all(in_time(instant, AsOf(day)) for instant in instants_of(part))
            known = first.setdefault(day, parts)
            assert [*instants_of_all(parts)] == [*instants_of_all(known)]
    assert len({len([*instants_of_all(parts)]) for parts in first.values()}) == len(DAYS)


def instants_of_all(parts: Mapping[str, SourceAnswer]) -> Iterator[object]:
    for name in sorted(parts):
        yield from instants_of(parts[name])


async def test_without_a_cache_there_is_no_file(path: Path) -> None:
    opened = open_toolkit(
        "offline", LiveAccess(), embedded_latency_s=0, caching=False, cache_file=path
    )
    async with opened as toolkit:
        await toolkit.bars("NVDA", AsOf(DAYS[0]))
    assert not await asyncio.to_thread(path.exists)


async def test_a_file_that_works_says_nothing(
    path: Path, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        await stored(path, time, OLD)
    assert not caplog.records

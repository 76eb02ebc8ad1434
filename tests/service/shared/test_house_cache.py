"""The cache of a house: one worker fetches, and none waits for a dead one or a dead database."""

import asyncio

import pytest

from tests.patience import PATIENCE_S
from tests.postgres import PostgresServer
from tests.service.shared.workers import counting_server, worker
from tests.toolkit.stored_bars import bars_of, key_of
from trading_graph.service.shared.cache import PostgresCache
from trading_graph.service.shared.database import HouseDatabase
from trading_graph.service.shared.house import open_house
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.cache import SingleFlightCache, Store
from trading_graph.toolkit.errors import NoDataError, SourceUnavailableError
from trading_graph.toolkit.ttl import CLOSED_DAY, Lifetime


class Source:
    """A source that counts how often it is asked, and may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.loads = 0
        self.error = error

    async def load(self) -> Bars:
        self.loads += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return bars_of(7)


def cache_on(store: Store) -> SingleFlightCache:
    """The cache of a process that has just begun: all that it knows is in the store."""
    return SingleFlightCache(store=store, jitter=0.0)


async def test_a_thousand_misses_of_two_processes_are_one_fetch(postgres_url: str) -> None:
    async with counting_server() as server:
        workers = [await worker(postgres_url, server.url, "get", 500) for _ in range(2)]
        for each in workers:
            assert await each.says() == {"closes": [8.0], "number": 500}
            await each.ends_well()
    assert server.loads == 1


async def test_a_killed_process_blocks_nobody_for_longer_than_its_lease(postgres_url: str) -> None:
    source = Source()
    dead = await worker(postgres_url, "-", "load")
    assert await dead.says() == {"leads": True}
    async with open_house(postgres_url) as house, house.open_cache("e") as store:
        getting = asyncio.create_task(cache_on(store).get(key_of(7), source.load, ttl=CLOSED_DAY))
        done, _ = await asyncio.wait({getting}, timeout=2.0)
        assert not done
        assert source.loads == 0, "the leader lives, and renews its lease"
        await dead.kill()
        bars = await asyncio.wait_for(getting, PATIENCE_S)
    assert float(bars.close[-1]) == 8.0
    assert [source.loads] == [1]


async def test_a_failed_load_leads_to_the_next_and_an_absence_is_shared(postgres_url: str) -> None:
    async with open_house(postgres_url) as house, house.open_cache("e") as store:
        failing, absent, unasked = (
            Source(SourceUnavailableError("down")),
            Source(NoDataError("none")),
            Source(),
        )
        with pytest.raises(SourceUnavailableError):
            await cache_on(store).get(key_of(7), failing.load, ttl=CLOSED_DAY)
        with pytest.raises(NoDataError, match="none"):
            await cache_on(store).get(key_of(7), absent.load, ttl=CLOSED_DAY)
        with pytest.raises(NoDataError, match="none"):
            await cache_on(store).get(key_of(7), unasked.load, ttl=CLOSED_DAY)
    assert [each.loads for each in (failing, absent, unasked)] == [1, 1, 0]


async def test_an_old_value_is_served_where_the_source_is_down(postgres_url: str) -> None:
    lifetime = Lifetime(fresh_s=0.001, if_error_s=3600.0)
    down = Source(SourceUnavailableError("down"))
    async with open_house(postgres_url) as house, house.open_cache("e") as store:
        await cache_on(store).get(key_of(7), Source().load, ttl=lifetime)
        await asyncio.sleep(0.01)
        bars = await cache_on(store).get(key_of(7), down.load, ttl=lifetime)
    assert float(bars.close[-1]) == 8.0
    assert down.loads == 1


async def test_another_edition_finds_nothing(postgres_url: str) -> None:
    async with open_house(postgres_url) as house:
        sources = [Source(), Source()]
        for edition, source in zip("ab", sources, strict=True):
            async with house.open_cache(edition) as store:
                await cache_on(store).get(key_of(7), source.load, ttl=CLOSED_DAY)
    assert [each.loads for each in sources] == [1, 1]


async def test_without_its_database_each_fetches_for_itself_until_it_is_back(
    postgres_server: PostgresServer,
) -> None:
    url = await asyncio.to_thread(postgres_server.new_database)
    source = Source()
    async with open_house(url) as house, house.open_cache("e") as store:
        await asyncio.to_thread(postgres_server.stop)
        for _ in range(2):
            await cache_on(store).get(key_of(7), source.load, ttl=CLOSED_DAY)
        assert source.loads == 2
        await asyncio.to_thread(postgres_server.start)
        before = source.loads
        while source.loads > before or await store.find(key_of(7)) is None:
            before = source.loads
            await cache_on(store).get(key_of(7), source.load, ttl=CLOSED_DAY)
            await asyncio.sleep(0.05)
        last = source.loads
        await cache_on(store).get(key_of(7), source.load, ttl=CLOSED_DAY)
        assert source.loads == last


async def test_the_bound_keeps_what_was_used_last(
    postgres_url: str, postgres: PostgresServer
) -> None:
    async with open_house(postgres_url):
        database = HouseDatabase(postgres_url)
        store = PostgresCache(database, max_bytes=100_000)
        for number in range(60):
            cache = cache_on(store)

            async def load(number: int = number) -> Bars:
                return bars_of(number)

            await cache.get(key_of(number), load, ttl=CLOSED_DAY)
        await store.close()
        name = postgres_url.rpartition("/")[2]
        size = "SELECT sum(octet_length(value)) FROM trading_graph.cache"
        one = int(await asyncio.to_thread(postgres.sql, size.replace("sum", "max"), name))
        total = int(await asyncio.to_thread(postgres.sql, size, name))
        assert total <= 100_000 + 10 * one, "no more than what came since the last eviction"
        assert await store.find(key_of(59)) is not None
        assert await store.find(key_of(0)) is None
        await database.close()

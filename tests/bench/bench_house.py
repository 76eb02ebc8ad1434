"""What a house costs: `python tests/bench/bench_house.py` (with PYTHONPATH=.; needs PostgreSQL).

Prints what one call pays for its place in a limit of the house, alone and among a thousand at once,
with a window that is full of earlier calls; what the cache of the house costs by call; and what a
statement of the service's store costs in a file and in PostgreSQL. The database's commits wait for
no disk, as in the tests.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.postgres import PostgresServer, find_programs
from tests.service.test_store import run, verdict
from tests.toolkit.stored_bars import bars_of, key_of
from trading_graph.service.shared.house import open_house
from trading_graph.service.store import RunState, Store, open_store
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.house import House
from trading_graph.toolkit.ttl import CLOSED_DAY

CALLS = 500
ROUNDS = 5
MANY = 1000


async def each(name: str, call: Callable[[int], Awaitable[object]], calls: int = CALLS) -> None:
    """Print the least mean of some rounds, as time and as the process's own CPU."""
    best_s = best_cpu_s = float("inf")
    for number in range(ROUNDS):
        start, cpu = time.perf_counter(), time.process_time()
        for at in range(calls):
            await call(number * calls + at)
        best_s = min(best_s, (time.perf_counter() - start) / calls)
        best_cpu_s = min(best_cpu_s, (time.process_time() - cpu) / calls)
    print(f"  {name:<44}{best_s * 1e6:9.0f} us {best_cpu_s * 1e6:9.0f} us CPU")


async def limits(house: House) -> None:
    """Places in a limit that never makes anybody wait."""
    print("A place in a limit of the house")
    limit = house.limits.limit("bench", requests=10**9, tokens=10**12, window_s=60.5)

    async def many(_: int) -> None:
        await asyncio.gather(*(limit.book(1000) for _ in range(MANY)))

    await each("one call after the other", lambda _: limit.book(1000))
    await each(f"{MANY} calls at once, all of them", many, 1)
    await asyncio.sleep(20)  # So that the window has slots.
    await each("one call, a third of the window is full", lambda _: limit.book(1000))


async def cache(house: House) -> None:
    """A miss that loads at once, and a value that another worker has put."""
    print("The cache of the house (bars of 300 days)")
    async with house.open_cache("bench") as store:
        one, other = SingleFlightCache(store=store), SingleFlightCache(store=store)

        def get(cache: SingleFlightCache, number: int) -> Awaitable[object]:
            async def load() -> object:
                return bars_of(number)

            return cache.get(key_of(number), load, ttl=CLOSED_DAY)

        await each("a miss", lambda number: get(one, number))
        await each("a value that another worker has put", lambda number: get(other, number))


async def statements(name: str, store: Store) -> None:
    """Statements of the store, one after the other."""
    print(f"The store in {name}")
    await each("add", lambda number: store.add(run(number)))
    await each("change", lambda number: store.change(run(number).id, state=RunState.RUNNING))
    await each("run", lambda number: store.run(run(number).id))
    await each("runs, 50", lambda _: store.runs(), 50)
    await each("keep_verdict", lambda number: store.keep_verdict(verdict(number, 1.0)))
    hundred = [verdict(10**6 + number, 1.0) for number in range(100)]
    await each("keep_verdicts, 100", lambda _: store.keep_verdicts(hundred), 10)


async def main(server: PostgresServer) -> None:
    """Run every measurement in one loop."""
    print(f"Python {sys.version.split()[0]}")
    url = await asyncio.to_thread(server.new_database)
    async with open_house(url) as house:
        await limits(house)
        await cache(house)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "service.sqlite"
        async with open_store(path) as store:
            await statements("a file", store)
        async with open_store(path, url) as store:
            await statements("PostgreSQL", store)


if __name__ == "__main__":
    programs = find_programs()
    if programs is None:
        sys.exit("There is no PostgreSQL here: apt-get install postgresql.")
    postgres = PostgresServer(programs)
    try:
        postgres.start()
        asyncio.run(main(postgres))
    finally:
        postgres.remove()

"""What the cache's file costs: `python tests/bench/bench_cache_file.py` (with PYTHONPATH=.).

Prints what a hit in memory costs with a file behind it, what a value from the file costs by kind of
data, what storing one costs its caller and the writer, and how long everything of a ticker takes
from the file and from sources that answer in 50 ms.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.dataset import tables
from trading_graph.toolkit.live_access import LiveAccess
from trading_graph.toolkit.market_data import AsyncToolkit, open_toolkit
from trading_graph.toolkit.records import SourceAnswer
from trading_graph.toolkit.sources.company_facts import CONCEPT_TAGS, Reported, TagValue
from trading_graph.toolkit.stored_cache import StoredCache, open_stored_cache
from trading_graph.toolkit.stored_values import encode
from trading_graph.toolkit.ttl import CLOSED_DAY

AS_OF = AsOf(date(2025, 11, 14))
HITS = 20_000
VALUES = 500
ROUNDS = 7
SOURCE_S = 0.05


def key_of(number: int, kind: str) -> CacheKey:
    """The key of one of many symbols."""
    return CacheKey(kind, "bench", f"S{number}", AS_OF.date)


def company(symbol: str, copies: int = 4) -> Reported:
    """What a company reported, as SEC gives it: each of the embedded facts several times."""
    values: dict[str, list[TagValue]] = {}
    for fact in tables.statements()[symbol]:
        tag = CONCEPT_TAGS[fact.concept][0]
        value = TagValue(fact.end, fact.value, fact.filed, fact.form, fact.start)
        values.setdefault(tag, []).extend([value] * copies)
    return Reported({"USD": values}, {})


async def samples(toolkit: AsyncToolkit) -> dict[str, object]:
    """A value of each of some kinds."""
    return {
        "bars": await toolkit.bars("NVDA", AS_OF),
        "statements": await toolkit.statements("NVDA", AS_OF, "income"),
        "filings": await toolkit.filings("NVDA", AS_OF),
        "macro": await toolkit.macro("DGS10", AS_OF),
        "company_facts": await asyncio.to_thread(company, "NVDA"),
    }


async def microseconds(ask: Callable[[], Awaitable[object]], times: int) -> float:
    """What one call takes in one round, in CPU time: the machine may be busy with others."""
    began = time.process_time()
    for _ in range(times):
        await ask()
    return (time.process_time() - began) / times * 1e6


async def never() -> object:
    """A load that is not to happen."""
    raise AssertionError("it was to come from the cache")


async def in_memory(store: StoredCache, bars: object) -> None:
    """Print what a hit in memory costs, without a file and with one, their rounds taking turns."""

    async def load() -> object:
        return bars

    caches = {
        "without a file": SingleFlightCache(),
        "with a file behind it": SingleFlightCache(store=store),
    }
    rounds: dict[str, list[float]] = {name: [] for name in caches}
    for _ in range(ROUNDS):
        for name, cache in caches.items():

            def ask(cache: SingleFlightCache = cache) -> Awaitable[object]:
                return cache.get(key_of(-1, "bars"), load, ttl=CLOSED_DAY)

            await ask()
            rounds[name].append(await microseconds(ask, HITS))
    print(f"hit in memory, {HITS} gets of one key, CPU time, median of {ROUNDS} rounds, bar 5 us")
    for name, costs in rounds.items():
        print(f"  {name:<40}{statistics.median(costs):9.2f} us")


async def from_file(path: Path, values: dict[str, object]) -> None:
    """Print what it costs to store values, and to get them in a later process."""
    print(f"stored, and got from the file by a later process, {VALUES} values a kind")
    print(f"  {'':<16}{'':>9}{'put, CPU':>13}{'written,':>13}{'hit, CPU':>13}{'hit,':>13}")
    print(f"  {'':<16}{'bytes':>9}{'of the caller':>13}{'CPU':>13}{'':>13}{'median':>13}")
    for kind, value in values.items():

        async def load(value: object = value) -> object:
            return value

        async with open_stored_cache(path) as store:
            cache = SingleFlightCache(store=store)
            began, own_began = time.process_time(), time.thread_time()
            for number in range(VALUES):
                await cache.get(key_of(number, kind), load, ttl=CLOSED_DAY)
            own_s = time.thread_time() - own_began
            while store._writes.qsize():  # noqa: ASYNC110 - it has no other way to say so.
                await asyncio.sleep(0.001)
            written_s = time.process_time() - began
        async with open_stored_cache(path) as store:
            cache = SingleFlightCache(store=store)
            hits, began = [], time.process_time()
            for number in range(VALUES):
                hit_began = time.perf_counter()
                await cache.get(key_of(number, kind), never, ttl=CLOSED_DAY)
                hits.append(time.perf_counter() - hit_began)
            read_s = time.process_time() - began
        costs = (own_s / VALUES, written_s / VALUES, read_s / VALUES, statistics.median(hits))
        columns = "".join(f"{cost * 1e6:>10.0f} us" for cost in costs)
        print(f"  {kind:<16}{len(encode(value)):>9,}{columns}")
    size = (await asyncio.to_thread(path.stat)).st_size
    print(f"  the file has {size / 2**20:.1f} MiB")


async def everything(path: Path) -> None:
    """Print how long everything of a ticker takes, from sources and from the file."""
    print(f"everything of a ticker, sources that answer in {SOURCE_S * 1e3:g} ms")
    for name in ("from the sources", "from the file", "from memory"):
        opened = open_toolkit("offline", LiveAccess(), embedded_latency_s=SOURCE_S, cache_file=path)
        async with opened as toolkit:
            await toolkit.bars("AAPL", AS_OF)  # The first use imports.
            if name == "from memory":
                await toolkit.get_all_market_data("NVDA", AS_OF)
            began = time.perf_counter()
            data = await toolkit.get_all_market_data("NVDA", AS_OF)
            took_ms = (time.perf_counter() - began) * 1e3
            parts: list[SourceAnswer | None] = [data.bars, data.filings, data.insiders]
            parts += [*data.statements.values(), *data.macro.values()]
        print(f"  {name:<40}{took_ms:9.1f} ms, {sum(part is not None for part in parts)} parts")


async def main() -> None:
    """Run every measurement in one loop."""
    print(f"Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market_data.sqlite"
        opened = open_toolkit("offline", LiveAccess(), embedded_latency_s=0)
        async with opened as toolkit:
            values = await samples(toolkit)
        async with open_stored_cache(path) as store:
            await in_memory(store, values["bars"])
        await from_file(path, values)
        await everything(Path(folder) / "ticker.sqlite")


if __name__ == "__main__":
    asyncio.run(main())

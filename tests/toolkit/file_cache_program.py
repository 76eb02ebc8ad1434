"""A process that uses a cache file: `python file_cache_program.py FILE WORD NUMBER`.

`fill` and `read` get so many symbols, `hammer` gets them three times, `endless` gets new ones until
it is killed; at their end they say what the cache did. `lock` keeps everybody from the file until
its stdin ends, `write` those who would write. The first line says that it has begun.
"""

import asyncio
import contextlib
import json
import logging
import sqlite3
import sys
from pathlib import Path

from opentelemetry.trace import INVALID_SPAN

from tests.toolkit.stored_bars import bars_of, key_of
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.cache_use import count_cache_use
from trading_graph.toolkit.stored_cache import open_stored_cache
from trading_graph.toolkit.ttl import CLOSED_DAY


async def get(cache: SingleFlightCache, number: int) -> Bars:
    """The bars of a number, which are wrong where they are not those of `bars_of`."""

    async def load() -> Bars:
        return bars_of(number)

    return await cache.get(key_of(number), load, ttl=CLOSED_DAY, size=lambda bars: bars.nbytes)


async def use(path: Path, numbers: list[int]) -> None:
    """Get the bars of all numbers, and print what the cache did."""
    async with open_stored_cache(path) as store:
        cache = SingleFlightCache(store=store)
        with count_cache_use(INVALID_SPAN) as uses:
            closes = [float((await get(cache, number)).close[-1]) for number in numbers]
    wrong = sum(
        close != float(bars_of(number).close[-1])
        for number, close in zip(numbers, closes, strict=True)
    )
    print(json.dumps({"wrong": wrong, **uses["bars"]}), flush=True)


def hold(path: Path, *, against_readers: bool) -> None:
    """Hold the file until stdin ends."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if against_readers:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        print("began", flush=True)
        sys.stdin.read()


def main(file: str, word: str, number: str) -> None:
    """Do what the word says."""
    logging.basicConfig(stream=sys.stderr)
    path, numbers = Path(file), list(range(int(number)))
    if word in ("lock", "write"):
        hold(path, against_readers=word == "lock")
        return
    print("began", flush=True)
    if word == "hammer":
        numbers = numbers * 3
    if word == "endless":
        numbers = list(range(10**6))
    asyncio.run(use(path, numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])

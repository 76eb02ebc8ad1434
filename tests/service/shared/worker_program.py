"""A worker of a house: `python worker_program.py DATABASE SERVER WORD NUMBER`.

`send` sends so many requests to the server, each when the house lets it, with what it has booked;
`wait` takes a place in line behind a full limit and says so; `get` asks so many times at once for
one value, which is loaded from the server; `load` begins a load that never ends.
"""

import asyncio
import json
import sys

import aiohttp

from tests.toolkit.stored_bars import bars_of, key_of
from trading_graph.service.shared.cache import PostgresCache
from trading_graph.service.shared.database import HouseDatabase
from trading_graph.service.shared.house import open_house
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.house import House, HouseLimit, Place
from trading_graph.toolkit.ttl import CLOSED_DAY

REQUESTS, TOKENS, WINDOW_S = 20, 300, 0.5
"""The limit that these programs share."""


def limit_of(house: House) -> HouseLimit:
    return house.limits.limit("shared", requests=REQUESTS, tokens=TOKENS, window_s=WINDOW_S)


async def booked(limit: HouseLimit, tokens: int) -> Place:
    place = await limit.book(tokens)
    while place.wait_s > 0:
        await asyncio.sleep(place.wait_s)
        place = await limit.book(tokens, place)
    return place


async def send(house: House, server: str, number: int) -> None:
    limit = limit_of(house)

    async def request(session: aiohttp.ClientSession, tokens: int) -> None:
        place = await booked(limit, tokens)
        query = {"slot": str(place.id), "tokens": str(tokens)}
        async with session.get(f"{server}/sent", params=query):
            pass

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(request(session, 5 + 5 * (each % 5)) for each in range(number)))


async def wait(house: House, number: int) -> None:
    limit = house.limits.limit("long", requests=number, window_s=600.0)
    while (place := await limit.book()).wait_s == 0:
        pass
    print(json.dumps({"place": place.id}), flush=True)
    await asyncio.Event().wait()


async def get(house: House, server: str, number: int) -> None:
    async with house.open_cache("e") as store, aiohttp.ClientSession() as session:
        cache = SingleFlightCache(store=store)

        async def load() -> Bars:
            async with session.get(f"{server}/load") as answer:
                return bars_of(int(await answer.text()))

        async def one() -> float:
            bars = await cache.get(key_of(7), load, ttl=CLOSED_DAY)
            return float(bars.close[-1])

        closes = await asyncio.gather(*(one() for _ in range(number)))
        print(json.dumps({"closes": sorted(set(closes)), "number": len(closes)}), flush=True)


async def load(database: str) -> None:
    store = PostgresCache(HouseDatabase(database), "e", lease_s=1.0)
    async with store.alone(key_of(7)) as entry:
        print(json.dumps({"leads": entry is None}), flush=True)
        await asyncio.Event().wait()


async def main(database: str, server: str, word: str, number: str) -> None:
    async with open_house(database) as house:
        match word:
            case "send":
                await send(house, server, int(number))
            case "wait":
                await wait(house, int(number))
            case "get":
                await get(house, server, int(number))
            case "load":
                await load(database)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

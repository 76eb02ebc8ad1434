"""What the cache costs, beside others: `python tests/bench/bench_cache.py` (with PYTHONPATH=.).

Prints the price of a hit beside the floor (awaiting a coroutine that does nothing), and what many
concurrent callers of one key get when nobody, the leader, or the first load fails. The other
libraries take part where they are installed: `pip install --group bench`.
"""

import asyncio
import datetime
import importlib
import importlib.metadata
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.errors import SourceUnavailableError

HITS = 20_000
ROUNDS = 7
CALLERS = 1000
LOAD_S = 0.5
KEY = CacheKey("bars", "bench", "AAPL", datetime.date(2025, 11, 14))

Load = Callable[[], Awaitable[str]]
Ask = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Contender:
    """A cache: its name, and how one key of it is asked for, given the load behind it."""

    name: str
    make: Callable[[Load], Ask]


def ours(load: Load) -> Ask:
    """This project's cache."""
    cache = SingleFlightCache()
    return lambda: cache.get(KEY, load, ttl=3600)


def cashews(load: Load, **options: bool) -> Ask:
    """A memory cache of cashews, with its decorator."""
    cache = importlib.import_module("cashews").Cache()
    cache.setup("mem://")

    @cache(ttl=3600, key="bars:{symbol}", **options)  # type: ignore[untyped-decorator]
    async def bars(symbol: str) -> str:
        return await load()

    return lambda: bars("AAPL")


def aiocache(load: Load) -> Ask:
    """The decorator of aiocache against stampedes, in memory."""
    library = importlib.import_module("aiocache")

    @library.cached_stampede(lease=2, ttl=3600)  # type: ignore[untyped-decorator]
    async def bars(symbol: str) -> str:
        return await load()

    return lambda: bars("AAPL")


def async_lru(load: Load) -> Ask:
    """The decorator of async-lru."""

    @importlib.import_module("async_lru").alru_cache(maxsize=4096, ttl=3600)  # type: ignore[untyped-decorator]
    async def bars(symbol: str) -> str:
        return await load()

    return lambda: bars("AAPL")


def contenders() -> list[Contender]:
    """Ours, and each library that is installed."""
    found = [Contender("trading-graph", ours)]
    for library, ways in (
        ("cashews", {"": cashews, ", lock": lambda load: cashews(load, lock=True)}),
        ("aiocache", {", stampede": aiocache}),
        ("async-lru", {"": async_lru}),
    ):
        try:
            version = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            print(f"{library}: left out, it is not installed")
            continue
        found += [Contender(f"{library} {version}{way}", make) for way, make in ways.items()]
    return found


async def _nothing() -> str:
    return "value"


async def _load() -> str:
    await asyncio.sleep(LOAD_S)
    return "value"


async def _microseconds(ask: Ask) -> float:
    """Microseconds a call in one round."""
    began = time.perf_counter()
    for _ in range(HITS):
        await ask()
    return (time.perf_counter() - began) / HITS * 1e6


async def hits(found: list[Contender]) -> None:
    """Print what a hit costs each, the rounds of all taking turns."""
    asks: dict[str, Ask] = {"awaiting a coroutine that does nothing": _nothing}
    for contender in found:
        asks[contender.name] = contender.make(_load)
        await asks[contender.name]()
    rounds: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(ROUNDS):
        for name, ask in asks.items():
            rounds[name].append(await _microseconds(ask))
    print(f"hit, {HITS} gets of one key, median of {ROUNDS} rounds, bar 5 us")
    own = statistics.median(rounds[found[0].name])
    for name, costs in rounds.items():
        cost = statistics.median(costs)
        print(f"  {name:<55}{cost:8.2f} us {cost / own:7.2f} x ours")


async def hits_under_spans(tracer: trace.Tracer) -> None:
    """Print what a hit of ours costs under a recording span."""
    ask = ours(_load)
    await ask()
    with tracer.start_as_current_span("tool"):
        later = statistics.median([await _microseconds(ask) for _ in range(ROUNDS)])
    rounds = []
    for _ in range(ROUNDS):
        under = []
        for _ in range(HITS // 10):
            with tracer.start_as_current_span("tool"):
                began = time.perf_counter()
                await ask()
                under.append(time.perf_counter() - began)
        rounds.append(statistics.mean(under) * 1e6)
    print("hit of ours under a recording span")
    print(f"  {'it has hits already':<55}{later:8.2f} us")
    print(f"  {'its first hit (writes two attributes)':<55}{statistics.median(rounds):8.2f} us")


async def misses(found: list[Contender]) -> None:
    """Print what concurrent callers of one key get, and how often the source was asked."""
    print(f"{CALLERS} concurrent callers of one key, a load takes {LOAD_S * 1e3:g} ms")
    print(f"  {'':<31}{'':<26}fetches  served  errors  cancelled      ms")
    for contender in found:
        for name, failing, cancel_leader in (
            ("nobody fails", False, False),
            ("leader cancelled", False, True),
            ("first load fails", True, False),
        ):
            asked = 0

            async def load(failing: bool = failing) -> str:
                nonlocal asked
                asked += 1
                first = asked == 1
                await asyncio.sleep(LOAD_S)
                if failing and first:
                    raise SourceUnavailableError("down")
                return "value"

            ask = contender.make(load)
            began = time.perf_counter()
            tasks = [asyncio.ensure_future(ask()) for _ in range(CALLERS)]
            await asyncio.sleep(LOAD_S / 2)
            if cancel_leader:
                tasks[0].cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            took_ms = (time.perf_counter() - began) * 1e3
            served = sum(outcome == "value" for outcome in outcomes)
            cancelled = sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
            print(
                f"  {contender.name:<31}{name:<26}{asked:7}{served:8}"
                f"{CALLERS - served - cancelled:8}{cancelled:11}{took_ms:8.0f}"
            )


async def main() -> None:
    """Run every measurement in one loop."""
    print(f"Python {sys.version.split()[0]}")
    found = contenders()
    await hits(found)
    await hits_under_spans(TracerProvider().get_tracer("bench"))
    await misses(found)


if __name__ == "__main__":
    asyncio.run(main())

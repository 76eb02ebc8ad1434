"""What the cache costs: `python tests/bench/bench_cache.py`.

Prints the price of a hit beside the floor (awaiting a coroutine that does nothing), and what many
concurrent callers of one key cost when nobody, the leader, or the load fails.
"""

import asyncio
import datetime
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from toolkit.cache import CacheKey, SingleFlightCache
from toolkit.errors import SourceUnavailable

HITS = 50_000
ROUNDS = 7
CALLERS = 1000
KEY = CacheKey("bars", "bench", "AAPL", datetime.date(2025, 11, 14))


async def _nothing() -> str:
    return "value"


async def _load() -> str:
    await asyncio.sleep(0.05)
    return "value"


async def _fail() -> str:
    await asyncio.sleep(0.05)
    raise SourceUnavailable("down")


async def _microseconds(ask: Callable[[], Awaitable[object]]) -> float:
    """Microseconds a call: the median of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(HITS):
            await ask()
        rounds.append((time.perf_counter() - began) / HITS * 1e6)
    return statistics.median(rounds)


async def hits(tracer: trace.Tracer) -> None:
    """Print what a hit costs without a span, and under a recording one."""
    cache = SingleFlightCache()
    await cache.get(KEY, _load, ttl=3600)

    def ask() -> Awaitable[str]:
        return cache.get(KEY, _load, ttl=3600)

    floor = await _microseconds(_nothing)
    plain = await _microseconds(ask)
    with tracer.start_as_current_span("tool"):
        recording = await _microseconds(ask)
    rounds = []
    for _ in range(ROUNDS):
        under = []
        for _ in range(HITS // 10):
            with tracer.start_as_current_span("tool"):
                began = time.perf_counter()
                await ask()
                under.append(time.perf_counter() - began)
        rounds.append(statistics.mean(under) * 1e6)
    first = statistics.median(rounds)
    print(f"hit, {HITS} gets of one key, median of {ROUNDS} rounds, bar 5 us")
    for name, cost in (
        ("awaiting a coroutine that does nothing", floor),
        ("no recording span", plain),
        ("recording span, it has hits already", recording),
        ("recording span, its first hit (writes two attributes)", first),
    ):
        print(f"  {name:<55}{cost:7.2f} us {cost / floor:7.1f} x floor")


async def misses() -> None:
    """Print what concurrent callers of one key get, and how often the source was asked."""
    print(f"{CALLERS} concurrent callers of one key, load takes 50 ms")
    for name, load, cancel_leader in (
        ("nobody fails", _load, False),
        ("leader cancelled", _load, True),
        ("load fails", _fail, False),
    ):
        asked = 0

        async def counted(load: Callable[[], Awaitable[str]] = load) -> str:
            nonlocal asked
            asked += 1
            return await load()

        cache = SingleFlightCache()
        began = time.perf_counter()
        tasks = [asyncio.create_task(cache.get(KEY, counted, ttl=3600)) for _ in range(CALLERS)]
        await asyncio.sleep(0.01)
        if cancel_leader:
            tasks[0].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        took_ms = (time.perf_counter() - began) * 1e3
        served = sum(outcome == "value" for outcome in outcomes)
        failed = sum(isinstance(outcome, SourceUnavailable) for outcome in outcomes)
        cancelled = sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        print(
            f"  {name:<20} fetches {asked}, served {served}, errors {failed}, "
            f"cancelled {cancelled}, {took_ms:.1f} ms ({took_ms / 50:.2f} x the load)"
        )


async def main() -> None:
    """Run every measurement in one loop."""
    print(f"Python {sys.version.split()[0]}")
    await hits(TracerProvider().get_tracer("bench"))
    await misses()


if __name__ == "__main__":
    asyncio.run(main())

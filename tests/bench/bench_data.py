"""What market data costs once it has arrived, and what fetching all of it at once gains.

    PYTHONPATH=. .venv/bin/python tests/bench/bench_data.py

All prices are a random walk with a fixed seed, or the embedded data set over loopback. Every ratio
compares two ways of doing the same within this run; inputs are printed with it.
"""

import asyncio
import datetime
import json
import statistics
import warnings
from collections.abc import Awaitable, Callable
from time import perf_counter, process_time
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pandas as pd
import stockstats
import yfinance.utils as yf

from tests.misleading_charts import CHART_FAULTS, SESSIONS_BEFORE
from trading_graph.toolkit import indicators
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import Bars, make_bars
from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.embedded_server import make_app
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.market_data import MACRO_SERIES, STATEMENT_KINDS, AsyncToolkit
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.sources.yahoo_chart import parse_chart
from trading_graph.toolkit.unit_jumps import in_one_unit

YEARS_15 = 15 * 252
PARSED = 2700
REQUEST_S = 0.05
AS_OF = AsOf(datetime.date(2025, 11, 14))
_OPENED = 1_262_356_200  # 2010-01-01 09:30 in New York


def median_ms(work: Callable[[], object], repeats: int = 15) -> float:
    """The median time of some work in milliseconds, after one run that is not counted."""
    work()
    took = []
    for _ in range(repeats):
        started = perf_counter()
        work()
        took.append(perf_counter() - started)
    return statistics.median(took) * 1e3


def walk(size: int) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """Open, high, low, close and volume of a random walk."""
    random = np.random.default_rng(7)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.015, size)))
    opened = close * np.exp(random.normal(0, 0.004, size))
    high = np.maximum(opened, close) * 1.01
    low = np.minimum(opened, close) * 0.99
    return [opened, high, low, close, random.uniform(1e6, 1e8, size).round()]


def bench_indicators() -> None:
    """All indicators at once against one wrap for each."""
    days = [datetime.date(2010, 1, 1) + datetime.timedelta(days=n) for n in range(YEARS_15)]
    bars: Bars = make_bars("WALK", days, walk(YEARS_15))
    names = tuple(indicators.INDICATORS)

    def apart() -> None:
        for name in names:
            frame = pd.DataFrame(
                {c: getattr(bars, c) for c in ("open", "high", "low", "close", "volume")}
            )
            stockstats.wrap(frame)[name]

    once = median_ms(lambda: indicators.compute(bars, names))
    each = median_ms(apart)
    print(f"{len(names)} indicators of {YEARS_15} bars")
    print(f"  one wrap, corrected      {once:8.2f} ms   bar: 20 ms")
    print(f"  {len(names)} wraps of stockstats   {each:8.2f} ms   {each / once:.1f} times that")


def bench_chart() -> None:
    """A chart from bytes to arrays, by us and by yfinance."""
    columns = walk(PARSED)
    stamps = [_OPENED + day * 86_400 for day in range(PARSED)]
    names = ("open", "high", "low", "close", "volume")
    result = {
        "meta": {"currency": "USD", "exchangeTimezoneName": "America/New_York"},
        "timestamp": stamps,
        "events": {},
        "indicators": {
            "quote": [dict(zip(names, (c.tolist() for c in columns), strict=True))],
            "adjclose": [{"adjclose": columns[3].tolist()}],
        },
    }
    body = json.dumps({"chart": {"result": [result], "error": None}}).encode()

    def theirs() -> None:
        answer = json.loads(body)["chart"]["result"][0]
        quotes = yf.parse_quotes(answer)
        yf.parse_actions(answer)
        yf.auto_adjust(quotes)

    ours_ms = median_ms(lambda: parse_chart(msgspec.json.decode(body), "WALK", "bench"))
    theirs_ms = median_ms(theirs)
    print(f"chart of {PARSED} bars, {len(body) / 1e3:.0f} kB")
    print(f"  ours                     {ours_ms:8.2f} ms   bar: 3 ms")
    print(f"  yfinance's parser        {theirs_ms:8.2f} ms   {theirs_ms / ours_ms:.1f} times that")
    bench_checks(body)


def bench_checks(body: bytes) -> None:
    """What the checks of bars add: CPU time of the same chart with and without, in turns."""

    def checked(answer: Any) -> Bars:
        return in_one_unit(parse_chart(answer, "WALK", "bench"))

    clean, faulty = msgspec.json.decode(body), msgspec.json.decode(body)
    chart = faulty["chart"]["result"][0]
    last = len(chart["timestamp"]) - 1
    for fault, before in SESSIONS_BEFORE.items():
        CHART_FAULTS[fault](chart, last - before)
    dirty = msgspec.json.encode(faulty)
    assert not checked(clean).faults
    assert len(checked(faulty).faults) > len(SESSIONS_BEFORE)
    ways: dict[str, Callable[[], object]] = {
        "unchecked": lambda: unchecked(msgspec.json.decode(body)),
        "checked": lambda: checked(msgspec.json.decode(body)),
        "checked, with faults": lambda: checked(msgspec.json.decode(dirty)),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(60):
        for name, work in ways.items():
            started = process_time()
            work()
            took[name].append(process_time() - started)
    cpu_ms = {name: statistics.median(times) * 1e3 for name, times in took.items()}
    for name, ms in cpu_ms.items():
        share = ms / cpu_ms["unchecked"]
        print(f"  {name:<24} {ms:8.2f} ms   of CPU, {share:.2f} times unchecked; bar: 1.3")


def unchecked(answer: Any) -> list[np.ndarray[Any, Any]]:
    """The same columns by the same steps, as they were made before bars were checked."""
    chart = answer["chart"]["result"][0]
    zone = ZoneInfo(chart["meta"]["exchangeTimezoneName"])
    quote = chart["indicators"]["quote"][0]
    days = [datetime.datetime.fromtimestamp(each, zone).date() for each in chart["timestamp"]]
    epoch = datetime.date(1970, 1, 1).toordinal()
    numbers = np.fromiter((day.toordinal() - epoch for day in days), np.int64, len(days))
    dates = numbers.astype("datetime64[D]")
    names = ("open", "high", "low", "close", "volume")
    columns = np.array([quote[name] for name in names], dtype=np.float64).reshape(5, len(days))
    complete = np.isfinite(columns[:4]).all(axis=0)
    dates, columns = dates[complete], columns[:, complete]
    columns[4] = np.nan_to_num(columns[4])
    order = np.argsort(dates, kind="stable")
    dates, columns = dates[order], columns[:, order]
    last_of_day = np.append(dates[1:] != dates[:-1], True)[: len(dates)]
    return [dates[last_of_day], columns[:, last_of_day]]


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds of some work."""
    started = perf_counter()
    await work()
    return perf_counter() - started


async def bench_all(url: str) -> None:
    """Everything of a symbol at once against each of its sources alone, always with cold caches."""
    async with HttpPool() as pool:

        def cold() -> AsyncToolkit:
            return AsyncToolkit(pool, SingleFlightCache(), mode="offline", base_url=url)

        await cold().get_all_market_data("NVDA", AS_OF)  # connections and imports
        alone = {
            "bars": await timed(lambda: cold().bars("NVDA", AS_OF)),
            "filings": await timed(lambda: cold().filings("NVDA", AS_OF)),
            "insiders": await timed(lambda: cold().insiders("NVDA", AS_OF)),
        }
        for kind in STATEMENT_KINDS:
            alone[kind] = await timed(lambda kind=kind: cold().statements("NVDA", AS_OF, kind))  # type: ignore[misc]
        for name in MACRO_SERIES:
            alone[name] = await timed(lambda name=name: cold().macro(name, AS_OF))  # type: ignore[misc]
        at_once = [await timed(lambda: cold().get_all_market_data("NVDA", AS_OF)) for _ in range(7)]
    slowest = max(alone, key=lambda name: alone[name])
    everything, total = statistics.median(at_once), sum(alone.values())
    print(f"everything of NVDA, {len(alone)} sources, {REQUEST_S * 1e3:.0f} ms a request")
    print(f"  all at once              {everything * 1e3:8.1f} ms")
    print(
        f"  slowest alone            {alone[slowest] * 1e3:8.1f} ms   ({slowest}); "
        f"all at once takes {everything / alone[slowest]:.2f} times that   bar: 2.2"
    )
    print(f"  one after the other      {total * 1e3:8.1f} ms   {total / everything:.1f} times that")


def main() -> None:
    """Run the three comparisons."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    bench_indicators()
    bench_chart()
    with LoopbackServer(lambda: make_app(latency_s=REQUEST_S)) as server:
        asyncio.run(bench_all(server.url))


if __name__ == "__main__":
    main()

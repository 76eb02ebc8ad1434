"""The simulation of many tickers: as long as a real evening, and what binds is what binds."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.bench.evening import AT_ONCE, Evening, play
from tests.bench.scripts import AS_OF, Agent, Call, Script, measure
from tests.bench.simulate_portfolio import SPEED, binding, savings
from trading_graph.graph.analysis import analyse, record_run
from trading_graph.graph.backend_choice import (
    OFFLINE_DEEP_MODEL,
    OFFLINE_QUICK_MODEL,
    BackendChoice,
    ModelService,
)
from trading_graph.graph.backends import open_backends
from trading_graph.graph.chat import rate_limits
from trading_graph.graph.chat.rate_limits import RateLimits
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.graph.options import Options
from trading_graph.otel.export import set_up
from trading_graph.toolkit.loopback import LoopbackServer

CALL_S = 0.1
MINUTE_S = 2.5
"""What a minute of the limits is shortened to, so that several pass."""
SYMBOLS = ("AAPL", "NVDA", "GOOGL")
TOKENS = 9_000


async def seconds_of(choice: BackendChoice, at_once: int) -> float:
    """How long real runs of the symbols take, so many at once."""
    telemetry = await asyncio.to_thread(set_up, "trading-graph", "test")
    turns = asyncio.Semaphore(at_once)
    async with open_backends(choice) as backends:

        async def run(symbol: str) -> None:
            options = Options(symbol, AS_OF)
            async with turns, record_run(options, backends, telemetry.provider) as span:
                await analyse(options, backends, span)

        began = time.perf_counter()
        await asyncio.gather(*map(run, SYMBOLS))
        took = time.perf_counter() - began
    await asyncio.to_thread(telemetry.shutdown)
    return took


@pytest.mark.full
@pytest.mark.alone
def test_it_takes_as_long_as_real_runs_within_a_tenth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "WINDOW_S", MINUTE_S)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    with LoopbackServer(OfflineModel(latency_s=CALL_S).make_app) as server:
        free = ModelService(
            f"{server.url}/v1", SecretStr("none"), OFFLINE_QUICK_MODEL, OFFLINE_DEEP_MODEL
        )
        choice = BackendChoice(model=free, fetch_latency_s=0.05)
        scripts = measure(tmp_path, choice, SYMBOLS)
        limited = replace(free, tokens_per_minute={OFFLINE_QUICK_MODEL: TOKENS})
        real_s = asyncio.run(seconds_of(replace(choice, model=limited), at_once=2))
    limits = {OFFLINE_QUICK_MODEL: RateLimits(tokens=TOKENS)}
    evening = Evening(tuple(scripts), len(SYMBOLS), 2, limits)
    played = play(evening)
    print(f"real {real_s:.2f} s, simulated {played.seconds:.2f} s")
    assert real_s > 1.5 * play(replace(evening, limits={})).seconds, (
        "the limit is what it waits for"
    )
    assert played.seconds == pytest.approx(real_s, rel=0.1)


def script(calls: int = 3, seconds: float = 10.0, tokens: int = 1000) -> Script:
    """A run of two agents at once, and then a third."""
    spoken = (Call(0.5, "m", seconds, tokens, tokens),) * calls
    agents = (Agent((), 0, spoken, 0), Agent((), 1, spoken, 0), Agent((0, 1), 0, spoken, 0))
    return Script(agents, 1.0, 2 * calls * (seconds + 0.5) + 2)


WIDE = RateLimits(100_000, 100_000_000)


@pytest.mark.parametrize(
    ("at_once", "limits", "binds"),
    [
        (10, WIDE, AT_ONCE),
        (100, WIDE, SPEED),
        (100, replace(WIDE, requests=20), "m: requests a minute"),
        (100, replace(WIDE, tokens=30_000), "m: tokens a minute"),
    ],
)
def test_what_is_scarce_is_what_binds(at_once: int, limits: RateLimits, binds: str) -> None:
    evening = Evening((script(),), 60, at_once, {"m": limits})
    shares = savings(evening)
    assert binding(shares) == binds
    assert shares[binds] > 0.2


@pytest.mark.parametrize("at_once", [1, 7, 60])
@pytest.mark.parametrize("limits", [WIDE, RateLimits(15, None), RateLimits(None, 20_000)])
def test_no_evening_is_shorter_than_a_resource_alone_allows(
    at_once: int, limits: RateLimits
) -> None:
    evening = Evening((script(), script(1, 30.0, 3000)), 60, at_once, {"m": limits})
    played, least = play(evening), max(evening.bounds().values())
    assert least <= played.seconds < 1.5 * least + 200


def test_without_limits_runs_take_what_they_took() -> None:
    evening = Evening((script(),), 20, 4, {})
    assert play(evening).seconds == pytest.approx(5 * script().wall_s)

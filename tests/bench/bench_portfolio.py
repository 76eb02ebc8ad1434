"""What a portfolio costs beside its runs: `PYTHONPATH=. python tests/bench/bench_portfolio.py`.

    --runs 100          runs of a portfolio: the eight embedded symbols on so many sessions
    --latency 0.2       seconds of a call of the offline model
    --at-once 8 16 32   runs at once, a line each

The offline model is served by a process of its own, so its CPU time is not the portfolio's; that of
the embedded data's server is, which is a thread. Two bounds hold for any program that makes these
runs in one process: the CPU time of a run, times the runs, on one core; and the chain of calls
times the latency, times the waves of runs. The bar is 1.3 times the larger one. The CPU time of a
run is the smaller of what it takes alone and what it takes among the others. On a busy machine the
loop's thread is ready and gets no CPU; the kernel says for how long, and the ratio is told without
that time as well.
"""

import argparse
import asyncio
import contextlib
import datetime
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BAR = 1.3
ALONE = 6
SYMBOLS = ("AAPL", "AMZN", "GOOGL", "META", "MSFT", "NVDA", "TSLA", "WMT")
LAST = datetime.date(2025, 11, 14)


def serve(latency_s: float) -> None:
    """Serve the offline model until standard input closes."""
    from trading_graph.graph.offline_model import OfflineModel
    from trading_graph.toolkit.loopback import LoopbackServer

    with LoopbackServer(OfflineModel(latency_s).make_app) as server:
        print(server.url, flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def model_server(latency_s: float) -> Iterator[str]:
    """The address of a model's server in a process of its own."""
    with subprocess.Popen(
        [sys.executable, __file__, "--serve", str(latency_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def starved_s() -> float:
    """How long this thread has been ready to run and was not running."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


async def work(folder: Path, url: str, latency_s: float, runs: int, at_once: int) -> dict[str, Any]:
    """The wall and CPU time of portfolios in this process: a few runs alone, and many at once."""
    from trading_graph.service.langsmith import LangSmithMode
    from trading_graph.service.portfolio.local import LocalEngine
    from trading_graph.service.portfolio.order import Limits, PortfolioOrder
    from trading_graph.service.portfolio.progress import TickerDayProgress
    from trading_graph.service.portfolio.run_tally import RunTally
    from trading_graph.service.portfolio.symbol_list import read_symbols
    from trading_graph.service.portfolio.ticker_day import TickerDay, portfolio_dates
    from trading_graph.service.run.engine import Engine, open_engine
    from trading_graph.service.run.request import RunRequest
    from trading_graph.service.settings import Settings, backend_choice
    from trading_graph.toolkit.sessions import is_session

    settings = Settings(
        OPENAI_BASE_URL=f"{url}/v1",
        out=folder / "runs",
        portfolios=folder / "portfolios",
        model_memory=folder / "models.json",
        cache_file=folder / "market_data.sqlite",
    )
    choice = backend_choice(settings, offline=False)
    request = RunRequest(symbol="AAPL", date=str(LAST))

    class Nobody:
        """Listens to nothing."""

        def began(self, ticker_day: TickerDay, tally: RunTally) -> None: ...

        def changed(self, progress: TickerDayProgress, decision: Any = None) -> None: ...

    @contextlib.asynccontextmanager
    async def opens(order: PortfolioOrder) -> AsyncIterator[Engine]:
        async with open_engine(
            settings,
            order.choice(settings),
            order.out,
            settings.redactor,
            order.langsmith,
            durable=True,
        ) as engine:
            yield engine

    async def portfolio(number: int, runs: int, at_once: int) -> tuple[float, float, float]:
        sessions = -(-runs // len(SYMBOLS))
        days = [LAST]
        while sum(map(is_session, days)) < sessions:
            days.append(days[-1] - datetime.timedelta(days=1))
        whole = PortfolioOrder.of(
            read_symbols(SYMBOLS),
            portfolio_dates(None, f"{days[-1]}..{LAST}", 1, str(LAST)),
            request,
            choice,
            LangSmithMode.OFF,
            Limits(at_once),
            out=settings.out,
            number=number,
        )
        order = whole.model_copy(update={"ticker_days": whole.ticker_days[:runs]})
        engine = LocalEngine(settings.portfolios, opens)
        await engine.submit(order)
        wall, cpu, starved = time.perf_counter(), time.process_time(), starved_s()
        status = await engine.work(order.id, Nobody())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        starved = starved_s() - starved
        assert all(each.state == "done" for each in status.ticker_days), status
        return wall, cpu, starved

    await portfolio(1, 2, 2)  # imports, and first uses
    alone_wall, alone_cpu, _ = await portfolio(2, ALONE, 1)
    wall, cpu, starved = await portfolio(3, runs, at_once)
    return {
        "alone_wall_s": alone_wall / ALONE,
        "alone_cpu_s": alone_cpu / ALONE,
        "wall_s": wall,
        "cpu_s": cpu,
        "starved_s": starved,
        "chain": request.options(str(LAST)).expected_chain,
    }


def measure(latency_s: float, runs: int, at_once: int) -> None:
    """Print a line for a number of runs at once."""
    with model_server(latency_s) as url, tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                sys.executable,
                __file__,
                "--work",
                folder,
                url,
                str(latency_s),
                str(runs),
                str(at_once),
            ],
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none", "PYTHONPATH": str(ROOT)},
            cwd=folder,
            stdout=subprocess.PIPE,
            check=True,
        )
    found = json.loads(done.stdout.splitlines()[-1])
    waves = math.ceil(runs / at_once)
    alone, among = found["alone_cpu_s"], found["cpu_s"] / runs
    of_cpu = min(alone, among) * runs
    of_chain = found["chain"] * latency_s * waves
    bound = max(of_cpu, of_chain)
    wall_s, starved = found["wall_s"], found["starved_s"]
    print(
        f"{at_once:>3} at once: {wall_s:.1f} s, {wall_s / bound:.2f} of the larger bound (bar "
        f"{BAR}), {(wall_s - starved) / bound:.2f} without the {starved:.1f} s in which the loop's "
        f"thread got no CPU; CPU of a run {alone:.3f} s alone and {among:.3f} s among the others, "
        f"x {runs} = {of_cpu:.1f} s; {found['chain']} calls x {latency_s:g} s x {waves} waves = "
        f"{of_chain:.1f} s; a run alone takes {found['alone_wall_s']:.2f} s",
        flush=True,
    )


def main() -> None:
    """Measure, or play a part of it."""
    if sys.argv[1:2] == ["--serve"]:
        serve(float(sys.argv[2]))
        return
    if sys.argv[1:2] == ["--work"]:
        folder, url, latency_s, runs, at_once = sys.argv[2:]
        found = asyncio.run(work(Path(folder), url, float(latency_s), int(runs), int(at_once)))
        print(json.dumps(found))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--at-once", type=int, nargs="+", default=[8, 16, 32])
    words = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    for at_once in words.at_once:
        measure(words.latency, words.runs, at_once)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()

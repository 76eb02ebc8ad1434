"""Wall time of a run over its ideal: (serial LLM calls) x latency + the longest fetch.

    python tests/bench/bench_overhead.py [--chunks 60] [--runs 3] [--plain] [LATENCY ...]

Prints the cold run (the first of this process), the median of the warm ones, and what the client
library alone costs: the same number of calls, one after the other, with no graph around them.
Answers come in at least 60 chunks spread evenly over the latency; fewer chunks would flatter the
figure. The loopback servers run in threads of the same process, so their CPU time is in the
figures. A run keeps a log and checkpoints, as the command does; `--plain` runs without them.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from trading_graph.graph.analysis import analyse, record_run
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.backends import open_backends
from trading_graph.graph.chat import models
from trading_graph.graph.checkpoints import open_checkpoints
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.graph.options import Options
from trading_graph.graph.prompts import statement_messages
from trading_graph.otel.export import TraceFile, set_up
from trading_graph.otel.files.run_log import RunLog
from trading_graph.otel.sources import read
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import AsOf

OPTIONS = Options(symbol="AAPL", as_of=AsOf.parse("2025-11-14"))


async def run_once(
    choice: BackendChoice, model: OfflineModel, folder: Path, durable: bool
) -> tuple[float, float]:
    """Run one analysis; its wall time in seconds and its longest event-loop lag in ms."""
    telemetry = set_up("bench", "0")
    path = folder / f"{time.time_ns()}.jsonl"
    log = RunLog.begin(path) if durable else None
    trace_file = TraceFile(log or path, telemetry.redactor)
    async with AsyncExitStack() as stack:
        backends = await stack.enter_async_context(open_backends(choice, model))
        kept = open_checkpoints(path.with_suffix(".sqlite"))
        checkpoints = await stack.enter_async_context(kept) if durable else None
        opened = record_run(OPTIONS, backends, telemetry.provider, listeners=[trace_file])
        run = await stack.enter_async_context(opened)
        await analyse(OPTIONS, backends, run, checkpoints=checkpoints)
    trace_file.close()
    if log is not None:
        log.close(over=True)
    telemetry.shutdown()
    (trace,) = read(path)
    (root,) = trace.roots
    lag = float(trace.attributes(root)[semconv.LOOP_LAG_MAX_MS])
    return int(trace.duration[root]) / 1e9, lag


async def client_alone(choice: BackendChoice, model: OfflineModel, calls: int) -> float:
    """The time of that many calls in a row through the chat client alone, in seconds."""
    async with open_backends(choice, model) as backends:
        messages = statement_messages("bull_researcher", OPTIONS, [])
        await _call(backends.models, messages)
        started = time.perf_counter()
        for _ in range(calls):
            await _call(backends.models, messages)
        return time.perf_counter() - started


async def _call(built: models.Models, messages: list) -> None:  # type: ignore[type-arg]
    async for _ in built.quick.chat(lambda: None).astream(messages):
        pass


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("latencies", nargs="*", type=float, default=[1.0, 0.2])
    parser.add_argument("--chunks", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fetch", type=float, default=0.15)
    parser.add_argument("--plain", action="store_true")
    asked = parser.parse_args()
    os.environ["OTEL_TRACES_EXPORTER"] = "none"
    chain = OPTIONS.expected_chain
    print(
        f"chain of {chain} LLM calls, {asked.chunks} chunks an answer, {asked.fetch} s a fetch, "
        f"{os.cpu_count()} CPUs, median of {asked.runs} warm runs"
    )
    with tempfile.TemporaryDirectory() as folder:
        for latency in asked.latencies or [1.0, 0.2]:
            choice = BackendChoice(chat_latency_s=latency, fetch_latency_s=asked.fetch)
            model = OfflineModel(latency_s=latency, chunks=asked.chunks)
            ideal = chain * latency + asked.fetch
            walls = [
                asyncio.run(run_once(choice, model, Path(folder), not asked.plain))
                for _ in range(asked.runs + 1)
            ]
            client = asyncio.run(client_alone(choice, model, chain))
            warm = statistics.median(wall for wall, _ in walls[1:])
            print(
                f"{latency:g} s a call: ideal {ideal:.2f} s; first run {walls[0][0] / ideal:.3f} x "
                f"(loop lag {walls[0][1]:.0f} ms), warm {warm / ideal:.3f} x "
                f"(loop lag at most {max(lag for _, lag in walls[1:]):.0f} ms); "
                f"client alone {client / (chain * latency):.3f} x"
            )


if __name__ == "__main__":
    main()

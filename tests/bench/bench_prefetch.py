"""What `run --prefetch` gains: the same analysis with and without it, on the same latencies.

    PYTHONPATH=. python tests/bench/bench_prefetch.py [--rounds 3]

Offline model and embedded data; runs alternate, and the median of each kind counts. The gain is
bounded: the longest fetch of a turn, as far as the first LLM call covers it.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
from pathlib import Path

from tests.analysis_runner import Runner
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import judge

LATENCIES_S = ((0.8, 0.15), (0.3, 0.15), (0.3, 0.6), (0.3, 1.2))
"""Seconds of an LLM call and of a fetch; the first are the defaults."""


def tools_s(trace: SpanTable) -> float:
    """How long the run's tools took in all."""
    return sum(int(trace.duration[row]) for row in trace.rows("execute_tool ")) / 1e9


async def bench(rounds: int, folder: Path) -> None:
    """Print a line for each pair of latencies."""
    gate = await asyncio.to_thread(own_gate)
    runner = Runner(folder)
    print(f"median of {rounds} runs each, alternating; 7 LLM calls in series")
    for chat_s, fetch_s in LATENCIES_S:
        choice = BackendChoice(chat_latency_s=chat_s, fetch_latency_s=fetch_s)
        wall: dict[bool, list[float]] = {False: [], True: []}
        waited: dict[bool, list[float]] = {False: [], True: []}
        failed: set[str] = set()
        await runner(choice=choice)  # imports
        for _ in range(rounds):
            for ahead in wall:
                ran = await runner(choice=choice, prefetch=ahead)
                wall[ahead].append(ran.made.seconds)
                waited[ahead].append(tools_s(ran.trace))
                found = judge(ran.trace, gate).checks
                failed |= {result.id for result in found if result.outcome == "fail"}
        without, with_ = (statistics.median(wall[ahead]) for ahead in (False, True))
        before, after = (statistics.median(waited[ahead]) for ahead in (False, True))
        print(
            f"{chat_s:g} s a call, {fetch_s:g} s a fetch: {without:.2f} s without, {with_:.2f} s "
            f"with: {with_ / without:.3f} of it; saved {without - with_:.2f} s; tools in all "
            f"{before:.2f} s and {after:.2f} s; checks failed: {', '.join(failed) or 'none'}"
        )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ["OTEL_TRACES_EXPORTER"] = "none"
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(bench(rounds, Path(folder)))


if __name__ == "__main__":
    main()

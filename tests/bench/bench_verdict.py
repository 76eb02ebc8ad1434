"""How fast a trace becomes a verdict, and in how much memory.

    PYTHONPATH=. python tests/bench/bench_verdict.py [SPANS ...]

Each size runs in a process of its own: read the file, judge by the default gate. Bars of the
design: 100,000 spans in at most 1.0 s and 400 MB, a million in at most 12 s; `verify` on a run's
file of about 50 spans in at most 0.4 s, the interpreter's start included; small traces, read and
judged one after the other in one process, as spans a CPU second.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.slow_run import slow_run
from tests.bench.spans import AGENT, CHAT, FETCH, RUN, TOOL, TRACE_ID, span

SHAPES = ("run", "chain", "siblings")
SMALL = 3000
"""The number of small traces."""


def main() -> None:
    """Print a table of sizes and shapes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spans", type=int, nargs="*", default=[50, 10_000, 100_000, 1_000_000])
    parser.add_argument("--one", metavar="FILE", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        measure(Path(asked.one))
        return
    with tempfile.TemporaryDirectory() as folder:
        for count in asked.spans:
            for shape in SHAPES if count <= 100_000 else SHAPES[:1]:
                path = Path(folder) / f"{shape}.jsonl"
                write(path, shape, count)
                again = [_one(path) for _ in range(3 if count <= 100_000 else 1)]
                seconds = statistics.median(float(found["seconds"]) for found in again)
                print(
                    f"{shape:9} {count:9,} spans {path.stat().st_size / 1e6:7.1f} MB  "
                    f"verdict in {seconds:6.3f} s ({count / seconds:9,.0f} spans/s), "
                    f"peak {again[0]['peak_mb']:5.0f} MB, imports included; {again[0]['verdict']}"
                )
                path.unlink()
        path = Path(folder) / "small.jsonl"
        write(path, "run", 50)
        command = [str(Path(sys.executable).with_name("trading-graph")), "verify", str(path)]
        nothing = [sys.executable, "-c", "pass"]
        whole, bare = (
            statistics.median(_timed(each) for _ in range(9)) for each in (command, nothing)
        )
        print(f"verify, 50 spans: {whole:.3f} s for the command ({bare:.3f} s is Python's start)")
        print(f"{SMALL:,} traces of 50 spans: {_small_traces(path):,.0f} spans a CPU second")


def measure(path: Path) -> None:
    """Read and judge one file; print seconds, peak memory and outcome as JSON."""
    from trading_graph.graph.gate_loader import own_gate
    from trading_graph.otel.sources import read
    from trading_graph.otel.verdict import judge

    begin = time.perf_counter()
    (trace,) = read(path)
    verdict = judge(trace, own_gate())
    seconds = time.perf_counter() - begin
    outcome = "passed" if verdict.passed else "failed" if verdict.judged else "not judged"
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "verdict": outcome}))


def _small_traces(path: Path) -> float:
    """How many spans of small traces are read and judged in one process, in a second of CPU."""
    from trading_graph.graph.gate_loader import default_gate
    from trading_graph.otel.sources.trace_files import parse
    from trading_graph.otel.verdict import judge

    text = path.read_bytes()
    spans, begin = 0, time.process_time()
    for number in range(SMALL):
        own_id = f"{number + 1:032x}".encode()
        (trace,) = parse(text.replace(TRACE_ID.encode(), own_id), "memory")
        judge(trace, default_gate(trace))
        spans += len(trace)
    return spans / (time.process_time() - begin)


def _one(path: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(path)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _timed(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, capture_output=True, check=False)
    return time.perf_counter() - begin


def write(path: Path, shape: str, count: int) -> None:
    """Write a trace of so many spans as OTLP JSON lines, 512 spans a line as exporters batch."""
    with path.open("w") as file:
        batch: list[dict[str, object]] = []
        for span in _spans(shape, count):
            batch.append(span)
            if len(batch) == 512:
                file.write(_line(batch))
                batch = []
        if batch:
            file.write(_line(batch))


def _line(batch: list[dict[str, object]]) -> str:
    document = {"resourceSpans": [{"scopeSpans": [{"spans": batch}]}]}
    return json.dumps(document, separators=(",", ":")) + "\n"


def _spans(shape: str, count: int) -> Iterator[dict[str, object]]:
    """The root last, as it ends last."""
    if shape == "slow":
        yield from slow_run(count)
        return
    if shape == "chain":
        for number in range(count, 1, -1):
            yield span(number, number - 1, f"step {number % 7}", number, 2 * count - number)
    elif shape == "siblings":
        for number in range(2, count + 1):
            yield span(number, 1, f"execute_tool t{number % 7}", number, number + 900, TOOL)
    else:
        yield from _agents(count)
    root = {**RUN, "witness.spans_started": count, "trading.chain.expected": 2 * count}
    yield span(1, 0, "invoke_workflow bench", 0, 40 * count + 5000, root)


def _agents(count: int) -> Iterator[dict[str, object]]:
    """Agents four at a time, each an LLM call, two tools with fetches, and another LLM call."""
    number = 2
    while number <= count:
        agent = number
        begin = 1000 * ((number - 2) // 32)
        parts: tuple[tuple[int, str, int, int, dict[str, object]], ...] = (
            (0, f"invoke_agent a{(number // 8) % 9}", 0, 900, AGENT),
            (-1, "chat model", 10, 300, CHAT),
            (-1, "execute_tool prices", 310, 500, TOOL),
            (2, "fetch yahoo", 320, 490, {**FETCH, "trading.fetch.key": f"a{number}"}),
            (-1, "execute_tool news", 311, 520, TOOL),
            (4, "fetch news", 321, 510, {**FETCH, "trading.fetch.key": f"b{number}"}),
            (-1, "chat model", 530, 890, CHAT),
            (-1, "parse", 890, 895, {}),
        )
        for offset, (below, name, start, end, attributes) in enumerate(parts):
            if number > count:
                return
            parent = 1 if below == 0 else agent if below < 0 else agent + below
            yield span(agent + offset, parent, name, begin + start, begin + end, attributes)
            number += 1


if __name__ == "__main__":
    main()

"""How fast a trace becomes a verdict, and in how much memory.

    python tests/bench/bench_verdict.py [SPANS ...]

Each size runs in a process of its own: read the file, judge by the default gate. Bars of the
design: 100,000 spans in at most 1.0 s and 400 MB, a million in at most 12 s; `verify` on a run's
file of about 50 spans in at most 0.4 s, the interpreter's start included.
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

SHAPES = ("run", "chain", "siblings")
TRACE_ID = "019a9b1c2d3e7f40a1b2c3d4e5f60718"
START_NS = 1_763_100_000 * 10**9
MS = 10**6


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


def measure(path: Path) -> None:
    """Read and judge one file; print seconds, peak memory and outcome as JSON."""
    from trading_graph.graph.gate import own_gate
    from trading_graph.otel.sources import read
    from trading_graph.otel.verdict import judge

    begin = time.perf_counter()
    (trace,) = read(path)
    verdict = judge(trace, own_gate())
    seconds = time.perf_counter() - begin
    outcome = "passed" if verdict.passed else "failed" if verdict.judged else "not judged"
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "verdict": outcome}))


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
    if shape == "chain":
        for number in range(count, 1, -1):
            yield _span(number, number - 1, f"step {number % 7}", number, 2 * count - number)
    elif shape == "siblings":
        for number in range(2, count + 1):
            yield _span(number, 1, f"execute_tool t{number % 7}", number, number + 900, _TOOL)
    else:
        yield from _agents(count)
    root = {**_RUN, "witness.spans_started": count, "trading.chain.expected": 2 * count}
    yield _span(1, 0, "invoke_workflow bench", 0, 40 * count + 5000, root)


def _agents(count: int) -> Iterator[dict[str, object]]:
    """Agents four at a time, each an LLM call, two tools with fetches, and another LLM call."""
    number = 2
    while number <= count:
        agent = number
        begin = 1000 * ((number - 2) // 32)
        parts: tuple[tuple[int, str, int, int, dict[str, object]], ...] = (
            (0, f"invoke_agent a{(number // 8) % 9}", 0, 900, _AGENT),
            (-1, "chat model", 10, 300, _CHAT),
            (-1, "execute_tool prices", 310, 500, _TOOL),
            (2, "fetch yahoo", 320, 490, {**_FETCH, "trading.fetch.key": f"a{number}"}),
            (-1, "execute_tool news", 311, 520, _TOOL),
            (4, "fetch news", 321, 510, {**_FETCH, "trading.fetch.key": f"b{number}"}),
            (-1, "chat model", 530, 890, _CHAT),
            (-1, "parse", 890, 895, {}),
        )
        for offset, (below, name, start, end, attributes) in enumerate(parts):
            if number > count:
                return
            parent = 1 if below == 0 else agent if below < 0 else agent + below
            yield _span(agent + offset, parent, name, begin + start, begin + end, attributes)
            number += 1


_MEASURED: dict[str, object] = {
    "witness.cpu.over_wall": 0.05,
    "witness.loop.lag_max_ms": 1.2,
    "thread.id": 1234,
}
_RUN: dict[str, object] = {"gen_ai.operation.name": "invoke_workflow", **_MEASURED}
_AGENT: dict[str, object] = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "a",
    "trading.langgraph.step": 2,
    **_MEASURED,
}
_CHAT: dict[str, object] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "model",
    "gen_ai.usage.input_tokens": 812,
    **_MEASURED,
}
_TOOL: dict[str, object] = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "t",
    "trading.turn.index": 0,
    **_MEASURED,
}
_FETCH: dict[str, object] = {"trading.operation": "fetch", "trading.cache": "miss", **_MEASURED}


def _span(
    number: int,
    parent: int,
    name: str,
    start_ms: int,
    end_ms: int,
    attributes: dict[str, object] | None = None,
) -> dict[str, object]:
    return {
        "traceId": TRACE_ID,
        "spanId": f"{number:016x}",
        **({"parentSpanId": f"{parent:016x}"} if parent else {}),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(START_NS + start_ms * MS),
        "endTimeUnixNano": str(START_NS + end_ms * MS),
        "attributes": [
            {"key": key, "value": _value(value)} for key, value in (attributes or {}).items()
        ],
        "status": {},
    }


def _value(value: object) -> dict[str, object]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"intValue": str(value)}


if __name__ == "__main__":
    main()

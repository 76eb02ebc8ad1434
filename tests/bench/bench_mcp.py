"""How fast a coding agent is answered, beside reading and diagnosing alone.

    PYTHONPATH=. python tests/bench/bench_mcp.py [SPANS ...]

A real `trading-graph mcp` and the library's own client, on a run with many findings. Each line is
the first answer about a file that was not read before, and the next question about it. `alone` is
the same trace read and diagnosed in a process of its own, imports not counted. Bars: 300 ms for
1,000 spans, 3 s for 100,000.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.slow_run import slow_run
from tests.service.mcp.clients import ask, stdio_client

_ALONE = """
import sys, time
from pathlib import Path
from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.diagnosis import diagnose
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.sources import read
begin = time.perf_counter()
with pause_collection():
    (table,) = read(Path(sys.argv[1]))
    diagnose(table, default_gate(table))
print(time.perf_counter() - begin)
"""


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spans", type=int, nargs="*", default=[1_000, 100_000])
    with tempfile.TemporaryDirectory() as folder:
        for count in parser.parse_args().spans:
            path = Path(folder) / f"{count}.json"
            spans = {"resourceSpans": [{"scopeSpans": [{"spans": list(slow_run(count))}]}]}
            path.write_text(json.dumps(spans))
            asyncio.run(_measure(path, count))


async def _measure(path: Path, count: int) -> None:
    words = [sys.executable, "-c", _ALONE, str(path)]
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, check=True)
    alone_s = float(done.stdout)
    async with stdio_client(path.parent) as client:
        await ask(client, "list_traces")
        for tool, arguments in (
            ("diagnosis", {}),
            ("what_if", {"findings": [1, 2, 3]}),
            ("verdict", {}),
        ):
            begin = time.perf_counter()
            answer = await ask(client, tool, trace=path.name, **arguments)
            took_s = time.perf_counter() - begin
            assert not answer.is_error, answer.text
            print(
                f"{count:>9,} spans  {tool:<10} {took_s:7.3f} s, {took_s / alone_s:5.2f} times "
                f"reading and diagnosing alone ({alone_s:.3f} s); {answer.characters:,} characters"
            )


if __name__ == "__main__":
    main()

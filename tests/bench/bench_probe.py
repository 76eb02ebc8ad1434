"""What probing a program costs beside running it as often: the wall time of both.

    python tests/bench/bench_probe.py [--runs 10] [--rounds 3]

The program has a chain, a gather, a staggered group and a lock of its own, about 3 s of sleeping.
Each round runs the program by itself as often as `probe` runs it, and then probes it; the figure is
the median of the quotients. A second figure is the time of the runs
alone, without the start of Python and what is computed between them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.recording import COMMAND, ROOT

PROGRAM = """
import asyncio
from opentelemetry import trace

tracer = trace.get_tracer("app")


async def call(name, seconds, lock=None):
    if lock is not None:
        await lock.acquire()
    try:
        with tracer.start_as_current_span(name):
            await asyncio.sleep(seconds)
    finally:
        if lock is not None:
            lock.release()


async def later(number):
    await asyncio.sleep(number * 0.22)
    await call(f"quote {number}", 0.2)


async def main():
    lock = asyncio.Lock()
    with tracer.start_as_current_span("report"):
        for number in range(3):
            await call(f"plan {number}", 0.2)
        await asyncio.gather(*(call(f"read {number}", 0.2 + number / 10) for number in range(4)))
        await asyncio.gather(*map(later, range(3)))
        await asyncio.gather(*(call(f"news {number}", 0.2, lock) for number in range(4)))
        await call("write", 0.3)

asyncio.run(main())
"""


def run(folder: Path, *words: str) -> float:
    """The seconds that Python takes with these words."""
    began = time.monotonic()
    subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
    return time.monotonic() - began


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    whole, inside = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(PROGRAM)
        for _ in range(words.rounds):
            plain = sum(run(folder, "app.py") for _ in range(words.runs))
            options = ["--runs", str(words.runs), "--out", "order.json"]
            command = ["-c", COMMAND.format(str(ROOT)), "probe"]
            probe = run(folder, *command, *options, "--", "app.py")
            whole.append(probe / plain)
            found = json.loads((folder / "order.json").read_text())
            inside.append(found["total_s"] / (found["wall_s"] * words.runs))
    print(f"probe against {words.runs} plain runs: {statistics.median(whole):.2f}")
    print(f"the runs alone: {statistics.median(inside):.2f} times as long as undisturbed")


if __name__ == "__main__":
    main()

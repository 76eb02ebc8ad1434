"""What probing a program costs beside running it as often: the wall time of both.

    python tests/bench/bench_probe.py [--runs 10] [--rounds 1] [--plain 4]

The program has a chain, a gather, a staggered group and a lock of its own, about 3 s of sleeping.
A round runs it by itself a few times, half of them before and half after it is probed, because a
machine does not stay as busy as it is; K plain runs take K times the mean of those. A round of ten
runs takes about 45 s. `--runs`, `--rounds` and `--plain` say how often.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.recording import COMMAND, ROOT

LONGEST_S = 120.0
"""What Python may take for a plain run; a probed program may take as much a run."""

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


@dataclass(frozen=True)
class Round:
    """Some plain runs and a probe, in seconds."""

    plain_s: tuple[float, ...]
    probe_s: float
    runs_s: float
    """What the spans of the probe's runs took together."""
    undisturbed_s: float
    """What the span of one took without delays."""
    runs: int

    @property
    def ratio(self) -> float:
        """The probe against as many plain runs."""
        return self.probe_s / (self.runs * statistics.fmean(self.plain_s))

    @property
    def held(self) -> float:
        """The runs of the probe against undisturbed ones."""
        return self.runs_s / (self.runs * self.undisturbed_s)

    @property
    def start_s(self) -> float:
        """What is left of the probe for a run: Python, imports, and what is computed."""
        return (self.probe_s - self.runs_s) / self.runs

    @property
    def plain_start_s(self) -> float:
        """The same of a plain run."""
        return statistics.fmean(self.plain_s) - self.undisturbed_s


def run(folder: Path, *words: str, runs: int = 1) -> float:
    """The seconds that Python takes with these words."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=LONGEST_S * runs,
    )
    return time.monotonic() - began


def measure(folder: Path, runs: int, plain: int) -> Round:
    """Plain runs, a probe of so many, and plain runs again."""
    before = [run(folder, "app.py") for _ in range(plain - plain // 2)]
    options = ["--runs", str(runs), "--out", "order.json"]
    command = ["-c", COMMAND.format(str(ROOT)), "probe"]
    probe_s = run(folder, *command, *options, "--", "app.py", runs=runs)
    after = [run(folder, "app.py") for _ in range(plain // 2)]
    found = json.loads((folder / "order.json").read_text())
    return Round((*before, *after), probe_s, found["total_s"], found["wall_s"], runs)


def main() -> None:
    """Print the figures of each round, and the median ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--plain", type=int, default=4)
    words = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(PROGRAM)
        for number in range(1, words.rounds + 1):
            load = os.getloadavg()[0]
            each = measure(folder, words.runs, words.plain)
            ratios.append(each.ratio)
            print(
                f"round {number}: {each.probe_s:.1f} s for {each.runs} runs, "
                f"{statistics.fmean(each.plain_s):.2f} s a plain run "
                f"({min(each.plain_s):.2f} to {max(each.plain_s):.2f}), ratio {each.ratio:.2f}; "
                f"delays {each.held:.2f} times, start and analysis {each.start_s:.2f} s a run, "
                f"{each.plain_start_s:.2f} s of a plain one; load {load:.1f} to "
                f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
            )
    print(f"probe against {words.runs} plain runs: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()

"""Start-up of the command line over a bare interpreter.

python tests/bench/bench_startup.py [--runs 15]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("trading-graph"))


def seconds(command: list[str]) -> float:
    """How long a command takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    bare_command, help_command = [sys.executable, "-c", "pass"], [COMMAND, "--help"]
    seconds(bare_command), seconds(help_command)
    bare = statistics.median(seconds(bare_command) for _ in range(runs))
    shown = statistics.median(seconds(help_command) for _ in range(runs))
    print(
        f"trading-graph --help: {shown:.3f} s, bare interpreter {bare:.3f} s, "
        f"difference {shown - bare:.3f} s, ratio {shown / bare:.1f} (median of {runs})"
    )


if __name__ == "__main__":
    main()

"""What the line of workers costs, and what a second worker brings.

    PYTHONPATH=. python tests/bench/bench_queue.py [--ticker-days 12] [--latency 3] [--at-once 3]
        [--keep FOLDER]

The same portfolio is made three times on a new PostgreSQL of Debian's and an offline model that
this process serves: by one process, by one worker, by two. Each time counts from the first call
that the model gets to its last answer, so that no process's start is in it. Where the calls'
latency dominates, a worker may take 3 % longer than one process, and two workers have to be 1.8
times as fast as one. Two workers are also simulated from what one took, and may differ from the
real ones by a tenth.

How many cores were busy is told beside: from about one of two on, the figures say little, and so
they do where other programs keep the machine busy. `simulate_workers.py FOLDER/1` goes on with what
`--keep` leaves.
"""

import argparse
import os
import tempfile
from pathlib import Path

from tests.bench.evening import Evening
from tests.bench.simulate_workers import WorkerFigures, agreement, real, simulated
from tests.bench.worker_runs import Measured, make_portfolio

NAMES = ("one process", "one worker", "two workers")


def show(name: str, measured: Measured) -> None:
    """Print what a portfolio took."""
    busy = measured.busy
    parts = [
        f"{name:<12}{busy.seconds:7.1f} s, {measured.calls} calls",
        f"CPU: programs {busy.programs_cpu_s:.1f} s, model {measured.model_cpu_s:.1f} s",
    ]
    if measured.workers:
        parts += [
            f"PostgreSQL {busy.database_cpu_s:.1f} s",
            f"first call {measured.first_call_s:.1f} s after the portfolio was in line",
        ]
    parts.append(f"{measured.cores:.2f} cores busy; load {os.getloadavg()[0]:.1f}")
    print(", ".join(parts), flush=True)


def show_agreement(one: Path, two: Path) -> None:
    """Print what two workers are simulated to take, and what they took."""
    figures, measured = WorkerFigures.of(one), Measured.read(two)
    evening = Evening(figures.scripts, measured.ticker_days, measured.at_once, {})
    print("Two workers, simulated from one (at most 10 % off)")
    both = agreement(simulated(figures, evening, 2), real(two))
    for name, (expected, found) in both.items():
        print(f"  {name:<20}{expected:12,.1f}   really{found:12,.1f}{expected / found - 1:+9.1%}")


def main() -> None:
    """Measure, and say whether the bars are kept."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ticker-days", type=int, default=12)
    parser.add_argument("--latency", type=float, default=3.0)
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folders = [(asked.keep or Path(place)) / str(workers) for workers in range(len(NAMES))]
        seconds = []
        for workers, (name, folder) in enumerate(zip(NAMES, folders, strict=True)):
            folder.mkdir(parents=True)
            measured = make_portfolio(
                folder, workers, asked.ticker_days, asked.at_once, asked.latency
            )
            show(name, measured)
            seconds.append(measured.busy.seconds)
        alone_s, one_s, two_s = seconds
        print(f"the line costs {one_s / alone_s - 1:+.1%} (at most 3 %)")
        print(f"two workers are {one_s / two_s:.2f} times as fast as one (at least 1.8)")
        show_agreement(*folders[1:])


if __name__ == "__main__":
    main()

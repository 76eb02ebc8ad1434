"""What 1 to 100 workers make of an evening, from what one real worker took of everything.

    PYTHONPATH=. python tests/bench/simulate_workers.py [FOLDER] [--tickers 5000] [--at-once 8]
        [--workers 1 2 5 10 20 50 100] [--requests 500] [--tokens 200000] [--call-s SECONDS]

FOLDER is what `bench_queue.py --keep` has left of a portfolio by workers; without one, such a
portfolio is made. Its traces say what runs are like, and how long a place is empty between two of
them; PostgreSQL's counters say what a run takes of the database, and what a worker takes that has
nothing to do. The workers are each on a core of their own: that a core or the database is too slow
for them is not simulated, but how much of either they take is told.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.bench.evening import AT_ONCE, Evening, WorkLine, play
from tests.bench.scripts import Script, script_of
from tests.bench.simulate_portfolio import show_inputs
from tests.bench.worker_runs import Measured, make_portfolio
from trading_graph.graph.chat.rate_limits import RateLimits, in_words
from trading_graph.otel.sources import read
from trading_graph.otel.vocabularies import Role
from trading_graph.service.run.folder import TRACE

CONNECTIONS = 97
"""How many PostgreSQL takes by default, less those that are kept for its administrator."""
_BINDS_FROM = 0.5
"""A limit binds where some call waits for it for this share of the time."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What is taken of a resource: by a worker with nothing to do, a second, and by each run."""

    idle_s: float
    run: float

    def a_second(self, workers: int, runs: int, seconds: float) -> float:
        """How much so many workers take each second, who make so many runs."""
        return workers * self.idle_s + runs * self.run / seconds


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """What was measured of workers; connections are of each, on average and at most."""

    scripts: tuple[Script, ...]
    line: WorkLine
    connections: float
    most_connections: float
    spans: float
    checkpoints: float
    commits: Taken
    cpu_s: Taken
    database_cpu_s: Taken

    @classmethod
    def of(cls, folder: Path) -> "WorkerFigures":
        """Read the traces and the counters of a portfolio by workers."""
        measured = Measured.read(folder)
        busy, idle = measured.busy, measured.idle
        assert idle is not None, f"{folder} is of one process; name one that workers made"
        traces = [trace for file in folder.glob(f"runs/*/{TRACE}") for trace in read(file)]
        runs = [(trace, run) for trace in traces for run in trace.of_role(Role.RUN)]
        intervals = [trace.intervals[run] for trace, run in runs]

        def taken(name: str) -> Taken:
            idle_s = getattr(idle, name) / idle.seconds / measured.workers
            of_runs = getattr(busy, name) - idle_s * measured.workers * busy.seconds
            return Taken(idle_s, max(of_runs, 0.0) / measured.ticker_days)

        return cls(
            tuple(script_of(trace, run) for trace, run in runs),
            WorkLine(
                measured.line_s / max(measured.ticker_days - 1, 1),
                empty_s(intervals, places(measured)),
            ),
            busy.connections / measured.workers,
            busy.most_connections / measured.workers,
            sum(len(trace) for trace in traces) / measured.ticker_days,
            busy.checkpoints / measured.ticker_days,
            taken("commits"),
            taken("programs_cpu_s"),
            taken("database_cpu_s"),
        )


def places(measured: Measured) -> int:
    """How many runs there were at once."""
    return max(measured.workers, 1) * measured.at_once


def empty_s(runs: Sequence[tuple[int, int]], places: int) -> tuple[float, ...]:
    """For how long places were empty from the end of a run to the begin of the next.

    The run that begins as the n-th after the first ones takes the place that is empty as the n-th.
    """
    begins, ends = np.sort(np.array(runs, dtype=float).T / 1e9)
    gaps = begins[places:] - ends[: len(ends) - places]
    return tuple(np.maximum(gaps, 0.0).tolist()) or (0.0,)


@dataclass(frozen=True, slots=True)
class House:
    """What so many workers do; what has no unit in its name is a number."""

    workers: int
    seconds: float
    connections: float
    most_connections: float
    calls_a_minute: float
    tokens_a_minute: float
    checkpoints_s: float
    most_checkpoints_s: float
    spans_s: float
    commits_s: float
    cores_of_a_worker: float
    cores_of_the_database: float
    binds: str = ""

    AGREE = (
        "seconds",
        "connections",
        "tokens_a_minute",
        "checkpoints_s",
        "spans_s",
        "commits_s",
    )
    """What a simulation has to agree in with what it simulates."""


def simulated(figures: WorkerFigures, evening: Evening, workers: int) -> House:
    """Play an evening by so many workers, each with the places of the evening given."""
    whole = replace(evening, at_once=workers * evening.at_once, line=figures.line)
    played = play(whole)
    # As measured: from the first call to the last answer.
    seconds = max(played.calls) - played.first_call_s
    runs = evening.tickers
    of_agent = figures.checkpoints * runs / len(played.agents)
    busiest = np.bincount(np.array(played.agents, dtype=int)).max()
    waits = {name: s / played.seconds for name, s in played.waited_s.items()}
    longest = max(waits, key=lambda name: waits[name], default="")
    return House(
        workers,
        seconds,
        workers * figures.connections,
        workers * figures.most_connections,
        60 * len(played.calls) / seconds,
        60 * sum(played.tokens) / seconds,
        figures.checkpoints * runs / seconds,
        float(busiest * of_agent),
        figures.spans * runs / seconds,
        figures.commits.a_second(workers, runs, seconds),
        figures.cpu_s.a_second(workers, runs, seconds) / workers,
        figures.database_cpu_s.a_second(workers, runs, seconds),
        longest if waits.get(longest, 0.0) > _BINDS_FROM else AT_ONCE,
    )


def real(folder: Path) -> House:
    """What real workers did."""
    figures, measured = WorkerFigures.of(folder), Measured.read(folder)
    busy = measured.busy
    tokens = Counter[str]()
    for script in figures.scripts:
        for call in script.calls:
            tokens[call.model] += call.tokens
    return House(
        measured.workers,
        busy.seconds,
        busy.connections,
        busy.most_connections,
        60 * measured.calls / busy.seconds,
        60 * tokens.total() / busy.seconds,
        busy.checkpoints / busy.seconds,
        0.0,
        figures.spans * measured.ticker_days / busy.seconds,
        busy.commits / busy.seconds,
        busy.programs_cpu_s / busy.seconds / measured.workers,
        busy.database_cpu_s / busy.seconds,
    )


def agreement(simulated: House, real: House) -> dict[str, tuple[float, float]]:
    """What was simulated, and what it really was, by what they have to agree in."""
    return {name: (getattr(simulated, name), getattr(real, name)) for name in House.AGREE}


def show(figures: WorkerFigures, evening: Evening, numbers: Sequence[int]) -> None:
    """Print the inputs, and a line for each number of workers."""
    show_inputs(evening)
    print(
        f"  {evening.tickers:,} tickers, {evening.at_once} at once in each worker\n"
        f"  a place is empty for {float(np.mean(figures.line.empty_s)):.2f} s between "
        f"two runs; {figures.line.between_s * 1e3:.1f} ms to put a ticker-day into the line\n"
        f"  a run: {figures.spans:.0f} spans, {figures.checkpoints:.0f} rows of checkpoints, "
        f"{figures.commits.run:.0f} commits, {figures.cpu_s.run:.2f} s of CPU, and "
        f"{figures.database_cpu_s.run:.2f} s of the database's\n"
        f"  a worker with nothing to do: {figures.commits.idle_s:.0f} commits a second, "
        f"{figures.cpu_s.idle_s:.1%} of a core, and {figures.database_cpu_s.idle_s:.1%} of one of "
        f"the database's; at most {figures.most_connections:g} connections with much to do"
    )
    columns = ("workers", "evening", "times", "calls", "tokens", "conn-", "commits", "check-")
    more = ("busiest", "spans", "cores of", "cores of", "binds")
    units = ("", "", "as fast", "a min", "a min", "ections", "a s", "points/s")
    more_units = ("second", "a s", "a worker", "database", "")
    for words in ((*columns, *more), (*units, *more_units)):
        print(" ".join(f"{word:>11}" for word in words).rstrip())
    first = None
    for number in numbers:
        house = simulated(figures, evening, number)
        first = first or house
        cells = (
            f"{number}",
            in_words(house.seconds),
            f"{first.seconds / house.seconds:.2f}",
            f"{house.calls_a_minute:,.0f}",
            f"{house.tokens_a_minute:,.0f}",
            f"{house.most_connections:,.0f}",
            f"{house.commits_s:,.0f}",
            f"{house.checkpoints_s:,.0f}",
            f"{house.most_checkpoints_s:,.0f}",
            f"{house.spans_s:,.0f}",
            f"{house.cores_of_a_worker:.2f}",
            f"{house.cores_of_the_database:.2f}",
        )
        print(" ".join(f"{cell:>11}" for cell in cells) + "  " + house.binds)
    print(
        f"PostgreSQL's default of {CONNECTIONS} connections is enough for "
        f"{int(CONNECTIONS / figures.most_connections)} workers."
    )


def main() -> None:
    """Read the command line, and play."""
    parser = argparse.ArgumentParser(description="An evening of many workers.")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--tickers", type=int, default=5000)
    parser.add_argument("--at-once", type=int, default=8, help="in each worker")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 5, 10, 20, 50, 100])
    parser.add_argument("--requests", type=int, help="a minute, of each model")
    parser.add_argument("--tokens", type=int, help="a minute, of each model")
    parser.add_argument("--call-s", type=float, help="in place of the measured durations of calls")
    asked = parser.parse_args()
    if asked.folder is not None:
        figures = WorkerFigures.of(asked.folder)
    else:
        print("A worker makes a portfolio of 8 ticker-days.", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            make_portfolio(Path(folder), 1, 8, 4, 2.0)
            figures = WorkerFigures.of(Path(folder))
    scripts = figures.scripts
    if asked.call_s is not None:
        print(f"Each call takes {asked.call_s:g} s, whatever was measured.")
        scripts = tuple(script.with_calls_of(asked.call_s) for script in scripts)
    evening = Evening(scripts, asked.tickers, asked.at_once, {})
    if asked.requests or asked.tokens:
        limits = dict.fromkeys(evening.models, RateLimits(asked.requests, asked.tokens))
        evening = replace(evening, limits=limits)
    show(figures, evening, asked.workers)


if __name__ == "__main__":
    main()

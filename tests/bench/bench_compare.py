"""How fast two traces are compared, against diagnosing one of them.

    python tests/bench/bench_compare.py [SPANS ...]

Both sides are the same file, read once; reading is not counted on either side.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.bench_verdict import SHAPES, write
from trading_graph.otel.diagnosis import Run, compare, rank
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable


def main() -> None:
    """Print a line a size and shape."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spans", type=int, nargs="*", default=[50, 10_000, 100_000])
    for count in parser.parse_args().spans:
        for shape in SHAPES:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "trace.jsonl"
                write(path, shape, count)
                compared = _seconds(path, lambda a, b: compare([Run.at(a, 0)], [Run.at(b, 0)]))
                diagnosed = _seconds(path, lambda a, b: rank(a, 0))
            print(
                f"{shape:9} {count:9,} spans: two compared in {compared:6.3f} s, "
                f"one diagnosed in {diagnosed:6.3f} s, ratio {compared / diagnosed:4.2f}"
            )


def _seconds(path: Path, work: Callable[[SpanTable, SpanTable], object]) -> float:
    """The median of three, each on traces read anew: they keep what was decoded."""
    took = []
    for _ in range(3):
        (one,), (other,) = read(path), read(path)
        begin = time.perf_counter()
        work(one, other)
        took.append(time.perf_counter() - begin)
    return statistics.median(took)


if __name__ == "__main__":
    main()

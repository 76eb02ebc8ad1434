"""Compare two sets of runs, as a CI job does: the last release's against this change's.

python examples/compare_two_sets.py BASE_FOLDER NEW_FOLDER
"""

import sys
from pathlib import Path

import trading_graph as tg


def runs(folder: str) -> list[tg.Trace]:
    """The traces of all files in a folder."""
    files = sorted(Path(folder).glob("*.json*"))
    return [trace for file in files for trace in tg.read(file)]


def main(base: str, new: str) -> int:
    """Print what moved; return 1 for a regression, and 3 where nothing can be compared."""
    try:
        comparison = tg.compare(runs(base), runs(new), tolerance=0.1)
    except tg.JudgeError as error:
        print(error, file=sys.stderr)
        return 3
    change = comparison.change
    print(f"{change.base_ns / 1e9:.3f} s became {change.new_ns / 1e9:.3f} s")
    for regression in comparison.regressions:
        print(f"{regression.kind}: {regression.place}. {regression.evidence}")
        print("  spans:", ", ".join(span.id for span in regression.spans))
    return 0 if comparison.passed else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Runs the matrix, or a part of it, and prints how right the judge is.

    python -m tests.witness.matrix [--runs 5] [--shape S] [--pathology P] [--way W] [--keep DIR]

S and P are parts of names, W is `install` or `record`. Cells that are beside the matrix come after
it, with figures of their own, and cells that are impossible are listed with the reason.
"""

import argparse
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.frameworks.environments import EnvironmentFailed
from tests.witness.cells import IMPOSSIBLE, Cell, cells, more_cells
from tests.witness.runs import Way, run
from tests.witness.scores import Score, failed, score, table
from tests.witness.service import Service, service


def scores_of(
    wanted: Iterable[Cell], runs: int, folder: Path, served: Service, way: Way
) -> Iterator[Score]:
    """Run each cell several times, and score each run; a run that fails is wrong."""
    for cell in wanted:
        for _ in range(runs):
            try:
                made = run(cell, folder, served, way)
                yield score(made)
            except (RuntimeError, LookupError, subprocess.TimeoutExpired) as failure:
                yield failed(cell, f"FAILED: {failure}")
            except EnvironmentFailed as failure:
                print(f"{cell.shape.name} left out: {failure}")
                break


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--shape", default="")
    parser.add_argument("--pathology", default="")
    parser.add_argument("--way", type=Way, default=Way.INSTALL, choices=list(Way))
    parser.add_argument("--keep", type=Path)
    words = parser.parse_args()

    def chosen(some: Iterable[Cell]) -> list[Cell]:
        return [
            each
            for each in some
            if words.shape in str(each.shape.name) and words.pathology in str(each)
        ]

    with TemporaryDirectory() as made, service() as served:
        folder = words.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        for title, some in (("matrix", cells()), ("beside it", more_cells())):
            if wanted := chosen(some):
                print(f"== {title}")
                print(table(list(scores_of(wanted, words.runs, folder, served, words.way))))
    for (shape, pathology), reason in IMPOSSIBLE.items():
        print(f"impossible: {shape}, {pathology}: {reason}")


if __name__ == "__main__":
    main()

"""The judge on real programs with the witness on: eight pathologies in seven kinds of program.

The quick part runs the programs that need nothing but what the tests are run with, each once. The
whole matrix is in the full part, five runs a cell, in environments of their own: how often the
judge is right is asserted over all of them, and what was wrong is printed.
"""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.built_wheel import REQUIRED
from tests.frameworks.environments import EnvironmentFailed
from tests.witness.cells import (
    ASYNCIO,
    OPENINFERENCE,
    PATHOLOGIES,
    SHAPES,
    THREADS,
    Cell,
    cells,
    more_cells,
)
from tests.witness.matrix import scores_of
from tests.witness.runs import Way, interpreter, run
from tests.witness.scores import Score, score, shortfalls, table
from tests.witness.service import Service, service

RUNS = 5
QUICK_SHAPES = {
    ASYNCIO: frozenset(PATHOLOGIES),
    THREADS: frozenset({"clean", "interpreter lock", "small executor", "cold import"}),
    OPENINFERENCE: frozenset({"clean", "blocked loop", "semaphore"}),
}
"""What the quick part runs: every pathology, and of other programs what differs there most."""

QUICK = [each for each in cells() if each.pathology in QUICK_SHAPES.get(each.shape, ())]

pytestmark = pytest.mark.idle(per_cpu=1)


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    with service() as made:
        yield made


@pytest.mark.parametrize("cell", QUICK, ids=str)
def test_the_judge_is_right_about_a_program(cell: Cell, served: Service, tmp_path: Path) -> None:
    scored = score(run(cell, tmp_path, served, Way.INSTALL, python=Path(sys.executable)))
    assert scored.is_perfect, scored


@cache
def missing(name: str) -> str:
    """Make the environment of a shape; returns why there is none, or nothing."""
    try:
        interpreter(
            next(each.shape for each in (*cells(), *more_cells()) if each.shape.name == name)
        )
    except (EnvironmentFailed, LookupError) as failure:
        return str(failure)
    return ""


def scores_where_possible(wanted: Iterator[Cell], served: Service) -> list[Score]:
    """Score five runs of each cell whose environment can be made."""
    there = [each for each in wanted if not missing(each.shape.name)]
    if not there:
        pytest.skip("no environment could be made")
    with TemporaryDirectory() as folder:
        scores = list(scores_of(there, RUNS, Path(folder), served, Way.INSTALL))
    print(table(scores))
    return scores


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [each.name for each in SHAPES])
def test_every_kind_of_program_can_be_run(name: str) -> None:
    if why := missing(name):
        if REQUIRED:
            pytest.fail(why)
        pytest.skip(why)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_judge_is_right_about_the_matrix(served: Service) -> None:
    scores = scores_where_possible(cells(), served)
    assert not shortfalls(scores)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_judge_is_right_about_what_is_easy_to_get_wrong(served: Service) -> None:
    scores = scores_where_possible(more_cells(), served)
    assert not shortfalls(scores)

"""The instruments of the matrix: its cells, the lines that block, and how an answer is scored."""

from itertools import product

import pytest

import trading_graph as tg
from tests.frameworks.environments import names, requirements
from tests.frameworks.scores import FIXTURES
from tests.witness.cells import (
    ASYNCIO,
    CLEAN,
    IMPOSSIBLE,
    LIMITED,
    PATHOLOGIES,
    SHAPES,
    Cell,
    Expected,
    Truth,
    cells,
    more_cells,
)
from tests.witness.runs import Run
from tests.witness.scores import (
    Score,
    failed,
    proven_runs,
    right_cells,
    right_lines,
    score,
    shortfalls,
    table,
)

PASSED = Truth(Expected.PASSED)
NO_TURN = Truth(Expected.NOT_APPLICABLE)


def judged(file: str, truth: Truth) -> Score:
    """Score what is said of a fixture, as if it were a run of a cell with this truth."""
    (trace,) = tg.read(FIXTURES / file)
    return score(Run(Cell(ASYNCIO, "clean", truth), trace, at_once=0))


def test_every_shape_meets_every_pathology_unless_it_cannot() -> None:
    there = {(each.shape.name, each.pathology) for each in cells()}
    assert there.isdisjoint(IMPOSSIBLE)
    assert there | set(IMPOSSIBLE) == set(product([each.name for each in SHAPES], PATHOLOGIES))
    assert (len(SHAPES), len(PATHOLOGIES)) == (7, 8)


def test_every_line_that_blocks_is_found() -> None:
    for each in (*cells(), *more_cells()):
        assert (each.line is not None) == each.truth.blocks
        if each.line is not None:
            file, number = each.line
            program = each.shape.program.with_name(file).read_text().splitlines()
            assert any(each in program[number - 1] for each in ("urlopen", "sleep", "thread_time"))


def test_every_program_names_exact_versions() -> None:
    for name in names("witness"):
        assert all("==" in each for each in requirements(name, "witness")), name


@pytest.mark.parametrize(
    ("file", "truth", "right", "false_pass"),
    [
        ("langgraph-openinference-par.json", PASSED, True, False),
        (
            "langgraph-openinference-par.json",
            CLEAN,
            False,
            False,
        ),  # Nothing of it is recorded, so not proven.
        ("langgraph-openinference-par.json", LIMITED, False, True),
        ("langgraph-openinference-lock.json", LIMITED, True, False),
        ("langgraph-openinference-lock.json", PASSED, False, False),
        ("langgraph-openinference-lock.json", PATHOLOGIES["connection pool"], False, False),
        ("langgraph-openinference-turns.json", NO_TURN, True, False),
        ("langgraph-openinference-par.json", NO_TURN, False, False),
    ],
)
def test_an_answer_scores_by_the_truth(
    file: str, truth: Truth, right: bool, false_pass: bool
) -> None:
    scored = judged(file, truth)
    assert (scored.right, scored.false_pass) == (right, false_pass), scored.said


def made_up(pathology: str, right: bool, proven: bool | None = None) -> Score:
    return Score(Cell(ASYNCIO, pathology, PATHOLOGIES[pathology]), right, proven, False, None, "")


def test_a_cell_is_right_if_all_its_runs_are_and_a_proof_counts_by_the_run() -> None:
    scores = [made_up("lock", True), made_up("lock", False), made_up("semaphore", True)]
    scores += [made_up("clean", each, each) for each in (True, True, True, False)]
    assert right_cells(scores) == 0.5
    assert proven_runs(scores) == 0.75
    assert "right 1/2" in table(scores)


def test_a_run_that_fails_counts_against_every_bar_that_it_touches() -> None:
    clean, blocked = (Cell(ASYNCIO, each, PATHOLOGIES[each]) for each in ("clean", "blocked loop"))
    scores = [failed(clean, "no trace"), failed(blocked, "no trace")]
    assert (right_cells(scores), proven_runs(scores), right_lines(scores)) == (0.0, 0.0, 0.0)


def test_a_bar_is_missed_where_nothing_was_run() -> None:
    assert len(shortfalls([])) == 3
    assert shortfalls([made_up("clean", True, True), made_up("lock", True)]) == [
        "line right: - of 100%"
    ]

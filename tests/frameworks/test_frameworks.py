"""Programs of many frameworks, run in environments of their own and judged by the command line.

What they did is known: each writes down when its tools worked, and the model service when it did.
How often the answers are right is asserted over all of them, and what was wrong is printed. Without
a package index the frameworks whose environments are not there yet are skipped.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.built_wheel import OUTSIDE, REQUIRED
from tests.frameworks.environments import EnvironmentFailed, python_of
from tests.frameworks.scores import (
    RIGHT_FINDINGS,
    RIGHT_VERDICTS,
    judge,
    share,
    table,
)
from tests.frameworks.suite import Recording, Run, record, runs

pytestmark = [pytest.mark.full, pytest.mark.alone, pytest.mark.timeout(3600)]

TRIES = 3
"""Where a machine stands still for a while, a program does something else than its variant says."""


@cache
def environment(framework: str) -> str:
    """Make a framework's environment; returns why there is none, or nothing."""
    try:
        python_of(framework, OUTSIDE)
    except EnvironmentFailed as failure:
        return str(failure)
    return ""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as made:
        yield Path(made)


@cache
def recorded(run: Run, folder: Path) -> Recording:
    for _ in range(TRIES):
        recording = record(run, folder / str(run))
        if recording.is_true_to_its_variant():
            break
    return recording


@pytest.mark.parametrize("run", list(runs()), ids=str)
def test_a_program_does_what_its_variant_says(run: Run, folder: Path) -> None:
    if missing := environment(run.framework):
        if REQUIRED:
            pytest.fail(missing)
        pytest.skip(missing)
    recording = recorded(run, folder)
    assert recording.is_true_to_its_variant(), recording.truth


def test_the_judge_is_right_about_them(folder: Path) -> None:
    there = [run for run in runs() if not environment(run.framework)]
    if not there:
        pytest.skip("no framework could be installed")
    recordings = [recorded(run, folder) for run in there]
    judged = [
        judge(str(each.run), each.truth, each.trace)
        for each in recordings
        if each.is_true_to_its_variant()
    ]
    said = table(judged)
    print(said)
    assert not any(each.score.false_fail for each in judged), said
    assert not any(each.score.false_pass for each in judged), said
    assert share(not each.score.verdict for each in judged) >= RIGHT_VERDICTS, said
    assert share(not each.score.finding for each in judged) >= RIGHT_FINDINGS, said

"""`.ci/tests` in a small project: what fails by chance passes alone, what fails each time fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.second_try import MOST

ROOT = Path(__file__).resolve().parents[2]

BOOTSTRAP = f"""
import os, sys
os.environ.update(PYTHONPATH={str(ROOT)!r}, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
plugins = ["-p", "xdist.plugin", "-p", "tests.second_try", "-p", "no:cacheprovider"]
words = [sys.executable, "-m", "pytest", *plugins, "-n1", *sys.argv[2:]]
os.execv(words[0], words)
"""

ODD = ["two words", "a::b", "[c]", "-d", "@e"]
CHANCE = f"""
import os, pytest
ALONE = "PYTEST_XDIST_WORKER" not in os.environ

def test_holds():
    pass

@pytest.mark.parametrize("odd", {ODD})
def test_fails_beside_others(odd):
    assert ALONE, "beside others: " + odd
"""
STEADY = "def test_fails_each_time():\n    assert False"
SKIPPED = """
def test_is_skipped_alone():
    if ALONE:
        pytest.skip("nothing to see")
    assert False
"""
FIXTURE = """
@pytest.fixture
def rest():
    yield
    assert False

def test_leaves_a_rest(rest):
    pass
"""
MANY = f"""
@pytest.mark.parametrize("number", range({MOST}))
def test_fails_beside_others_too(number):
    assert ALONE
"""


def run_tests(folder: Path, source: str, *words: str) -> tuple[int, list[str]]:
    """Run `.ci/tests` on a suite of one file; return its exit code and its log."""
    for name in (".ci", "deploy"):
        (folder / name).mkdir()
    shutil.copy(ROOT / ".ci" / "tests", folder / ".ci")
    (folder / "deploy" / "bootstrap.py").write_text(BOOTSTRAP)
    (folder / "pytest.ini").write_text("[pytest]")
    (folder / "test_it.py").write_text(source)
    python = folder / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        [folder / ".ci" / "tests", *words],
        env={"PATH": f"{python.parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout.splitlines()


def test_what_fails_beside_others_alone_passes(tmp_path: Path) -> None:
    code, log = run_tests(tmp_path, CHANCE)
    assert code == 0, log
    begin = next(n for n, line in enumerate(log) if "failed beside others, passed alone ==" in line)
    listed = {line for line in log[begin:] if line.startswith("test_it.py::")}
    assert listed == {f"test_it.py::test_fails_beside_others[{odd}]" for odd in ODD}
    assert " 5 passed in " in log[-1], "the log ends with a summary of pytest"
    assert any("AssertionError: beside others: two words" in line for line in log), "the first text"
    assert any(" 5 failed, 1 passed in " in line for line in log), "the first summary"


@pytest.mark.parametrize(
    ("source", "name", "summary"),
    [
        (CHANCE + STEADY, "test_fails_each_time", "1 failed, 5 passed"),
        (CHANCE + SKIPPED, "test_is_skipped_alone", "5 passed, 1 skipped"),
        (CHANCE + FIXTURE, "test_leaves_a_rest", "6 passed, 1 error"),
    ],
    ids=["steady", "skipped", "fixture"],
)
def test_what_does_not_pass_alone_fails(
    tmp_path: Path, source: str, name: str, summary: str
) -> None:
    code, log = run_tests(tmp_path, source)
    assert code == 1, log
    assert summary in log[-1]
    listed = next(n for n, line in enumerate(log) if "did not pass alone ==" in line)
    assert log[listed + 1] == f"test_it.py::{name}"


@pytest.mark.parametrize(
    ("source", "words", "code"),
    [
        (CHANCE + MANY, (), 1),
        (CHANCE + "import nothing_of_this_name", (), 1),
        (CHANCE, ("-k", "holds"), 0),
    ],
    ids=["many", "broken", "none"],
)
def test_there_is_no_second_try_where_all_hold_or_too_much_is_broken(
    tmp_path: Path, source: str, words: tuple[str, ...], code: int
) -> None:
    ended, log = run_tests(tmp_path, source, *words)
    assert ended == code, log
    assert not any("failed beside others" in line for line in log)
    said = f"none: more than {MOST} tests failed" in log
    assert said is (MANY in source)

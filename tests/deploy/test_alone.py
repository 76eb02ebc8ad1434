"""Tests run beside one another, but for those that judge when things happened."""

import os
from pathlib import Path

import pytest

from tests.alone import IDLE_PER_CPU

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = "[pytest]\nmarkers =\n    alone\n    idle"
SOURCE = """
import os, time
from pathlib import Path
import pytest

def work(name):
    began = time.monotonic()
    time.sleep(0.3)
    told = f"{began} {time.monotonic()}"
    (Path(os.environ["TOLD"]) / f"{name}-{__name__}").write_text(told)

@pytest.mark.alone
def test_alone():
    work("alone")

@pytest.mark.idle
def test_idle():
    work("idle")

@pytest.mark.idle(per_cpu=1)
def test_idle_that_computes():
    work("computing")

def test_other():
    work("other")

def test_another():
    work("another")
"""
FILES = 5


def test_what_judges_time_has_only_idle_tests_beside_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pytester.mkdir("told")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TOLD", str(told))
    pytester.makeini(SETTINGS)
    pytester.makepyfile(**{f"test_{number}": SOURCE for number in range(FILES)})
    plugins = ("-p", "tests.alone", "-p", "no:cacheprovider")
    result = pytester.runpytest_subprocess(*plugins, f"-n{FILES}", "--dist=loadfile")
    result.assert_outcomes(passed=5 * FILES)
    times = {path.name: tuple(map(float, path.read_text().split())) for path in told.iterdir()}
    assert len(times) == 5 * FILES

    def beside(name: str) -> set[str]:
        begin, end = times[name]
        return {
            other
            for other, (began, ended) in times.items()
            if other != name and began < end and ended > begin
        }

    def marked(mark: str) -> set[str]:
        return {name for name in times if name.partition("-")[0] == mark}

    assert not any(beside(name) for name in marked("alone"))
    cpus, computing = len(os.sched_getaffinity(0)), marked("computing")
    idle = marked("idle") | computing
    for name in idle:
        assert beside(name) <= idle
        at = times[name][0]
        at_once = [other for other in idle if times[other][0] <= at < times[other][1]]
        halves = sum(1 + (other in computing) for other in at_once)
        assert halves <= IDLE_PER_CPU * cpus, "one that computes takes the place of two"
    unmarked = times.keys() - marked("alone") - idle
    assert any(beside(name) for name in unmarked), "else nothing was gained"
    assert any(beside(name) for name in marked("idle"))
    for name in marked("alone"):
        module = name.partition("-")[2]
        assert times[f"another-{module}"][1] <= times[f"idle-{module}"][0], "they come last"
        assert times[f"idle-{module}"][1] <= times[name][0]


def test_files_with_a_test_that_judges_time_come_last(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that waits until it is alone runs nothing meanwhile."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini(SETTINGS)
    head = "import pytest\n\n"
    pytester.makepyfile(
        test_1=head + "@pytest.mark.alone\ndef test_a(): pass\n\ndef test_b(): pass",
        test_2=head + "@pytest.mark.idle\ndef test_c(): pass\n\ndef test_d(): pass",
        test_3="def test_e(): pass",
    )
    result = pytester.runpytest_subprocess(
        "-p", "tests.alone", "-p", "no:cacheprovider", "--collect-only", "-q"
    )
    names = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert names == ["test_e", "test_b", "test_d", "test_c", "test_a"]

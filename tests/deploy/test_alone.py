"""Tests run beside one another, but for those that nothing may run beside."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

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
def test_marked():
    work("marked")

def test_other():
    work("other")

def test_another():
    work("another")
"""
FILES = 4


def test_nothing_runs_beside_a_marked_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pytester.mkdir("told")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TOLD", str(told))
    pytester.makeini("[pytest]\nmarkers = alone")
    pytester.makepyfile(**{f"test_{number}": SOURCE for number in range(FILES)})
    plugins = ("-p", "tests.alone", "-p", "no:langsmith_plugin", "-p", "no:cacheprovider")
    result = pytester.runpytest_subprocess(*plugins, f"-n{FILES}", "--dist=loadfile")
    result.assert_outcomes(passed=3 * FILES)
    times = {path.name: tuple(map(float, path.read_text().split())) for path in told.iterdir()}
    assert len(times) == 3 * FILES

    def beside(name: str) -> set[str]:
        begin, end = times[name]
        return {
            other
            for other, (began, ended) in times.items()
            if other != name and began < end and ended > begin
        }

    marked = {name for name in times if name.startswith("marked")}
    assert not any(beside(name) for name in marked)
    assert any(beside(name) for name in times.keys() - marked), "else nothing was gained"
    for name in marked:
        module = name.partition("-")[2]
        assert times[f"another-{module}"][1] <= times[name][0], "it comes last"

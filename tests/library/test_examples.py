"""The programs of examples/ do what they say, as a reader would start them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.library.traces import trace_file

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str, *words: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def test_there_are_five_and_each_is_run_here() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == [
        "compare_two_sets.py",
        "gate_in_code.py",
        "judge_a_file.py",
        "judge_spans_in_memory.py",
        "test_suppliers.py",
    ]


def test_judge_a_file(tmp_path: Path) -> None:
    good = example("judge_a_file.py", trace_file(tmp_path), cwd=tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    assert "passed" in good.stdout
    nothing = example("judge_a_file.py", "nothing.json", cwd=tmp_path)
    assert nothing.returncode == 3
    assert nothing.stderr.startswith("The trace file nothing.json cannot be read: ")
    assert nothing.stderr.count("\n") == 1
    slow = trace_file(tmp_path, "slow.json", serial=True, call_ms=60_000, failed=True)
    failed = example("judge_a_file.py", slow, cwd=tmp_path)
    assert failed.returncode == 1, failed.stdout
    assert "serial agents in answer: gains" in failed.stdout


def test_gate_in_code(tmp_path: Path) -> None:
    good = example("gate_in_code.py", trace_file(tmp_path), cwd=tmp_path)
    assert good.returncode == 0, good.stdout
    assert "pass            The agents work at once" in good.stdout
    bad = example("gate_in_code.py", trace_file(tmp_path, serial=True), cwd=tmp_path)
    assert bad.returncode == 1
    assert "fail            The agents work at once" in bad.stdout


def test_compare_two_sets(tmp_path: Path) -> None:
    for side, serial in (("base", False), ("same", False), ("slow", True)):
        (tmp_path / side).mkdir()
        for number in range(3):
            trace_file(
                tmp_path / side,
                f"{number}.json",
                serial=serial,
                trace_id=f"{side[0]}{number}".encode().hex().zfill(32),
                call_ms=100 + number,
            )
    same = example("compare_two_sets.py", "base", "same", cwd=tmp_path)
    assert same.returncode == 0, same.stdout
    slower = example("compare_two_sets.py", "base", "slow", cwd=tmp_path)
    assert slower.returncode == 1
    assert "became serial: agents" in slower.stdout
    (tmp_path / "none").mkdir()
    assert example("compare_two_sets.py", "base", "none", cwd=tmp_path).returncode == 3


def test_judge_spans_in_memory(tmp_path: Path) -> None:
    ran = example("judge_spans_in_memory.py", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "passed, 1 check>" in ran.stdout
    assert (
        "overlapping, not proven: no event-loop lag, CPU time or waits are recorded" in ran.stdout
    )


def test_the_pytest_example_passes_and_fails_with_a_loop(tmp_path: Path) -> None:
    source = (EXAMPLES / "test_suppliers.py").read_text()
    loop = "    for supplier in ('north', 'south', 'east'):\n            await ask(supplier)"
    gather = '    await asyncio.gather(*(ask(supplier) for supplier in ("north", "south", "east")))'
    assert gather in source
    (tmp_path / "test_good.py").write_text(source)
    (tmp_path / "test_bad.py").write_text(source.replace(gather, loop))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert "1 failed, 1 passed" in ran.stdout, ran.stdout
    assert "overlap: spans 0%" in ran.stdout

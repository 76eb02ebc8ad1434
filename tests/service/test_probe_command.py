"""`trading-graph probe`: real programs run several times, and what is said of them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.patience import PATIENCE_S
from tests.recording import COMMAND, ROOT, write
from tests.schema_files import assert_fits
from trading_graph.otel.diagnosis import FindingKind
from trading_graph.otel.trace.dependencies import Dependencies
from trading_graph.service.cli import main

HEAD = """
import asyncio, os, sys, time
from pathlib import Path
from opentelemetry import trace

tracer = trace.get_tracer("app")


async def call(name, seconds):
    with tracer.start_as_current_span(name):
        await asyncio.sleep(seconds)
"""
QUOTES = (
    HEAD
    + """
async def later(number, name):
    await asyncio.sleep(number * 0.22)
    await call(name, 0.2)


async def main():
    with tracer.start_as_current_span("report"):
        await call("plan", 0.1)
        await asyncio.gather(*(later(n, f"quote {n}") for n in range(3)))
        await call("write", 0.1)


def run():
    asyncio.run(main())
    print("a report")


if __name__ == "__main__":
    run()
"""
)
MOODY = (
    HEAD
    + """
async def main():
    with tracer.start_as_current_span("report"):
        for number in range(3):
            await call(f"step {number} of {os.getpid()}", 0.01)

asyncio.run(main())
"""
)
ONCE = (
    HEAD
    + """
done = Path(__file__).parent.with_suffix(".done")
if not done.exists():
    done.touch()
    asyncio.run(call("work", 0.01))
"""
)


def probe(
    folder: Path, *words: str, patience_s: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """Run `trading-graph probe` in a folder, without a terminal."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND.format(str(ROOT)), "probe", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience_s,
    )


@pytest.mark.alone
def test_a_probed_program_has_a_gain_that_is_certain(tmp_path: Path) -> None:
    """Three calls that a timer starts: nobody knew whether each needs the one before it."""
    write(tmp_path, {"app.py": QUOTES})
    done = probe(tmp_path, "--runs", "8", "--out", "order.json", "--json", "--", "app.py")
    assert done.returncode == 0, done.stderr
    assert "a report" not in done.stdout
    assert_fits(json.loads(done.stdout), "dependencies")
    written = (tmp_path / "order.json").read_bytes()
    assert json.loads(written) == json.loads(done.stdout)
    assert {each.name for each in tmp_path.iterdir()} == {
        "app.py",
        "order.json",
        "order.trace.jsonl",
    }
    found = Dependencies.from_json(written)
    names = [each.path[-1] for each in found.spans]
    waits = {
        (names[wait.span], names[at])
        for at, span in enumerate(found.spans)
        for wait in span.waits_for
    }
    assert ("plan", "quote 0") in waits
    assert not {(a, b) for a, b in waits if a.startswith("quote") and b.startswith("quote")}
    words = ["diagnose", str(tmp_path / "order.trace.jsonl"), "--format", "json"]
    without = json.loads(CliRunner().invoke(main, words).stdout)
    order = ["--dependencies", str(tmp_path / "order.json")]
    known = json.loads(CliRunner().invoke(main, [*words, *order]).stdout)
    assert not [each for each in without["findings"] if each["proven"]]
    (certain,) = [each for each in known["findings"] if each["proven"]]
    assert certain["kind"] == FindingKind.SERIAL_CALLS
    assert {each["name"] for each in certain["spans"]} == {"quote 0", "quote 1", "quote 2"}
    assert certain["only_if"] is None
    assert certain["gain_s"]["low"] > 0
    for command in (["verify", words[1]], ["compare", words[1], words[1]]):
        assert CliRunner().invoke(main, [*command, *order]).exit_code in (0, 1, 2), command


@pytest.mark.alone
def test_of_several_traces_the_largest_is_probed(tmp_path: Path) -> None:
    """A program that does its work, and then leaves a smaller trace of the same name."""
    short = QUOTES.replace("0.22", "0.03").replace("0.2)", "0.02)")
    smaller = "with tracer.start_as_current_span('report'): pass"
    two = short.replace('print("a report")', smaller)
    assert smaller in two
    write(tmp_path, {"app.py": two})
    done = probe(tmp_path, "--runs", "4", "--out", "order.json", "--", "app.py")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "leaves 2 traces; the largest is probed: report" in said
    words = said.rpartition("trading-graph ")[2].split()
    known = CliRunner().invoke(
        main, [tmp_path.joinpath(w).as_posix() if "order" in w else w for w in words]
    )
    assert known.exit_code == 0, known.output
    found = Dependencies.from_json((tmp_path / "order.json").read_bytes())
    assert ("quote 1",) in {each.path for each in found.spans}


@pytest.mark.full  # pytest starts four times
def test_a_test_of_pytest_is_probed_by_its_id(tmp_path: Path) -> None:
    test = QUOTES.replace('"report"', '"test"') + "\n\ndef test_report():\n    run()\n"
    write(tmp_path, {"test_app.py": test})
    done = probe(tmp_path, "--runs", "4", "--", "test_app.py::test_report")
    assert done.returncode == 0, done.stderr
    assert "4 runs of test_app.py::test_report" in done.stdout
    assert "Run 4 of 4" in done.stderr


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        ("import sys; sys.exit('no key')", (), "exit code 1 in run 1"),
        pytest.param("import sys; sys.exit('no key')", (), "no key", marks=pytest.mark.full),
        ("import time; time.sleep(60)", ("--timeout", "1"), "had not ended after 1 s"),
        ("print('hello')", (), "No span was recorded"),
        (MOODY, (), "not repeatable"),
        (ONCE, (), "run 2 made no spans"),
        (HEAD + "asyncio.run(call('only', 0.01))", (), ""),
    ],
)
def test_what_cannot_be_probed_is_said_in_a_sentence(
    tmp_path: Path, program: str, words: tuple[str, ...], said: str
) -> None:
    write(tmp_path, {"app.py": program})
    done = probe(tmp_path, "--runs", "4", *words, "--", "app.py")
    last = " ".join(done.stderr.split())
    assert done.returncode == (3 if said else 0), done.stderr
    assert said in last
    assert "Traceback" not in last
    if said:
        assert [each.name for each in tmp_path.iterdir()] == ["app.py"], "nothing half-written"


def test_a_program_whose_spans_change_when_it_is_slower_is_said_to(tmp_path: Path) -> None:
    """It gives up what takes too long, and does five other things."""
    hasty = (
        HEAD
        + """
async def main():
    with tracer.start_as_current_span("report"):
        began = time.monotonic()
        for number in range(3):
            await call(f"step {number}", 0.1)
        if time.monotonic() - began > 0.303 + float(os.environ.get("SLACK", 0.01)):
            for number in range(5):
                await call(f"instead {number}", 0.01)

asyncio.run(main())
"""
    )
    write(tmp_path, {"app.py": hasty})
    done = probe(tmp_path, "--runs", "6", "--", "app.py")
    assert done.returncode == 3, done.stdout
    assert "changes with its pace" in done.stderr or "not repeatable" in done.stderr


def test_an_interrupt_ends_the_program_too(tmp_path: Path) -> None:
    hanging = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); "
    write(tmp_path, {"app.py": hanging + "time.sleep(600)"})
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(str(ROOT)), "probe", "--", "app.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert {each.name for each in tmp_path.iterdir()} == {"app.py", "pid"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the program"),
        (["--runs", "3", "--", "app.py"], "--runs"),
        (["--", "no_such_program"], "there is no program"),
    ],
)
def test_a_command_line_that_cannot_be_used(words: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["probe", *words])
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize("content", [None, "", "{}", '{"schema_version": 1}'])
def test_a_file_of_dependencies_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    trace = ROOT / "tests" / "recorded" / "cases"
    file = tmp_path / "order.json"
    if content is not None:
        file.write_text(content)
    words = ["diagnose", str(next(iter(sorted(trace.glob("*.json"))))), "--dependencies", str(file)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "order.json" in " ".join(done.output.split())

"""`trading-graph record`: a program runs as it does alone, and ends with a verdict."""

import json
import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.patience import PATIENCE_S
from tests.recording import COMMAND, ROOT, names, record, record_words, write
from tests.schema_files import assert_fits
from trading_graph.otel.sources import read
from trading_graph.otel.witness.process_notes import Note, NotedProcess
from trading_graph.service.cli import main
from trading_graph.service.recording import program, sentences

AGENT = """
import asyncio, os, sys
from opentelemetry import trace

tracer = trace.get_tracer("app")
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"}


async def look(number):
    with tracer.start_as_current_span(f"look {number}", attributes=TOOL):
        await asyncio.sleep(0.01)


async def clerk():
    with tracer.start_as_current_span("clerk", attributes=AGENT):
        await asyncio.gather(*(look(number) for number in range(3)))


def run():
    asyncio.run(clerk())
"""
MAIN = """
import sys
from agent import run

run()
"""
SPANS = ["clerk", "look 0", "look 1", "look 2"]
STRICT = """
version = 1

[[checks]]
relation = "count"
set = { name = ["look *"] }
at_least = 4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an agent program in it."""
    write(tmp_path, {"agent.py": AGENT, "app.py": MAIN})
    return tmp_path


def recorded(folder: Path) -> list[str]:
    """The names of the spans in the one trace file of the folder, which holds nothing else new."""
    (file,) = [*folder.glob("trace*.jsonl")]
    assert file.stat().st_mode & 0o077 == 0, "spans may hold prompts"
    assert not [*folder.glob("*.parts")]
    return names(read(file))


def words_of(text: str) -> str:
    """A text without its line breaks."""
    return " ".join(text.split())


def test_a_script_keeps_its_arguments_its_streams_and_its_exit_code(folder: Path) -> None:
    write(
        folder,
        {
            "app.py": MAIN + "print(sys.argv[1:], sys.stdin.read())\n"
            "print('to stderr', file=sys.stderr)\nsys.exit(3)"
        },
    )
    done = record(folder, "--", sys.executable, "app.py", "--json", "-x", input="from stdin")
    assert done.returncode == 3
    assert done.stdout == "['--json', '-x'] from stdin\n"
    assert done.stderr.startswith("to stderr\nRecorded 4 spans in 1 trace: trace-")
    assert "Verdict on trace" in done.stderr
    assert done.stderr.endswith("The program ended with exit code 3, and so does this command.\n")
    assert recorded(folder) == SPANS


@pytest.mark.parametrize(
    "words",
    [
        [sys.executable, "-m", "app"],
        ["--", "-m", "app"],
        ["app.py"],
        [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, "app.py"],
        ["sh", "-c", f"{sys.executable} app.py"],
    ],
    ids=["-m", "own -m", "file", "opentelemetry-instrument", "shell"],
)
def test_whatever_starts_a_python_is_recorded(folder: Path, words: list[str]) -> None:
    done = record(folder, "--out", "trace.jsonl", *words)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "passed" in done.stderr
    assert recorded(folder) == SPANS


def test_pytest_is_recorded(folder: Path) -> None:
    test = "import agent\n\ndef test_one():\n    agent.run()\n\ndef test_two():\n    agent.run()\n"
    write(folder, {"test_agent.py": test})
    pytest_words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_agent.py"]
    done = record(folder, "--", *pytest_words, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert done.returncode == 0, done.stderr
    assert "2 passed" in done.stdout
    said = words_of(done.stderr)
    assert "Recorded 8 spans in 2 traces" in said
    assert "Judged 2 traces: 2 passed, 0 failed, 0 without a verdict." in said
    assert recorded(folder) == sorted(SPANS * 2)


def test_a_console_script_is_recorded(folder: Path) -> None:
    script = folder / "bin" / "agent-script"
    write(folder, {"bin/agent-script": f"#!{sys.executable}\nimport agent; agent.run()\n"})
    script.chmod(0o755)
    path = os.pathsep.join([str(script.parent), os.environ["PATH"]])
    done = record(folder, "agent-script", PATH=path, PYTHONPATH=f"{folder}{os.pathsep}{ROOT}")
    assert done.returncode == 0, done.stderr
    assert recorded(folder) == SPANS


def test_workers_are_in_one_file(folder: Path) -> None:
    program = (
        "import agent, multiprocessing\nif __name__ == '__main__':\n    agent.run()\n"
        "    child = multiprocessing.get_context('spawn').Process(target=agent.run)\n"
        "    child.start()\n    child.join()\n"
    )
    write(folder, {"app.py": program})
    done = record(folder, "--", sys.executable, "app.py")
    assert done.returncode == 0, done.stderr
    assert recorded(folder) == sorted(SPANS * 2)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("os._exit(0)", 0),
        ("os._exit(9)", 9),
        ("os.kill(os.getpid(), 9)", 137),
        ("raise KeyboardInterrupt", 130),
    ],
)
def test_what_was_recorded_before_a_hard_end_is_judged(folder: Path, end: str, code: int) -> None:
    write(folder, {"app.py": MAIN + f"import os\n{end}\n"})
    done = record(folder, "--", sys.executable, "app.py")
    assert done.returncode == code, done.stderr
    assert "Verdict on trace" in done.stderr
    assert (f"exit code {code}" in done.stderr) == (code != 0)
    assert recorded(folder) == SPANS


def started(folder: Path) -> "subprocess.Popen[str]":
    """A recorded program that has said that it is ready."""
    process = subprocess.Popen(
        record_words("--", sys.executable, "app.py"),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_program_once(folder: Path, number: signal.Signals) -> None:
    program = (
        "import signal, time\ngot = []\n"
        f"signal.signal({int(number)}, lambda number, frame: got.append(number))\n"
        "print('ready', flush=True)\nwhile not got: time.sleep(0.01)\n"
        "time.sleep(0.2)\nprint(got)\nsys.exit(5)"
    )
    write(folder, {"app.py": MAIN + program})
    process = started(folder)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stdout) == (5, f"[{int(number)}]\n"), stderr
    assert recorded(folder) == SPANS


def test_ctrl_c_ends_the_program_as_ever(folder: Path) -> None:
    """The shell's and make's way of telling: 130, and the traceback of the program."""
    write(folder, {"app.py": MAIN + "import time\nprint('ready', flush=True)\ntime.sleep(99)"})
    process = started(folder)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert stderr.count("KeyboardInterrupt") == 1
    assert "Verdict on trace" in stderr


def test_a_gate_that_fails_is_the_exit_code(folder: Path) -> None:
    write(folder, {"gate.toml": STRICT})
    done = record(folder, "--gate", "gate.toml", "--", sys.executable, "app.py")
    assert done.returncode == 1, done.stderr
    assert "failed" in done.stderr


def test_a_gate_with_an_error_is_said_before_the_program_runs(folder: Path) -> None:
    write(folder, {"gate.toml": "checks = 3", "app.py": "print('ran')"})
    done = record(folder, "--gate", "gate.toml", "--", sys.executable, "app.py")
    assert (done.returncode, done.stdout) == (2, "")


def test_json_is_the_last_line_of_what_the_program_prints(folder: Path) -> None:
    write(folder, {"app.py": MAIN + "print('theirs')"})
    done = record(folder, "--json", "--out", "trace.jsonl", "--", sys.executable, "app.py")
    assert done.returncode == 0, done.stderr
    theirs, line = done.stdout.splitlines()
    document = json.loads(line)
    assert theirs == "theirs"
    assert_fits(document, "record")
    assert document["file"] == str(folder / "trace.jsonl")
    assert (document["spans"], document["traces"], document["processes"]) == (4, 1, 1)
    assert [each["passed"] for each in document["verdicts"]] == [True]


def test_the_largest_trace_that_failed_is_shown(folder: Path) -> None:
    """And the others are counted, those without a verdict included."""
    extra = (
        "from agent import tracer, TOOL, AGENT\n"
        "for number in range(2):\n"
        "    with tracer.start_as_current_span('bad', attributes=AGENT):\n"
        "        for n in range(number + 1):\n"
        "            tracer.start_span(f'look {n}', attributes=TOOL).end()\n"
        "tracer.start_span('ping').end()\n"
    )
    write(folder, {"gate.toml": STRICT.replace("4", "3"), "app.py": MAIN + extra})
    words = ["--json", "--gate", "gate.toml", "--", sys.executable, "app.py"]
    done = record(folder, *words)
    assert done.returncode == 1, done.stderr
    verdicts = json.loads(done.stdout)["verdicts"]
    assert [each["spans"] for each in verdicts] == [4, 3, 2, 1]
    said = words_of(done.stderr)
    assert "Judged 4 traces: 1 passed, 3 failed, 0 without a verdict." in said
    assert f"Verdict on trace {verdicts[1]['trace_id']}: failed" in said


def test_tasks_are_recorded_where_nothing_else_is(tmp_path: Path) -> None:
    program = (
        "import asyncio\nasync def look(): await asyncio.sleep(0.01)\n"
        "async def clerk(): await asyncio.gather(look(), look())\nasyncio.run(clerk())"
    )
    write(tmp_path, {"app.py": program})
    done = record(tmp_path, "--spans", "tasks", "--", sys.executable, "app.py")
    assert done.returncode == 0, done.stderr
    assert recorded(tmp_path) == ["clerk", "look", "look"]


def test_spans_that_could_not_be_written_are_said(folder: Path) -> None:
    write(
        folder,
        {
            "app.py": MAIN + "tracer = __import__('agent').tracer\n"
            "tracer.start_span('lone \\ud800 surrogate').end()\n"
        },
    )
    done = record(folder, "--", sys.executable, "app.py")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("The witness failed") == 1
    assert recorded(folder) == SPANS


def nothing_recorded(folder: Path, *words: str, code: int = 3, **environment: str) -> str:
    """What is said where no span was recorded; the error document says the same."""
    done = record(folder, "--json", *words, **environment)
    assert done.returncode == code, done.stderr
    assert not [*folder.glob("trace*.jsonl"), *folder.glob("*.parts")]
    document = json.loads(done.stdout.splitlines()[-1])
    assert_fits(document, "error")
    assert document["error"]["exit_code"] == code
    message: str = document["error"]["message"]
    assert message in words_of(done.stderr)
    return message


def test_without_spans_the_instrumentors_of_what_was_imported_are_named(tmp_path: Path) -> None:
    """Those of agents and models before those of what they call."""
    empty = {"agno/__init__.py": "import httpx", "httpx.py": "", "app.py": "import agno"}
    write(tmp_path, empty)
    said = nothing_recorded(tmp_path, sys.executable, "app.py")
    assert "pip install openinference-instrumentation-agno (" in said
    assert "--spans tasks" in said
    write(tmp_path, {"app.py": "import httpx"})
    said = nothing_recorded(tmp_path, sys.executable, "app.py")
    assert "pip install opentelemetry-instrumentation-httpx (" in said
    said = nothing_recorded(tmp_path, "--instrument", "none", sys.executable, "app.py")
    assert "--instrument auto" in said
    write(tmp_path, {"app.py": ""})
    assert "--spans tasks" in nothing_recorded(tmp_path, sys.executable, "app.py")


@pytest.mark.parametrize(
    "words", [[sys.executable, "-I", "-c", "1"], [sys.executable, "-E", "-c", "1"], ["true"]]
)
def test_without_a_sign_of_life_the_reasons_are_named(tmp_path: Path, words: list[str]) -> None:
    said = nothing_recorded(tmp_path, *words)
    assert "not one of Python" in said
    assert "-I, -E or -S" in said


def test_a_program_that_fails_at_import_keeps_its_code(tmp_path: Path) -> None:
    write(tmp_path, {"app.py": "import no_such_module"})
    said = nothing_recorded(tmp_path, sys.executable, "app.py", code=1)
    assert said == "No span was recorded before the program ended."


def test_a_python_without_trading_graph_is_told_what_to_type(tmp_path: Path) -> None:
    venv.create(tmp_path / "theirs", with_pip=False)
    python = tmp_path / "theirs" / "bin" / "python"
    command = [sys.executable, "-c", COMMAND.format(str(ROOT)), "record", str(python), "-c", "1"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert f"type: {python} -m pip install trading-graph" in words_of(done.stderr)


def test_a_launcher_that_can_import_it_is_not_the_program() -> None:
    lines: dict[str, list[tuple[str, ...]]] = {Note.PYTHON: [("7", "py", "3.12.1")]}
    launcher = NotedProcess({**lines, Note.WATCHED: [()]})
    program = NotedProcess({**lines, Note.CANNOT_IMPORT: [("trading_graph", "no")]})
    agent = NotedProcess({**lines, Note.WATCHED: [()], Note.IMPORTED: [("openai",)]})
    assert not sentences.is_watched([launcher, program], with_libraries=True)
    assert sentences.is_watched([launcher, program])
    assert sentences.is_watched([program, agent], with_libraries=True)
    said = sentences.cannot_import([launcher, program])
    assert said == (
        "The program's Python cannot import trading_graph; type: py -m pip install trading-graph"
    )


def test_a_python_that_is_too_old_is_told_so() -> None:
    lines: dict[str, list[tuple[str, ...]]] = {
        Note.PYTHON: [("7", "/old/python", "3.8.18")],
        Note.CANNOT_IMPORT: [("", "old")],
    }
    said = sentences.cannot_import([NotedProcess(lines)])
    assert said is not None
    assert "/old/python, which is Python 3.8.18" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-such-program"], "there is no program no-such-program"),
        (["./notes.txt"], "./notes.txt cannot be executed"),
        (["./program"], "cannot be executed: Exec format error"),
        ([], "name the program"),
        (["--out", "no/such/folder.jsonl", "true"], "cannot be written"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_sentence(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"notes.txt": "", "program": "\0"})
    (tmp_path / "program").chmod(0o755)
    done = CliRunner().invoke(main, ["record", *words])
    assert done.exit_code == 2
    assert said in words_of(done.stderr)
    assert not [*tmp_path.glob("*.parts")]


def test_it_looks_while_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service runs for days: that nothing is recorded must not be said at its end alone."""
    monkeypatch.setattr(program, "_FIRST_LOOK_S", 0.01)
    seen = tmp_path / "seen"
    waiting = f"import os, time\nwhile not os.path.exists({str(seen)!r}): time.sleep(0.01)\nexit(4)"
    assert program.run_program([sys.executable, "-c", waiting], os.environ, seen.touch) == 4

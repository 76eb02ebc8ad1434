"""deploy/bootstrap.py in a small project of its own: a real venv and a real pip, and no index.

The small project's lock is empty and its build back end lies in its own folder, so that an install
needs nothing from outside. Its `trading-graph` prints what it was called with.
"""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "bootstrap.py"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and exec are POSIX")

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "trading-graph"
version = "0"
[tool.pytest.ini_options]
addopts = "-p no:cacheprovider"
"""

BACKEND = """
import os
import zipfile

INFO = "trading_graph-0.dist-info/"
FILES = {
    "trading_graph_here.pth": os.getcwd() + "\\n",
    INFO + "METADATA": "Metadata-Version: 2.1\\nName: trading-graph\\nVersion: 0\\n",
    INFO + "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    INFO + "entry_points.txt": "[console_scripts]\\ntrading-graph = program:main\\n",
    INFO + "RECORD": "",
}

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "trading_graph-0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path, text in FILES.items():
            wheel.writestr(path, text)
    return name

build_wheel = build_editable
"""

PROGRAM = """
import json, os, signal, sys, time

def main():
    print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "pid": os.getpid()}), flush=True)
    if "--wait" in sys.argv:
        signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
        print("waiting", flush=True)
        time.sleep(60)
    return 7 if "--fail" in sys.argv else 0
"""

AT_ONCE = ["-n4", "--dist=loadfile", "--no-loadscope-reorder"]
QUICK_PART = ["-m", "not full"]
FAKE_PYTEST = "import os, sys; print('tests', sys.argv[1:], os.getcwd()); sys.exit(5)"


def environment(**more: str) -> dict[str, str]:
    """Return this environment with an index that refuses at once, and without uv."""
    path = os.pathsep.join(
        folder
        for folder in os.environ["PATH"].split(os.pathsep)
        if not (Path(folder) / "uv").exists()
    )
    drop = ("PIP_", "UV_", "VIRTUAL_ENV", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    index = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_RETRIES": "0",
    }
    return {**kept, "PATH": path, **index, **more}


def make_project(folder: Path, lock: str = "") -> Path:
    """Write the small project."""
    (folder / "deploy").mkdir(parents=True)
    shutil.copy(SCRIPT, folder / "deploy")
    for name, text in {
        "pyproject.toml": PYPROJECT,
        "requirements.lock": f"# nothing to install\n{lock}",
        "backend.py": BACKEND,
        "program.py": PROGRAM,
    }.items():
        (folder / name).write_text(text)
    return folder


def bootstrap(
    project: Path, *words: str, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the project's bootstrap to its end."""
    return subprocess.run(
        [sys.executable, str(project / "deploy" / "bootstrap.py"), *words],
        cwd=cwd or project,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def called_with(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the words that the main job got."""
    assert done.stdout, done.stderr
    argv = json.loads(done.stdout)["argv"]
    assert isinstance(argv, list)
    return argv


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small project that bootstrap has installed."""
    project = make_project(tmp_path_factory.mktemp("installed") / "project")
    done = bootstrap(project, "run")
    assert done.returncode == 0, done.stderr
    assert "about a minute" in done.stderr
    assert called_with(done) == ["run", "AAPL", "--offline"]
    return project


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["NVDA"], ["run", "NVDA", "--offline"]),
        (["--date", "2025-11-12"], ["run", "AAPL", "--offline", "--date", "2025-11-12"]),
        (["^GSPC", "--offline", "--json"], ["run", "^GSPC", "--offline", "--json"]),
        (["BRK.B", "--out", "a b"], ["run", "BRK.B", "--offline", "--out", "a b"]),
    ],
)
def test_run_passes_words_on_and_is_always_offline(
    installed: Path, words: list[str], expected: list[str]
) -> None:
    done = bootstrap(installed, "run", *words)
    assert called_with(done) == expected
    assert not done.stderr, "a warm start has nothing to say"


def test_run_stays_in_the_folder_of_the_caller_and_hands_its_exit_code_on(
    installed: Path, tmp_path: Path
) -> None:
    done = bootstrap(installed, "run", "--fail", cwd=tmp_path)
    assert done.returncode == 7
    assert json.loads(done.stdout)["cwd"] == str(tmp_path)


def test_test_runs_pytest_in_the_projects_folder(installed: Path, tmp_path: Path) -> None:
    (installed / "pytest.py").write_text(FAKE_PYTEST)
    done = bootstrap(installed, "test", "-k", "two words", cwd=tmp_path)
    assert done.returncode == 5
    # Ours come first, so that the caller's overrule them.
    words = [*AT_ONCE, *QUICK_PART, "-k", "two words"]
    assert done.stdout.strip() == f"tests {words} {installed}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], QUICK_PART),
        (["--full"], []),
        (["-x", "--full", "tests/e2e"], ["-x", "tests/e2e"]),
        # A folder holds tests of both parts; who names a file or a test wants just that.
        (["tests/e2e"], [*QUICK_PART, "tests/e2e"]),
        (["-x", "tests/test_long.py"], ["-x", "tests/test_long.py"]),
        (["tests/test_long.py::test_it[a b]"], ["tests/test_long.py::test_it[a b]"]),
        # What an option leaves out is not asked for.
        (["--ignore", "tests/test_it.py"], [*QUICK_PART, "--ignore", "tests/test_it.py"]),
        (["--deselect=tests/test_it.py"], [*QUICK_PART, "--deselect=tests/test_it.py"]),
    ],
)
def test_test_leaves_the_long_part_out_unless_it_is_asked_for(
    installed: Path, words: list[str], expected: list[str]
) -> None:
    (installed / "pytest.py").write_text(FAKE_PYTEST)
    done = bootstrap(installed, "test", *words)
    assert done.stdout.strip() == f"tests {[*AT_ONCE, *expected]} {installed}"


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        (QUICK_PART, ["test_quick"]),
        ([*QUICK_PART, "-m", "jaeger"], ["test_jaeger"]),
    ],
)
def test_an_m_of_the_person_takes_the_place_of_ours(
    pytester: pytest.Pytester, words: list[str], ran: list[str]
) -> None:
    """What pytest makes of the words that bootstrap hands it."""
    pytester.makeini("[pytest]\nmarkers =\n    full\n    jaeger")
    pytester.makepyfile(
        """
        import pytest

        def test_quick(): pass

        @pytest.mark.full
        @pytest.mark.jaeger
        def test_jaeger(): pass
        """
    )
    plugins = ("-p", "no:langsmith_plugin", "-p", "no:cacheprovider")
    result = pytester.runpytest_subprocess(*plugins, "-v", *words)
    passed = [line.split()[0] for line in result.outlines if " PASSED" in line]
    assert sorted(name.partition("::")[2] for name in passed) == ran


def test_a_signal_to_bootstrap_reaches_the_command(installed: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "deploy/bootstrap.py", "run", "--wait"],
        cwd=installed,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["pid"] == process.pid
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE_S) == 130


def test_a_changed_lock_installs_anew(installed: Path) -> None:
    (installed / "requirements.lock").write_text("# still nothing\n")
    assert "installing" in bootstrap(installed, "run").stderr
    assert not bootstrap(installed, "run").stderr


@pytest.mark.full
def test_an_interrupted_install_leaves_no_stamp_and_is_made_anew(installed: Path) -> None:
    (installed / ".venv" / "bootstrap.state").write_text("installing")
    leftover = installed / ".venv" / "half-written"
    leftover.touch()
    done = bootstrap(installed, "run")
    assert done.returncode == 0, done.stderr
    assert not leftover.exists()


@pytest.mark.full
def test_a_broken_venv_is_rebuilt(installed: Path) -> None:
    for name in ("python", "python3"):
        link = installed / ".venv" / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to("/nonexistent/python")
    done = bootstrap(installed, "run")
    assert done.returncode == 0, done.stderr
    assert "setting up" in done.stderr


@pytest.mark.full
def test_a_moved_project_is_installed_anew(installed: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved here"
    shutil.copytree(installed, moved, symlinks=True)
    done = bootstrap(moved, "run")
    assert done.returncode == 0, done.stderr
    assert "installing" in done.stderr


def test_a_venv_that_someone_else_made_is_kept(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    subprocess.run([sys.executable, "-m", "venv", str(project / ".venv")], check=True)
    theirs = project / ".venv" / "theirs"
    theirs.touch()
    done = bootstrap(project, "run")
    assert done.returncode == 0, done.stderr
    assert theirs.exists()


@pytest.mark.full
def test_two_at_once_install_one_after_the_other(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    command = [sys.executable, "deploy/bootstrap.py", "run"]
    both = [
        subprocess.Popen(
            command, cwd=project, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    talk = [process.communicate()[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], talk
    assert sorted("installing" in each for each in talk) == [False, True], talk


def test_an_index_out_of_reach_is_one_clear_sentence_and_no_stamp(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", lock=f"nosuch==1 --hash=sha256:{'0' * 64}\n")
    done = bootstrap(project, "run")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("bootstrap: the package index could not be reached")
    assert "PIP_INDEX_URL" in last
    assert (project / ".venv" / "bootstrap.state").read_text() == "installing"


def run_with(project: Path, preamble: str) -> subprocess.CompletedProcess[str]:
    """Run bootstrap in a Python that was tampered with first."""
    code = f"""
        import runpy, sys
        {preamble}
        sys.argv = ["deploy/bootstrap.py", "run"]
        runpy.run_path("deploy/bootstrap.py", run_name="__main__")
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_names_the_debian_package(tmp_path: Path, module: str) -> None:
    project = make_project(tmp_path / "project")
    done = run_with(project, f"sys.modules[{module!r}] = None")
    assert done.returncode == 3
    assert f"no {module} module" in done.stderr
    assert "python3-venv" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_old_python_gets_one_sentence(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    done = run_with(project, "sys.version_info = (3, 10, 13, 'final', 0)")
    assert done.returncode == 3
    [line] = done.stderr.splitlines()
    assert "needs Python 3.11 or newer and this is 3.10.13" in line
    assert not (project / ".venv").exists()


def test_an_old_python_can_parse_the_file() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10"])
def test_a_real_old_python_gets_the_sentence(version: str) -> None:
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no Python {version} here")
    done = subprocess.run([python, str(SCRIPT), "run"], capture_output=True, text=True)
    assert done.returncode == 3
    assert f"this is {version}." in done.stderr


def test_alone_it_prints_help_and_an_unknown_word_is_a_usage_error(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    assert "bootstrap.py run" in bootstrap(project).stdout
    done = bootstrap(project, "rum")
    assert done.returncode == 2
    assert "'rum'" in done.stderr
    assert not (project / ".venv").exists()

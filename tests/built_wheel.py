"""The wheel of this tree, and a virtual environment with it and nothing but what its base needs.

A pytest plugin with a fixture for each, made once a session. The packages come from a package index
in the versions of requirements.lock. Without an index the tests are skipped, or fail where
TRADING_GRAPH_REQUIRE_INDEX is 1.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Read on import: the guards remove what a test must not see, an installer's proxies among them.
OUTSIDE = dict(os.environ)
REQUIRED = OUTSIDE.get("TRADING_GRAPH_REQUIRE_INDEX") == "1"

_NO_INDEX = re.compile(r"connection|timed out|name resolution|proxyerror|sslerror", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment, and how its commands are run as a user runs them."""

    folder: Path

    @property
    def packages(self) -> Path:
        """Where its packages are."""
        [found] = self.folder.glob("lib/python*/site-packages")
        return found

    def run(
        self, *words: str, cwd: Path, input: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its commands to the end, in a folder and with further variables."""
        command = str(self.folder / "bin" / words[0])
        kept = {name: value for name, value in os.environ.items() if _is_kept(name)}
        path = f"{self.folder / 'bin'}{os.pathsep}{kept['PATH']}"
        return subprocess.run(
            [command, *words[1:]],
            cwd=cwd,
            env={**kept, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1", **more},
            input=input,
            capture_output=True,
            text=True,
        )


def _is_kept(name: str) -> bool:
    return not name.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV"))


def build(tree: Path, target: str, out: Path) -> Path:
    """Build a `wheel` or an `sdist` of a tree, with the back end that is installed here."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [made] = out.iterdir()
    return made


def locked(*names: str) -> str:
    """The entries of requirements.lock that names need, as deploy/runtime_lock.py says."""
    script = ROOT / "deploy" / "runtime_lock.py"
    command = [sys.executable, str(script), *names]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def install(python: Path, lock: str, scratch: Path, *options: str) -> None:
    """Install the entries of a lock; skips the test where there is no index to ask."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(lock)
    _pip(python, "--require-hashes", *options, "-r", str(requirements))


def _pip(python: Path, *words: str) -> None:
    command = [str(python), "-m", "pip", "install", "--no-input", "--no-deps", "--retries=1"]
    done = subprocess.run(
        [*command, *words], env=_installer_variables(), capture_output=True, text=True
    )
    if not done.returncode:
        return
    talk = done.stdout + done.stderr
    if REQUIRED or not _NO_INDEX.search(talk):
        pytest.fail(f"pip could not install: {talk}", pytrace=False)
    pytest.skip("no package index can be reached here")


def _installer_variables() -> Mapping[str, str]:
    return {name: value for name, value in OUTSIDE.items() if _is_kept(name)}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def base_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel and without extras, beside a pytest."""
    scratch = tmp_path_factory.mktemp("base")
    environment = Environment(scratch / "venv")
    subprocess.run([sys.executable, "-m", "venv", str(environment.folder)], check=True)
    python = environment.folder / "bin" / "python"
    install(python, locked("trading-graph", "pytest"), scratch)
    _pip(python, str(wheel))
    return environment

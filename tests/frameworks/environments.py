"""An environment for each framework program: a venv that holds what the program's header names.

    python tests/frameworks/environments.py [NAME ...]    make them ahead, one after the other

A program says in its first lines (PEP 723) which packages it needs, in exact versions. The venv
stands in the cache folder and is made anew when these lines or the Python change. The programs of
another suite, a folder beside this one, are named SUITE/NAME.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
ENVIRONMENTS = CACHE / "trading-graph"
HEADER = re.compile(r"^# /// script$\n(?P<lines>(?:^#(?: .*)?$\n)+?)^# ///$", re.MULTILINE)
INSTALL_S = 1800.0


class EnvironmentFailed(Exception):
    """The packages of a program could not be installed; the message is pip's last words."""


def program(name: str, suite: str = "frameworks") -> Path:
    """Return the file of a program by its name, which is a framework's as a rule."""
    return TESTS / suite / "programs" / f"{name}_program.py"


def names(suite: str = "frameworks") -> list[str]:
    """Return the names of a suite's programs."""
    found = (TESTS / suite / "programs").glob("*_program.py")
    return sorted(path.name.removesuffix("_program.py") for path in found)


def requirements(name: str, suite: str = "frameworks") -> list[str]:
    """Read the packages that a program's header names."""
    header = HEADER.search(program(name, suite).read_text())
    if header is None:
        raise ValueError(f"{program(name, suite)} has no header of the kind `# /// script`")
    lines = [line.removeprefix("#").removeprefix(" ") for line in header["lines"].splitlines()]
    return [str(each) for each in tomllib.loads("\n".join(lines))["dependencies"]]


def python_of(
    name: str,
    env: Mapping[str, str] = os.environ,
    suite: str = "frameworks",
    base: Path = Path(sys.executable),
) -> Path:
    """Return the interpreter of a program's venv, which is made if it is missing or out of date.

    `env` is pip's, and `base` the Python that the venv is made of. Raises EnvironmentFailed where
    the packages cannot be had.
    """
    environments = ENVIRONMENTS / suite
    environments.mkdir(parents=True, exist_ok=True)
    with (environments / f"{name}.lock").open("wb") as lock:  # Two test runs share the folder.
        fcntl.flock(lock, fcntl.LOCK_EX)
        ours = base == Path(sys.executable)
        folder = environments / (name if ours else f"{name}-{base.name}")
        python, stamp_file = folder / "bin" / "python", folder / "stamp"
        needed = requirements(name, suite)
        version = sys.version if ours else str(base)
        stamp = hashlib.sha256("\n".join([version, *needed]).encode()).hexdigest()
        if not (stamp_file.is_file() and stamp_file.read_text() == stamp and python.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([base, "-m", "venv", folder], check=True, capture_output=True)
            install(python, needed, env)
            stamp_file.write_text(stamp)
    return python


def install(python: Path, needed: list[str], env: Mapping[str, str]) -> None:
    """Install packages into the venv of an interpreter."""
    pip = [str(python), "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check"]
    try:
        subprocess.run(
            [*pip, *needed],
            env=dict(env),
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
        )
    except subprocess.CalledProcessError as failure:
        raise EnvironmentFailed(f"{python}: {failure.stderr.strip()[-500:]}") from failure
    except subprocess.TimeoutExpired as failure:
        raise EnvironmentFailed(f"{python}: pip took over {INSTALL_S:.0f} s") from failure


def main(wanted: list[str]) -> int:
    """Make the environments that are named, or all, and print how long each took."""
    failed = 0
    for word in wanted or names():
        suite, _, name = word.rpartition("/")
        begin = time.monotonic()
        try:
            python_of(name, suite=suite or "frameworks")
        except EnvironmentFailed as failure:
            failed += 1
            print(failure)
        print(f"{word}: {time.monotonic() - begin:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

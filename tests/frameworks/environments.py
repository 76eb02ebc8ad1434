"""An environment for each framework program: a venv that holds what the program's header names.

    python tests/frameworks/environments.py [NAME ...]    make them ahead, one after the other

A program says in its first lines (PEP 723) which packages it needs, in exact versions. The venv
stands in the cache folder and is made anew when these lines or the Python change.
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

PROGRAMS = Path(__file__).parent / "programs"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
ENVIRONMENTS = CACHE / "trading-graph" / "frameworks"
HEADER = re.compile(r"^# /// script$\n(?P<lines>(?:^#(?: .*)?$\n)+?)^# ///$", re.MULTILINE)
INSTALL_S = 1800.0


class EnvironmentFailed(Exception):
    """The packages of a program could not be installed; the message is pip's last words."""


def program(name: str) -> Path:
    """Return the file of a framework's program."""
    return PROGRAMS / f"{name}_program.py"


def names() -> list[str]:
    """Return the frameworks that have a program."""
    return sorted(path.name.removesuffix("_program.py") for path in PROGRAMS.glob("*_program.py"))


def requirements(name: str) -> list[str]:
    """Read the packages that a program's header names."""
    header = HEADER.search(program(name).read_text())
    if header is None:
        raise ValueError(f"{program(name)} has no header of the kind `# /// script`")
    lines = [line.removeprefix("#").removeprefix(" ") for line in header["lines"].splitlines()]
    return [str(each) for each in tomllib.loads("\n".join(lines))["dependencies"]]


def python_of(name: str, env: Mapping[str, str] = os.environ) -> Path:
    """Return the interpreter of a framework's venv, which is made if it is missing or out of date.

    `env` is pip's. Raises EnvironmentFailed where the packages cannot be had.
    """
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("wb") as lock:  # Two test runs share the folder.
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = ENVIRONMENTS / name
        python, stamp_file = folder / "bin" / "python", folder / "stamp"
        needed = requirements(name)
        stamp = hashlib.sha256("\n".join([sys.version, *needed]).encode()).hexdigest()
        if not (stamp_file.is_file() and stamp_file.read_text() == stamp and python.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
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
    for name in wanted or names():
        begin = time.monotonic()
        try:
            python_of(name)
        except EnvironmentFailed as failure:
            failed += 1
            print(failure)
        print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""From a fresh clone to a first run: make `.venv`, install the locked packages, run one command.

    python3 deploy/bootstrap.py run [SYMBOL] [OPTION ...]   analyse a ticker offline (default AAPL)
    python3 deploy/bootstrap.py test [--full] [WORD ...]    run the tests (words go to pytest)

Needs Python 3.11 or newer and nothing else. `run` always adds --offline: no key is used and no
model is paid for. The first start takes about a minute and needs a package index; later ones need
neither.

`test` runs the quick part: it leaves out the tests marked `full`, and `test --full` runs all. Where
you name a test file (tests/test_x.py) or a test of one (tests/test_x.py::test_y), nothing is left
out; a folder or a -k names no test. A -m of your own takes the place of the mark that we look for.
"""

# The whole file must parse on Python 3.6: an old Python has to reach the sentence below.
import sys

if sys.version_info < (3, 11):
    sys.stderr.write(
        "bootstrap: Trading Graph needs Python 3.11 or newer and this is {}.{}.{} ({}): "
        "start it with a newer one, for example: python3.12 deploy/bootstrap.py run\n".format(
            *sys.version_info[:3], sys.executable
        )
    )
    sys.exit(3)

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STATE = VENV / "bootstrap.state"  # the stamp of a finished install, or INSTALLING
LOG = VENV / "bootstrap.log"
INSTALLING = "installing"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
SUFFIX = ".exe" if os.name == "nt" else ""
PYTHON = BIN / ("python" + SUFFIX)
# Most tests wait more than they compute; tests/alone.py says what runs beside what.
AT_ONCE = ["-n4", "--dist=loadfile", "--no-loadscope-reorder"]
QUICK_PART = ["-m", "not full"]  # pytest obeys the last -m, and the person's comes after it
FULL = "--full"

USAGE, CANNOT_RUN, INTERRUPTED, TERMINATED = 2, 3, 130, 143

NO_INDEX = re.compile(
    r"connection|timed out|name resolution|name or service|dns error|no matching distribution"
    r"|failed to fetch|error sending request|proxyerror|sslerror|certificate",
    re.IGNORECASE,
)


class SetUpFailed(Exception):
    """The environment could not be made; the message is one sentence for the person."""


def main(words: Sequence[str]) -> int:
    """Run `bootstrap.py WORDS`; return an exit code or, on POSIX, become the command."""
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(f"{__doc__}")
        return 0
    name, rest = words[0], list(words[1:])
    if name not in ("run", "test"):
        say(f"there is no command {name!r}: use run or test, or no word at all for help.")
        return USAGE
    try:
        if not ready():
            with only_one():
                if not ready():
                    install()
    except SetUpFailed as failure:
        say(str(failure))
        return CANNOT_RUN
    except KeyboardInterrupt:
        say("interrupted; the next start begins the install anew.")
        return INTERRUPTED
    return become(run_command(rest) if name == "run" else test_command(rest))


def say(text: str) -> None:
    """Tell the person what happens; standard output belongs to the command."""
    sys.stderr.write(f"bootstrap: {text}\n")
    sys.stderr.flush()


def run_command(words: list[str]) -> list[str]:
    """Build the main job's command: the first word is the symbol unless it is an option."""
    symbol = words.pop(0) if words and not words[0].startswith("-") else "AAPL"
    offline = [] if "--offline" in words else ["--offline"]
    return [str(BIN / ("trading-graph" + SUFFIX)), "run", symbol, *offline, *words]


def test_command(words: list[str]) -> list[str]:
    """Build the test command; pytest finds its settings in the project's folder."""
    os.chdir(ROOT)
    part = [] if FULL in words or names_tests(words) else QUICK_PART
    rest = [word for word in words if word != FULL]
    return [str(PYTHON), "-m", "pytest", *AT_ONCE, *part, *rest]


def names_tests(words: list[str]) -> bool:
    """Tell whether a word is a test file or the id of a test; an option's value names none."""
    return any(
        word.partition("::")[0].endswith(".py") and before not in ("--ignore", "--deselect")
        for before, word in pairwise(["", *words])
        if not word.startswith("-")
    )


def become(command: list[str]) -> int:
    """Replace this process by the command: signals and the exit code are the command's own."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execv(command[0], command)
    return subprocess.call(command)


def stamp() -> str:
    """Name everything an install depends on; scripts hold the folder's path, so it counts too."""
    digest = hashlib.sha256(f"{sys.version}\n{ROOT}\n".encode())
    for name in ("pyproject.toml", "requirements.lock"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def ready() -> bool:
    """Tell whether `.venv` was finished for exactly these files and its Python still starts."""
    try:
        if STATE.read_text() != stamp():
            return False
    except FileNotFoundError:
        return False
    return (BIN / ("trading-graph" + SUFFIX)).exists() and starts(PYTHON)


def starts(python: Path) -> bool:
    """Tell whether the interpreter starts and is of this Python's version."""
    probe = [str(python), "-I", "-S", "-c", "import sys; print(sys.version)"]
    try:
        answer = subprocess.run(probe, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.strip() == sys.version.strip()


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Let a second bootstrap of the same folder wait until the first has installed."""
    if os.name != "posix":
        yield
        return
    import fcntl

    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def install() -> None:
    """Make `.venv` and install into it; the stamp is written last, so a cut install leaves none."""
    started = time.monotonic()
    # A terminated bootstrap must not leave an installer behind that goes on writing into `.venv`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    uv = shutil.which("uv")
    say("setting up .venv; the first time this takes about a minute.")
    if not is_someone_elses(uv):
        make_venv(uv)
    STATE.write_text(INSTALLING)
    say(f"installing the packages of requirements.lock with {'uv' if uv else 'pip'}.")
    run_installer(uv, ["--require-hashes", "-r", str(ROOT / "requirements.lock")])
    say("installing trading-graph itself.")
    # The build back end stands in the lock, so this needs no index and no isolated environment.
    run_installer(uv, ["--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    finished = STATE.with_suffix(".new")
    finished.write_text(stamp())
    os.replace(finished, STATE)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    say(f"ready after {time.monotonic() - started:.0f} s.")


def is_someone_elses(uv: str | None) -> bool:
    """Tell whether a usable `.venv` stands here that bootstrap did not make: that one is kept."""
    if STATE.exists() or not (VENV / "pyvenv.cfg").exists() or not starts(PYTHON):
        return False
    return bool(uv) or not subprocess.call(
        [str(PYTHON), "-m", "pip", "--version"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def make_venv(uv: str | None) -> None:
    """Make an empty `.venv`, in the place of whatever stands there."""
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    elif VENV.exists():
        shutil.rmtree(VENV)
    if uv:
        command = [uv, "venv", "--quiet", "--python", sys.executable, str(VENV)]
    else:
        missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
        if missing:
            raise SetUpFailed(
                f"this Python has no {' and no '.join(missing)} module: install it (on Debian and "
                "Ubuntu: apt install python3-venv), then run the same command again."
            )
        command = [sys.executable, "-m", "venv", str(VENV)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        show_tail(done.stdout)
        raise SetUpFailed(
            f"{VENV} could not be made: see the lines above (on Debian and Ubuntu the package "
            "python3-venv may be missing), then run the same command again."
        )


def run_installer(uv: str | None, words: list[str]) -> None:
    """Install with uv or pip, keeping their talk in a log that is shown when they fail."""
    if uv:
        command = [uv, "pip", "install", "--python", str(PYTHON), *words]
    else:
        command = [str(PYTHON), "-m", "pip", "install", "--no-input", "--progress-bar=off", *words]
    settings = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with LOG.open("a+") as log:
        begin = log.tell()
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=settings
        ).returncode
        log.seek(begin)
        talk = log.read()
    if not code:
        return
    show_tail(talk)
    if NO_INDEX.search(talk):
        raise SetUpFailed(
            "the package index could not be reached, or it has not all packages of "
            "requirements.lock: check the network and the index settings of "
            f"{'uv (UV_DEFAULT_INDEX)' if uv else 'pip (PIP_INDEX_URL, pip.conf)'}, "
            "then run the same command again."
        )
    raise SetUpFailed(
        f"the packages could not be installed (exit code {code}): see the lines above and {LOG}, "
        "then run the same command again."
    )


def show_tail(talk: str) -> None:
    """Show the end of what an installer said."""
    for line in talk.strip().splitlines()[-12:]:
        sys.stderr.write(f"    {line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

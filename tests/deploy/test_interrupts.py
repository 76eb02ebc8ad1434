"""A program that a test starts hears an interrupt, however the tests themselves were started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "import time; print('ready', flush=True); time.sleep(600)"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


def test_a_program_hears_an_interrupt() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            program.send_signal(signal.SIGINT)
            _, talk = program.communicate(timeout=PATIENCE_S)
        finally:
            program.kill()
    assert program.returncode == -signal.SIGINT
    assert talk.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("processes", [0, 1])
def test_it_does_where_the_tests_run_in_a_shells_background(processes: int) -> None:
    """The test above, in a pytest that ignores SIGINT, and in a process of xdist below one."""
    inner = f"{__file__}::{test_a_program_hears_an_interrupt.__name__}"
    tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"-n{processes}", inner]
    done = subprocess.run(
        ["sh", "-c", '"$@" & wait $!', "sh", *tests],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout

"""deploy/check_compose.sh: the compose files in a real engine, and what it says without one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("jaeger", "collector", "service", "cluster")


def begin(*names: str, **environment: str) -> subprocess.Popen[str]:
    """Start the script with the program of this environment, in a process group of its own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "deploy/check_compose.sh", *names],
        cwd=ROOT,
        env={**os.environ, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def check(*names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script to its end."""
    with begin(*names, **environment) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_without_an_engine_it_says_so_and_succeeds(tmp_path: Path) -> None:
    done = check(DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "check_compose: skipped, since no container engine answers docker info.\n"


def test_a_name_that_it_does_not_know_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    done = check("jaeger", "zipkin", DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert done.returncode == 2
    assert "zipkin" in done.stderr
    assert not done.stdout


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
def test_the_compose_file_comes_up_and_its_trace_is_complete(name: str) -> None:
    done = check(name)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    if last.startswith("check_compose: skipped"):
        pytest.skip(last)
    assert last.startswith(f"check_compose: deploy/{name}.yml is ok")
    assert ": passed" in done.stdout


@pytest.mark.full
def test_nothing_is_left_of_a_check_that_is_interrupted() -> None:
    def containers() -> str:
        words = ["docker", "ps", "-aq", "--filter", f"name=trading-graph-check-{process.pid}"]
        return subprocess.run(words, capture_output=True, text=True).stdout

    with begin("jaeger") as process:
        deadline = time.monotonic() + PATIENCE_S
        while process.poll() is None and not containers():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        if process.poll() is not None and "skipped" in (said := process.communicate()[0]):
            pytest.skip(said)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert not containers()

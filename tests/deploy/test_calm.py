"""A test is run again where the machine stood still, and one that judges when things happened."""

from pathlib import Path

import pytest

from tests.calm import RERUNS

ROOT = Path(__file__).resolve().parents[2]

SOURCE = """
import os, signal, time
import pytest
from tests.calm import MACHINE

TRIED = []

def hold(pytestconfig):
    pid = pytestconfig.stash[MACHINE].watcher.pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.2)
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.1)

def test_held_up_once(pytestconfig):
    TRIED.append(1)
    if len(TRIED) == 1:
        hold(pytestconfig)
        assert False

def test_fails_after_it():
    assert False

@pytest.mark.alone
def test_fails_at_times():
    TRIED.append(1)
    assert len(TRIED) > 3

@pytest.mark.alone
def test_fails_each_time():
    assert False

def test_passes_although_held_up(pytestconfig):
    hold(pytestconfig)

def test_held_up_every_time(pytestconfig):
    hold(pytestconfig)
    assert False
"""


LEAVING_SETTINGS = """
[pytest]
markers = alone
filterwarnings =
    error::ResourceWarning
    error::pytest.PytestUnraisableExceptionWarning
"""
LEAVING = """
import gc, socket
import pytest

TRIED = []

def leave():
    left = [socket.socket()]
    left.append(left)
    return left

@pytest.mark.alone
def test_fails_once():
    TRIED.append(1)
    if len(TRIED) == 1:
        left = leave()
        assert False

def test_that_collects():
    gc.collect()

def test_passes_and_leaves_something():
    leave()

def test_that_is_told_of_it():
    gc.collect()
"""


def test_what_a_failed_test_leaves_is_no_fault_of_the_next(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini(LEAVING_SETTINGS)
    pytester.makepyfile(LEAVING)
    options = ("-p", "tests.calm", "-p", "no:langsmith_plugin", "-p", "no:cacheprovider", "-v")
    result = pytester.runpytest_subprocess(*options)
    lines = [line.split() for line in result.outlines if "::" in line and "%]" in line]
    words = [(name.partition("::")[2], outcome) for name, outcome, *_ in lines]
    assert words == [
        ("test_fails_once", "RERUN"),
        ("test_fails_once", "PASSED"),
        ("test_that_collects", "PASSED"),
        *words[3:],
    ]
    told = {outcome for _, outcome in words[3:]} - {"PASSED"}
    assert told, "what a good test leaves is told, once at least"


def test_what_failed_while_the_machine_stood_still_is_run_again(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(SOURCE)
    options = ("-p", "tests.calm", "-p", "no:langsmith_plugin", "-p", "no:cacheprovider", "-v")
    result = pytester.runpytest_subprocess(*options)
    words = [line.split() for line in result.outlines if "::" in line and "%]" in line]
    assert [(name.partition("::")[2], outcome) for name, outcome, *_ in words] == [
        ("test_held_up_once", "RERUN"),
        ("test_held_up_once", "PASSED"),
        ("test_fails_after_it", "FAILED"),
        ("test_fails_at_times", "RERUN"),
        ("test_fails_at_times", "PASSED"),
        *[("test_fails_each_time", "RERUN")] * RERUNS,
        ("test_fails_each_time", "FAILED"),
        ("test_passes_although_held_up", "PASSED"),
        *[("test_held_up_every_time", "RERUN")] * RERUNS,
        ("test_held_up_every_time", "FAILED"),
    ]
    result.stdout.fnmatch_lines(["stood still * times, for * ms at most"])

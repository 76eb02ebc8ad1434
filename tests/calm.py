"""Runs a test again that failed while the machine was disturbed.

A pytest plugin. Timings in tests are relations, but a virtual machine that is stopped for 300 ms
turns some of them round. A process that does nothing else measures how late it is woken; a test
that fails is run again only if that was late during the test. Tests that judge when things happened
(`alone`, `idle`) are run again in any case, since other programs can also take the CPU bit by bit.
A wrong judgement is wrong each time. The summary names what ran again, and counts the stalls.
What a failed test could not close is collected before the next one, of which it is no fault.
"""

import gc
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.alone import judges_time

STALL_S = 0.02
"""By so much a process that sleeps 5 ms at a time is late where the machine stood still."""

RERUNS = 2
"""How often a test is run again at most."""

PAUSE_S = 2
"""Before a test of time is run again, so that what disturbed it can pass."""

WATCH = f"""
import select, sys, time
then = time.monotonic()
while not select.select([sys.stdin], [], [], 0.005)[0]:
    now = time.monotonic()
    if now - then > 0.005 + {STALL_S}:
        print(now, now - then, flush=True)
    then = now
"""
"""Prints when it was late and by how much; ends with the process that holds its standard input."""


class Machine:
    """Tells whether the machine stood still since a test began."""

    def __init__(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._log = folder / "stalls"
        self._since = 0.0
        with self._log.open("wb") as log:
            self.watcher = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", WATCH], stdin=subprocess.PIPE, stdout=log
                )
            )

    def begin(self) -> None:
        """Note that a test begins."""
        self._since = time.monotonic()

    def stood_still(self) -> bool:
        """Whether it did since then."""
        return any(at >= self._since for at, _ in self.stalls())

    def stalls(self) -> Iterator[tuple[float, float]]:
        """When it went on after each stall, and how long that took, in seconds."""
        for line in self._log.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                at, length = line.split()
                yield float(at), float(length)


MACHINE = pytest.StashKey[Machine]()
HAS_FAILED = pytest.StashKey[bool]()
"""Whether a test failed since garbage was last collected."""


def pytest_configure(config: pytest.Config) -> None:
    """Begin to watch."""
    stack = ExitStack()
    config.stash[MACHINE] = Machine(stack)
    config.add_cleanup(stack.close)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every test be run again where the machine stood still, and those of time anyhow."""
    machine = config.stash[MACHINE]
    for item in items:
        if judges_time(item):
            again = pytest.mark.flaky(reruns=RERUNS, reruns_delay=PAUSE_S)
        else:
            again = pytest.mark.flaky(reruns=RERUNS, condition=machine.stood_still)
        item.add_marker(again)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test failed, also where it is run again; no garbage is collected from then on."""
    if call.excinfo:
        gc.disable()
    report = yield
    if report.failed:
        item.config.stash[HAS_FAILED] = True
    elif not item.config.stash.get(HAS_FAILED, False):
        gc.enable()
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note that a test begins, for the first time or again."""
    if item.config.stash.get(HAS_FAILED, False):
        item.config.stash[HAS_FAILED] = False
        _collect_what_is_left()
    item.config.stash[MACHINE].begin()


def _collect_what_is_left() -> None:
    """Collect the frames of a failed test with what they hold, which nobody could close."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            delattr(sys, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often the machine stood still, if it did."""
    lengths = [length for _, length in terminalreporter.config.stash[MACHINE].stalls()]
    if lengths:
        times, longest_ms = len(lengths), max(lengths) * 1e3
        terminalreporter.section("machine")
        terminalreporter.line(f"stood still {times} times, for {longest_ms:.0f} ms at most")

"""Lets tests run in several processes, and those that time real work beside nothing that disturbs.

A pytest plugin. Most tests wait more than they compute, so pytest-xdist runs several at once. Tests
that judge when things happened come last. While one marked `alone` runs, no other test does, in
whatever process. One marked `idle` hardly computes: nothing runs beside it but others of its kind,
two for each CPU, or one where it says `idle(per_cpu=1)`. Locks do that, two for each CPU: an
unmarked test shares all of them, one marked `alone` takes all for itself, and one marked `idle`
takes one, or both of a CPU.
"""

import fcntl
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import IO, TypeVar

import pytest

ResultT = TypeVar("ResultT")

IDLE_PER_CPU = 2
"""How many of the tests that hardly compute run at once."""


class Company(IntEnum):
    """What may run beside a test, in the order in which tests run."""

    ANYTHING = 0
    IDLE = 1
    NOTHING = 2


class Locks:
    """What the processes of this test run have in common; `own` is the one that is tried first."""

    def __init__(self, files: Sequence[IO[bytes]], own: int) -> None:
        self._files = files
        self._own = own

    @contextmanager
    def held(self, company: Company, per_cpu: int = IDLE_PER_CPU) -> Generator[None]:
        """Hold what a test needs. All processes lock in the same order, so none waits for ever."""
        if company is Company.IDLE:
            taken = self._take(IDLE_PER_CPU // per_cpu)
        else:
            taken = self._files
            for file in taken:
                shared = company is Company.ANYTHING
                fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        try:
            yield
        finally:
            for file in taken:
                fcntl.flock(file, fcntl.LOCK_UN)

    def _take(self, count: int) -> Sequence[IO[bytes]]:
        """Take so many locks of one CPU that are free, or wait for those of this process."""
        groups = [self._files[at : at + count] for at in range(0, len(self._files), count)]
        own = groups[self._own // count]
        for group in (own, *groups):
            if _took(group):
                return group
        for file in own:
            fcntl.flock(file, fcntl.LOCK_EX)
        return own


def _took(group: Sequence[IO[bytes]]) -> bool:
    """Take all of these locks, or none where another process has one."""
    for at, file in enumerate(group):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            for taken in group[:at]:
                fcntl.flock(taken, fcntl.LOCK_UN)
            return False
    return True


LOCKS = pytest.StashKey[Locks]()


def pytest_configure(config: pytest.Config) -> None:
    """Open the locks, if there are several processes."""
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return
    folder = Path(config.option.basetemp).parent
    count = IDLE_PER_CPU * min(len(os.sched_getaffinity(0)), worker["workercount"])
    files = [(folder / f"idle{number}.lock").open("wb") for number in range(count)]
    for file in files:
        config.add_cleanup(file.close)
    config.stash[LOCKS] = Locks(files, int(worker["workerid"].removeprefix("gw")) % count)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the marked last, and before them what stands in one file with a marked one.

    A file is run by one process, which would otherwise wait long for all others to be idle.
    """
    companies = {item: company(item) for item in items}
    late = {item.path for item, least in companies.items() if least is not Company.ANYTHING}
    items.sort(key=lambda item: (item.path in late, companies[item]))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, ResultT, ResultT]:
    """Hold the locks while a test runs; the wait for them is outside of the test's time limit."""
    locks = item.config.stash.get(LOCKS, None)
    if locks is None:
        return (yield)
    mark = item.get_closest_marker("idle")
    with locks.held(company(item), mark.kwargs.get("per_cpu", IDLE_PER_CPU) if mark else 1):
        return (yield)


def company(item: pytest.Item) -> Company:
    """What may run beside it."""
    if item.get_closest_marker("alone"):
        return Company.NOTHING
    return Company.IDLE if item.get_closest_marker("idle") else Company.ANYTHING


def judges_time(item: pytest.Item) -> bool:
    """Whether it judges when things happened."""
    return company(item) is not Company.ANYTHING

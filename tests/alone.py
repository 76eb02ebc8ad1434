"""Lets tests run in several processes, and those that time real work with nothing beside them.

A pytest plugin. Most tests wait more than they compute, so pytest-xdist runs several at once. A
test marked `alone` judges when things happened: it comes last, and while it runs no other test
does, in whatever process. One lock does that: the marked take it for themselves, all others share.
"""

import fcntl
from collections.abc import Generator
from pathlib import Path
from typing import IO, TypeVar

import pytest

LOCK = pytest.StashKey[IO[bytes]]()

ResultT = TypeVar("ResultT")


def pytest_configure(config: pytest.Config) -> None:
    """Open the lock that the processes of this test run have in common, if there are several."""
    if hasattr(config, "workerinput"):
        lock = Path(config.option.basetemp).with_name("alone.lock").open("wb")
        config.stash[LOCK] = lock
        config.add_cleanup(lock.close)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the marked last."""
    items.sort(key=is_alone)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, ResultT, ResultT]:
    """Hold the lock while a test runs; the wait for it is outside of the test's time limit."""
    lock = item.config.stash.get(LOCK, None)
    if lock is None:
        return (yield)
    fcntl.flock(lock, fcntl.LOCK_EX if is_alone(item) else fcntl.LOCK_SH)
    try:
        return (yield)
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


def is_alone(item: pytest.Item) -> bool:
    """Whether nothing may run beside it."""
    return item.get_closest_marker("alone") is not None

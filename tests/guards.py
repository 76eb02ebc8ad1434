"""Three guards around every test: a clean environment, no foreign host, no blocked event loop.

A pytest plugin. The first guard removes the variables that would let a developer's keys or settings
change a test; the second fails a test that connects to, or looks up, any host but this machine,
even when the code under test swallows the error; the third makes a blocking call on the main
thread's event loop raise `blockbuster.BlockingError`.
"""

import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.network_guard import NetworkGuard

FOREIGN_VARIABLES = ("OPENAI_", "LANGSMITH_", "LANGCHAIN_", "OTEL_", "TRADING_GRAPH_")
# A proxy would carry a request away through a loopback address, past the network guard.
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


GUARD = NetworkGuard()


def settle() -> None:
    """Fail the running phase of a test when something reached for a foreign host."""
    attempts, GUARD.attempts = GUARD.attempts, []
    if attempts:
        pytest.fail(f"reached for a foreign host: {', '.join(attempts)}", pytrace=False)


def clean_environment() -> None:
    """Remove the variables that would let the outside change a test."""
    for name in list(os.environ):
        upper = name.upper()
        if upper.startswith(FOREIGN_VARIABLES) or upper in PROXY_VARIABLES:
            del os.environ[name]


def pytest_configure(config: pytest.Config) -> None:
    """Clean the environment before a test module can import a library that reads it."""
    clean_environment()
    if not GUARD.active:
        sys.addaudithook(GUARD.hear)
        GUARD.active = True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Judge what the fixtures reached for."""
    result = yield
    settle()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Judge what the test reached for."""
    result = yield
    settle()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Judge what the fixtures reached for at their end, and a failed test's rest."""
    result = yield
    settle()
    return result


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Make a blocking call on the main thread's event loop raise."""
    with blockbuster_ctx() as guard:
        guard.deactivate()
        for function in guard.functions.values():
            # A server thread serves simulated answers on a loop of its own and may read its files
            # there; the rule is about the loop that a person's run lives on.
            function.can_block_predicate = main_thread_only(function.can_block_predicate)
            # The first import of a module reads files wherever it happens; that a run imports
            # everything before its span is the loop-lag test's to find.
            function.can_block_in("<frozen importlib._bootstrap>", "_find_and_load")
            # A failing assertion or a traceback shows source lines, which it has to read.
            function.can_block_in("linecache.py", "updatecache")
            function.can_block_in("<frozen linecache>", "updatecache")
        guard.activate()
        yield guard


def main_thread_only(may_block: Callable[..., bool]) -> Callable[..., bool]:
    """Let every other thread block; the main thread's calls are judged as before."""
    main = threading.main_thread().ident

    def decide(*args: Any, **kwargs: Any) -> bool:
        return threading.get_ident() != main or may_block(*args, **kwargs)

    return decide

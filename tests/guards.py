"""Three guards around every test: a clean environment, no foreign host, no blocked event loop.

A pytest plugin. The first guard removes the variables that would let a developer's keys or settings
change a test; the second fails a test that connects to, or looks up, any host but this machine,
even when the code under test swallows the error; the third makes a blocking call on the main
thread's event loop raise `blockbuster.BlockingError`.

The network guard hears what Python's own sockets do. Libraries with sockets of their own (gRPC,
libcurl) are out of its sight; no test uses them against a host that is not on loopback.
"""

import ipaddress
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

FOREIGN_VARIABLES = ("OPENAI_", "LANGSMITH_", "LANGCHAIN_", "OTEL_", "TRADING_GRAPH_")
# A proxy would carry a request away through a loopback address, past the network guard.
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class ForeignHostError(OSError):
    """A test reached for a host that is not this machine."""


class NetworkGuard:
    """Refuses and records every attempt to reach a foreign host; hears Python's socket events.

    An audit hook stands below all patches and aliases of `socket`, and cannot be taken off again:
    `active` switches it.
    """

    def __init__(self) -> None:
        self.active = False
        self.attempts: list[str] = []
        self._verdicts: dict[str, Callable[[tuple[Any, ...]], str | None]] = {
            "socket.connect": lambda args: foreign_address(args[1]),
            "socket.sendto": lambda args: foreign_address(args[1]),
            "socket.sendmsg": lambda args: foreign_address(args[1]),
            "socket.getaddrinfo": lambda args: foreign_name(args[0]),
            "socket.gethostbyname": lambda args: foreign_name(args[0]),
            "socket.gethostbyaddr": lambda args: foreign_name(args[0]),
        }

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Judge one audit event."""
        verdict = self._verdicts.get(event)
        if verdict is None or not self.active:
            return
        host = verdict(args)
        if host is not None:
            self.attempts.append(f"{event} {host}")
            raise ForeignHostError(f"a test reached for the foreign host {host} ({event})")

    def settle(self) -> None:
        """Fail the running phase of a test when something reached for a foreign host."""
        attempts, self.attempts = self.attempts, []
        if attempts:
            pytest.fail(f"reached for a foreign host: {', '.join(attempts)}", pytrace=False)


def foreign_address(address: object) -> str | None:
    """Return the host of a socket address unless it is on this machine; paths are Unix sockets."""
    if not isinstance(address, tuple):
        return None
    host = str(address[0])
    return None if host in ("", "localhost") or is_loopback(host) else host


def foreign_name(name: object) -> str | None:
    """Return a name that would be looked up; a written address needs no look-up."""
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else str(name or "localhost")
    if text.rstrip(".").lower() == "localhost" or is_address(text):
        return None
    return text


def is_address(host: str) -> bool:
    """Tell whether the host is written as an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether the host is a written loopback address."""
    if not is_address(host):
        return False
    address = ipaddress.ip_address(host)
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


GUARD = NetworkGuard()


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
    GUARD.settle()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Judge what the test reached for."""
    result = yield
    GUARD.settle()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Judge what the fixtures reached for at their end, and a failed test's rest."""
    result = yield
    GUARD.settle()
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

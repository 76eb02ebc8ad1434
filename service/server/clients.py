"""What one client may hold of the service at a time: connections, and streams that it follows.

A client is an address. A trusted proxy may hold as many connections as it wants, for its clients.
"""

import contextlib
import resource
from collections import Counter
from collections.abc import Iterator, Sequence
from http import HTTPStatus

from aiohttp import web

from trading_graph.service.server.problems import Problem
from trading_graph.service.server.proxies import Network, is_trusted

_MOST_FILES = 65_536


class Shares:
    """Counts what each client holds, of which it may hold so many."""

    def __init__(self, most: int, proxies: Sequence[Network] = ()) -> None:
        self._most = most
        self._proxies = proxies
        self._held = Counter[str]()

    def take(self, client: str) -> bool:
        """Take one; false if the client holds all that it may."""
        if self._held[client] >= self._most and not is_trusted(client, self._proxies):
            return False
        self._held[client] += 1
        return True

    def give_back(self, client: str) -> None:
        """Give one back."""
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]


CONNECTIONS = web.AppKey("connections", Shares)
STREAMS = web.AppKey("streams", Shares)


@contextlib.contextmanager
def following(request: web.Request) -> Iterator[None]:
    """Count a stream for as long as its client follows it; raises Problem."""
    streams, client = request.app[STREAMS], request.remote or ""
    if not streams.take(client):
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "This client follows as many streams as it may (TRADING_GRAPH_SERVE_STREAMS); end one.",
            headers={"Retry-After": "5"},
        )
    try:
        yield
    finally:
        streams.give_back(client)


def allow_many_files() -> None:
    """Raise the number of files that the process may have open, since a connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

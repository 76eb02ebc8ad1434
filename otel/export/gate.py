"""Where something is sent: one that is missing is noticed at once, and then left alone for a while.

The SDK's exporters retry for their whole timeout. Here a connection attempt of at most half a
second comes first, and after a failure nothing is tried for half a minute.
"""

import socket
import time
from collections.abc import Callable
from threading import Thread
from urllib.parse import urlsplit

TIMEOUT_S = 2.0
"""How long a batch may take; the SDK's 10 s are too long for an exit."""

_CONNECT_S = 0.5
_PAUSE_S = 30.0


class Gate:
    """Lets batches through to an endpoint that answers."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._paused_until = 0.0
        self._reached = False

    def send(self, export: Callable[[], bool]) -> bool:
        """Export a batch; false where that fails, or the endpoint is known to be down."""
        if time.monotonic() < self._paused_until:
            return False
        if not self._reached:
            self._reached = self.listens()
        if self._reached and export():
            return True
        self._reached = False
        self._paused_until = time.monotonic() + _PAUSE_S
        return False

    def listens(self) -> bool:
        """Whether somebody accepts a connection there; takes half a second at most."""
        # gRPC's endpoints may come without a scheme.
        known = self.endpoint if "://" in self.endpoint else f"//{self.endpoint}"
        try:
            target = urlsplit(known)
            port = target.port or (443 if target.scheme == "https" else 80)
            socket.create_connection((target.hostname or "", port), timeout=_CONNECT_S).close()
        except (OSError, ValueError):
            return False
        return True


def within(timeout_s: float, task: Callable[[], object]) -> bool:
    """Run a call that may hang; false when it takes longer than the timeout. Blocks.

    The SDK's own timeouts do not hold (opentelemetry-python issue 4568).
    """
    thread = Thread(target=task, name="telemetry", daemon=True)
    thread.start()
    thread.join(max(0.0, timeout_s))
    return not thread.is_alive()

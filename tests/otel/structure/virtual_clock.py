"""An event loop whose clock jumps from timer to timer, so that sleeping takes no time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

START_S = 1_700_000_000


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that moves a clock on by what it would have waited for."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready now; the loop waits for nothing but its timers."""
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "a virtual clock cannot wait for threads or sockets"
            self.now_s += max(timeout, 0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; nothing that runs on it may wait for threads or sockets."""

    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._clock.now_s


def now_ns() -> int:
    """The virtual time in nanoseconds since the epoch."""
    return START_S * 10**9 + round(asyncio.get_running_loop().time() * 1e9)


def run_virtually(work: Coroutine[Any, Any, object]) -> float:
    """Run a coroutine and return how long it took by the virtual clock, in seconds."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(work)
        return loop.time()
    finally:
        loop.close()

"""The time of one agent: a limit that moves while the agent waits for its turn."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager


@asynccontextmanager
async def until(due: Callable[[], float]) -> AsyncIterator[None]:
    """Cancel the block at a moment of the loop's clock that may move; raises TimeoutError.

    `due` is called at the start, and again whenever the moment that it gave has come.
    """
    loop = asyncio.get_running_loop()

    timeout = asyncio.timeout(None)
    alarm: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal alarm
        moment = due()
        if moment <= loop.time():
            timeout.reschedule(loop.time())
        else:
            alarm = loop.call_at(moment, look)

    async with timeout:
        look()
        try:
            yield
        finally:
            if alarm is not None:
                alarm.cancel()


class AgentTime:
    """The seconds of one agent; those that it waits in its service's line do not count.

    A service that serves one request at a time lets the others wait. They wait for as long as it is
    alive: while it sends something, to whichever of the run's requests.
    """

    def __init__(self, seconds: float) -> None:
        self._due = asyncio.get_running_loop().time() + seconds
        self._waits_since: float | None = None
        self._last_life: Callable[[], float] = lambda: 0.0

    def due(self) -> float:
        """When the agent's time is over, as far as can be known now, by the loop's clock."""
        return self._due + self._waited()

    @contextmanager
    def in_line(self, last_life: Callable[[], float]) -> Iterator[Callable[[], None]]:
        """A wait for a service's answer; the block calls what it gets when the answer begins.

        `last_life` is when the service last sent something to anybody, by the loop's clock.
        """
        self._waits_since, self._last_life = asyncio.get_running_loop().time(), last_life
        try:
            yield self._leave
        finally:
            self._leave()

    def _leave(self) -> None:
        self._due += self._waited()
        self._waits_since = None

    def _waited(self) -> float:
        if self._waits_since is None:
            return 0.0
        return max(0.0, self._last_life() - self._waits_since)

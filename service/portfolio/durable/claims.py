"""The ticker-days that a worker has claimed, of which it has no more than it does at once.

DBOS stores how many workflows of a line each process does, so one number holds for all of them.
Therefore a worker has a line of its own, without such a number, and claims from the line of all
what it has room for.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from trading_graph.service.errors import PortfolioError
from trading_graph.service.log import LOG
from trading_graph.service.portfolio.durable.lease import Lease
from trading_graph.service.portfolio.durable.queue import WorkQueue, workflow_id

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Pace:
    """How many runs a worker has at once, and while how many in all it takes no more.

    `drain_s` is for how long a worker that is told to stop lets its runs go on.
    """

    at_once: int
    at_once_in_all: int | None
    drain_s: float


class Claims:
    """What a worker has claimed of the line of a database."""

    def __init__(
        self, queue: WorkQueue, lease: Lease, worker: str, version: str, pace: Pace
    ) -> None:
        self._queue = queue
        self._lease = lease
        self._worker = worker
        self._version = version
        self._pace = pace
        self._waiting: set[str] = set()
        self._under_way: set[str] = set()
        self._room = asyncio.Event()
        self._is_over = False

    @contextmanager
    def under_way(self, run_id: str) -> Iterator[None]:
        """Have a ticker-day under way for the duration of the block."""
        id_ = workflow_id(run_id)
        self._waiting.discard(id_)
        self._under_way.add(id_)
        try:
            yield
        finally:
            self._under_way.discard(id_)
            self._room.set()

    async def claim(self) -> None:
        """Claim what there is room for now; raises PortfolioError."""
        if self._waiting:
            # What was cancelled before it began never will. What the database says has begun may
            # begin here a moment later.
            held = await asyncio.to_thread(self._queue.held, self._worker)
            self._waiting &= {each.workflow_id for each in held}
        room = self._pace.at_once - len(self._waiting) - len(self._under_way)
        if room <= 0 or not await asyncio.to_thread(self._queue.has_waiting, self._version):
            return
        async with self._lease.alone("claims") as is_alone:
            if is_alone and not self._is_over and self._lease.is_held():
                claimed = await asyncio.to_thread(
                    self._queue.claim, self._worker, self._version, room, self._pace.at_once_in_all
                )
                # One that has begun meanwhile is counted already.
                self._waiting.update(set(claimed) - self._under_way)

    async def take(self) -> None:
        """Claim until `stop`: a database that does not answer is a matter of the lease."""
        while not self._is_over:
            self._room.clear()
            try:
                await self.claim()
            except PortfolioError as error:
                LOG.warning("%s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), _LOOK_S)

    def stop(self) -> None:
        """Claim no more; `take` returns when what it is about to claim is claimed."""
        self._is_over = True
        self._room.set()

    async def give_back(self) -> None:
        """Put what has not begun into the line again, unless the database does not answer."""
        # What is not given back here is when the worker ends, or by others when it is gone.
        with suppress(PortfolioError):
            claimed = await asyncio.to_thread(self._queue.claimed, self._worker)
            await asyncio.to_thread(self._queue.give_back, claimed)

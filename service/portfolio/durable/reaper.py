"""The reaper: gives the work of dead workers to others, and tells of work that nobody takes.

Every worker has one, and one of them looks at a time, so that a hundred workers do not ask after
each other all the time. That a worker is dead is known by its lease, which is then held by the
reaper while it looks again at what that worker had: so two reapers never give the same work out
twice.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from trading_graph.service.errors import PortfolioError
from trading_graph.service.log import LOG
from trading_graph.service.portfolio.durable.lease import Lease
from trading_graph.service.portfolio.durable.queue import (
    TICKER_DAY_WORKFLOW,
    Work,
    WorkQueue,
    versions_of,
    workflow_id,
)
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.ticker_day import TickerDay

_LOOK_S = 1.0
_ALARM_LOOKS = 60


class Tells(Protocol):
    """Says a sentence to whoever looks after the worker, and logs it; an alarm as a warning."""

    def __call__(self, sentence: str, *, alarm: bool = False) -> None:
        """Say it."""
        ...


class Reaper:
    """Looks at the line once a second, for ever."""

    def __init__(self, queue: WorkQueue, lease: Lease, version: str, tell: Tells) -> None:
        self._queue = queue
        self._lease = lease
        self._version = version
        self._tell = tell

    async def reap(self) -> None:
        """Look for ever: a database that does not answer is a matter of the lease."""
        look = 0
        while True:
            try:
                await self._look(alarm=look % _ALARM_LOOKS == 0)
            except PortfolioError as error:
                LOG.warning("%s", error)
            look += 1
            await asyncio.sleep(_LOOK_S)

    async def _look(self, *, alarm: bool) -> None:
        async with self._lease.alone("reaper") as is_alone:
            if is_alone:
                await self._reap_dead()
        if alarm:
            works = await asyncio.to_thread(self._queue.unfinished)
            for version, number in versions_of(works).items():
                if version != self._version:
                    self._tell(
                        f"In line for a worker of version {version}: {number} portfolios and "
                        f"ticker-days, and this one is of {self._version}; start one of that "
                        "version until they are over, or cancel the portfolios.",
                        alarm=True,
                    )

    async def _reap_dead(self) -> None:
        under_way = await asyncio.to_thread(self._queue.under_way)
        workers = await asyncio.to_thread(self._queue.workers)
        for worker in sorted(workers | {work.worker for work in under_way}):
            async with self._lease.dead(worker) as is_dead:
                if is_dead:
                    left = await asyncio.to_thread(self._queue.left_by, worker)
                    await asyncio.to_thread(self._queue.give_back, left)
                    await asyncio.to_thread(self._queue.close_line, worker)
                    if left:
                        self._tell(f"Worker {worker} is dead; what it had goes on: {_named(left)}.")


def lost_ticker_days(
    queue: WorkQueue, folder: PortfolioFolder, order: PortfolioOrder
) -> list[TickerDay]:
    """Ticker-days that are not over, although their work in the database is: nobody does them.

    That is no worker's doing; somebody may have cancelled or deleted work there. Blocks; raises
    PortfolioError or OSError.
    """
    open_ = {id_ for id_, each in folder.progress(order).items() if not each.is_final}
    ended = queue.ended([order.id, *open_])
    if order.id in ended:
        in_line = {
            work.workflow_id for work in queue.unfinished([workflow_id(id_) for id_ in open_])
        }
        ended = {id_ for id_ in open_ if workflow_id(id_) not in in_line}
    if not ended or folder.cancel_is_requested():
        return []
    # Read again: a ticker-day ends in its folder first.
    progress = folder.progress(order)
    return [progress[id_].ticker_day for id_ in ended if not progress[id_].is_final]


def lost_sentence(portfolio_id: str, lost: Sequence[TickerDay]) -> str:
    """What to do about ticker-days that nobody does."""
    names = ", ".join(sorted(f"{each.symbol} {each.date}" for each in lost)[:3])
    return (
        f"{len(lost)} of the ticker-days of the portfolio {portfolio_id} left the line without an "
        f"end ({names}{', ...' if len(lost) > 3 else ''}); go on with: trading-graph portfolio "
        f"cancel {portfolio_id}, and then: trading-graph portfolio resume {portfolio_id}"
    )


def _named(works: Sequence[Work]) -> str:
    """How many runs and portfolios there are, each where there is one."""
    runs = sum(work.name == TICKER_DAY_WORKFLOW for work in works)
    numbers = {"run": runs, "portfolio": len(works) - runs}
    return " and ".join(
        f"{number} {name}{'s' * (number != 1)}" for name, number in numbers.items() if number
    )

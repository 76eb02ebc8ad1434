"""Portfolios that workers work on; a `PortfolioEngine` that does no work itself.

The folder of a portfolio is its record, as with one process: workers, and whoever asks, see the
same folders of portfolios and of runs. The database says what is in line and who is there.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.durable.cancelling import cancel_waiting
from trading_graph.service.portfolio.durable.database import Database
from trading_graph.service.portfolio.durable.lease import LiveWorker, live_workers
from trading_graph.service.portfolio.durable.queue import (
    TICKER_DAY_WORKFLOW,
    Work,
    WorkQueue,
    WorkState,
    workflow_id,
)
from trading_graph.service.portfolio.durable.reaper import lost_ticker_days
from trading_graph.service.portfolio.durable.run_files import TickerDayLogs
from trading_graph.service.portfolio.durable.shared_folders import share_folders
from trading_graph.service.portfolio.engine import (
    PortfolioListener,
    PortfolioState,
    PortfolioStatus,
)
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayState

_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Attendance:
    """Who is there for the work of a database, and what is in line or under way of it.

    `lost` are ticker-days of a portfolio that have left the line without an end.
    """

    workers: tuple[LiveWorker, ...]
    works: tuple[Work, ...]
    knows_names: bool
    lost: tuple[TickerDay, ...] = ()

    @property
    def in_line(self) -> int:
        """How many ticker-days wait for a worker."""
        return sum(
            each.state is WorkState.IN_LINE and each.name == TICKER_DAY_WORKFLOW
            for each in self.works
        )

    @property
    def ownerless(self) -> tuple[Work, ...]:
        """What is under way by a worker that is dead, or waits for one of a version not there.

        A portfolio that nobody has taken up yet stands for all of its ticker-days.
        """
        if not self.knows_names:
            return () if self.workers else self.works
        names = {each.name for each in self.workers}
        versions = {each.version for each in self.workers}
        return tuple(
            each
            for each in self.works
            if (
                each.worker not in names
                if each.state is WorkState.UNDER_WAY
                else each.version not in versions
            )
        )


class DurableEngine:
    """The portfolios of a folder and the line of a database; a `PortfolioEngine`."""

    def __init__(self, portfolios: Path, database: Database, version: str) -> None:
        self._portfolios = portfolios
        self._database = database
        self._version = version

    async def submit(self, order: PortfolioOrder) -> PortfolioStatus:
        """Write an order down and put it into the line; one that is there already stays there."""

        def submit() -> PortfolioStatus:
            folder = self._folder(order.id)
            self._database.prepare(self._portfolios)
            if not folder.queue_file.exists():
                if folder.exists:
                    raise PortfolioError(
                        f"The portfolio {order.id} was begun by one process; go on with: "
                        f"trading-graph portfolio resume {order.id}, or begin anew with --again."
                    )
                folder.submit(order)
                share_folders(folder, order, self._database)
            elif folder.status().state is not PortfolioState.RUNNING:
                return folder.status()
            elif not folder.is_queued:
                raise PortfolioError(folder.busy_sentence)
            with WorkQueue.of(self._database) as queue:
                queue.add_portfolio(order.id, self._version)
            return folder.status()

        return await asyncio.to_thread(submit)

    async def status(self, portfolio_id: str) -> PortfolioStatus:
        """How far a portfolio is."""
        return await asyncio.to_thread(self._folder(portfolio_id).status)

    async def attendance(self, portfolio_id: str) -> Attendance:
        """Who is there for the work of the database, and what a portfolio has lost there.

        Raises PortfolioError or OSError.
        """
        folder = self._folder(portfolio_id)

        def look() -> tuple[list[Work], list[TickerDay]]:
            self._database.prepare(self._portfolios)
            with WorkQueue.of(self._database) as queue:
                return queue.unfinished(), lost_ticker_days(queue, folder, folder.order())

        works, lost = await asyncio.to_thread(look)
        workers = tuple(await live_workers(self._database))
        return Attendance(workers, tuple(works), self._database.is_postgres, tuple(lost))

    async def work(
        self,
        portfolio_id: str,
        listener: PortfolioListener,
        *,
        again: Collection[TickerDayState] = (),
    ) -> PortfolioStatus:
        """Look on until each of the portfolio's ticker-days is over; workers do the work."""
        if again:
            raise PortfolioError(
                "Workers do nothing again; go on in this process with: trading-graph portfolio "
                f"resume {portfolio_id} --parked"
            )
        status = await self.status(portfolio_id)
        while True:
            before = {each.ticker_day.run_id: each for each in status.ticker_days}
            if status.state is not PortfolioState.RUNNING:
                return status
            await asyncio.sleep(_LOOK_S)
            status = await self.status(portfolio_id)
            for each in status.ticker_days:
                if each != before[each.ticker_day.run_id]:
                    listener.changed(each)

    async def cancel(self, portfolio_id: str) -> PortfolioStatus:
        """Stop the work on a portfolio for good; returns when workers have left it."""
        folder = self._folder(portfolio_id)
        status = await self.status(portfolio_id)
        if status.state is PortfolioState.OVER:
            raise PortfolioError(
                f"The portfolio {portfolio_id} is over, so there is nothing to cancel; see: "
                f"trading-graph portfolio status {portfolio_id}"
            )
        if status.state is not PortfolioState.RUNNING:
            return status
        await asyncio.to_thread(folder.request_cancel)
        await asyncio.to_thread(self._database.prepare, self._portfolios)
        while True:
            workers = await live_workers(self._database)
            is_with_worker = await asyncio.to_thread(self._cancel, folder, workers)
            status = await self.status(portfolio_id)
            if status.state is not PortfolioState.RUNNING and not is_with_worker:
                return status
            await asyncio.sleep(_LOOK_S)

    def _cancel(self, folder: PortfolioFolder, workers: Sequence[LiveWorker]) -> bool:
        """Note that nothing more is done, unless a worker sees to the portfolio; whether one does.

        None may, although some are there: the portfolio may be in line still, or for another
        version, and somebody may have cancelled its work in the database.
        """
        names = {each.name for each in workers}
        with WorkQueue.of(self._database) as queue:
            if any(
                work.state is WorkState.UNDER_WAY
                and (work.worker in names if self._database.is_postgres else workers)
                for work in queue.unfinished([workflow_id(folder.path.name)])
            ):
                return True
            live = names if self._database.is_postgres or not workers else None
            cancel_waiting(queue, folder, TickerDayLogs(folder, lambda: None), workers=live)
        return False

    def _folder(self, portfolio_id: str) -> PortfolioFolder:
        return PortfolioFolder(self._portfolios, portfolio_id)

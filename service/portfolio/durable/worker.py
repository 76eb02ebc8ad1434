"""A worker: takes ticker-days from the line of a database until it is told to stop.

DBOS hands out the work, on this event loop. A run is one workflow, with LangGraph's checkpoints
inside: no part of the graph is a step of DBOS's, because parallel nodes end in any order. The work
of a worker that has died is put into the line again by any other (`reaper.py`).

A worker that has lost its lease ends in that moment and begins anew under another name, in the same
process. It writes nothing more, not even that it stops: all that it had belongs to others.
"""

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn

from dbos import DBOS, DBOSConfig

from trading_graph.service.errors import PortfolioError
from trading_graph.service.log import LOG
from trading_graph.service.portfolio.durable.cancelling import cancel_waiting
from trading_graph.service.portfolio.durable.checkpoints import LeasedKeeper
from trading_graph.service.portfolio.durable.claims import Claims, Pace
from trading_graph.service.portfolio.durable.database import Database
from trading_graph.service.portfolio.durable.dbos_errors import log_errors_in_lines
from trading_graph.service.portfolio.durable.lease import (
    Lease,
    file_lease,
    postgres_lease,
)
from trading_graph.service.portfolio.durable.queue import (
    APPLICATION,
    PORTFOLIO_WORKFLOW,
    PORTFOLIOS,
    TICKER_DAY_WORKFLOW,
    WorkQueue,
    line_of,
)
from trading_graph.service.portfolio.durable.reaper import (
    Reaper,
    Tells,
    lost_sentence,
    lost_ticker_days,
)
from trading_graph.service.portfolio.durable.run_files import TickerDayLogs
from trading_graph.service.portfolio.durable.share import Floor, OpensEngine, Share
from trading_graph.service.portfolio.durable.shared_folders import shared_order
from trading_graph.service.portfolio.durable.trace import record_over
from trading_graph.service.portfolio.engine import PortfolioListener
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.run.keeper import FileKeeper, RunKeeper
from trading_graph.service.settings import Settings
from trading_graph.service.shared.house import open_house
from trading_graph.toolkit.house import House

REJOIN = "--rejoin"
_LOOK_S = 0.25
_ALARM_LOOKS = 200
_LOOKED_AT_PER_S = 500
_ENGINES = 4
_CONNECTIONS = 4
"""How many connections DBOS keeps for its transactions, besides the one that it listens on."""


class Worker:
    """The work of this process on the line of a database, until `stop`."""

    def __init__(
        self,
        settings: Settings,
        queue: WorkQueue,
        lease: Lease,
        claims: Claims,
        open_engine: OpensEngine,
        keeper: RunKeeper,
        listener: PortfolioListener,
        version: str,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._lease = lease
        self._claims = claims
        self._open_engine = open_engine
        self._keeper = keeper
        self._listener = listener
        self._version = version
        self._floor = Floor()
        self._shares: dict[str, Share] = {}
        self._opening = asyncio.Lock()
        self._stops = 0
        self._stopped = asyncio.Event()
        self.failure: Exception | None = None
        """Why the worker stops, where nobody has told it to."""

    def stop(self) -> None:
        """Take nothing more; at the second call, wait for nothing either."""
        self._stops += 1
        self._stopped.set()

    def rely_on(self, task: "asyncio.Task[None]") -> None:
        """Stop where a task fails that the worker cannot do without."""
        task.add_done_callback(self._look_after)

    def _look_after(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        LOG.error("The worker stops", exc_info=error)
        self.failure = self.failure or error
        self.stop()

    async def wait_for_stop(self) -> None:
        """Return when the worker was told to stop, or cannot go on."""
        await self._stopped.wait()

    async def drain(self, seconds: float) -> None:
        """Let runs under way come to their ends for so long, then leave them to others."""
        deadline = asyncio.get_running_loop().time() + seconds
        while any(share.ticker_days for share in self._shares.values()):
            if asyncio.get_running_loop().time() >= deadline or self._stops > 1:
                break
            await asyncio.sleep(_LOOK_S)
        for share in list(self._shares.values()):
            await self._close(share)

    async def ticker_day(self, portfolio_id: str, run_id: str) -> None:
        """The workflow of a ticker-day: it returns when that is over, or is cancelled."""
        with self._claims.under_way(run_id):
            async with self._working(run_id), self._share(portfolio_id) as share:
                if share is None:
                    return  # it is cancelled, deleted, or gone on with by one process
                (ticker_day,) = (each for each in share.order.ticker_days if each.run_id == run_id)
                await share.make(ticker_day)
                # The request is forgotten once all is noted, which may be before this.
                if (
                    share.is_left
                    and not share.is_cancelled
                    and not await asyncio.to_thread(share.folder.cancel_is_requested)
                ):
                    await _for_ever()

    async def portfolio(self, portfolio_id: str) -> None:
        """The workflow of a portfolio: put its ticker-days into the line, and end its trace."""
        async with self._working(portfolio_id):
            folder = PortfolioFolder(self._settings.portfolios, portfolio_id)
            if not await asyncio.to_thread(folder.exists_in_line):
                LOG.warning(
                    "The portfolio %s leaves the line: it was deleted, or one process goes on with "
                    "it.",
                    portfolio_id,
                )
                return
            order = await asyncio.to_thread(shared_order, folder)
            progress = await asyncio.to_thread(folder.progress, order)
            waiting = [run_id for run_id, each in progress.items() if not each.is_final]
            if not await asyncio.to_thread(folder.cancel_is_requested):
                await asyncio.to_thread(
                    self._queue.add_ticker_days, portfolio_id, waiting, self._version
                )
            look_s = max(_LOOK_S, len(waiting) / _LOOKED_AT_PER_S)
            looks = 0
            while not all(each.is_final for each in progress.values()):
                await asyncio.sleep(look_s)
                looks += 1
                if not await asyncio.to_thread(folder.exists_in_line):
                    return  # it is deleted, or cancelled and gone on with by one process
                if looks % _ALARM_LOOKS == 0:
                    await self._look_for_lost(folder, order)
                if await asyncio.to_thread(folder.cancel_is_requested):
                    log = TickerDayLogs(folder, self._keeper.assert_owned)
                    await asyncio.to_thread(cancel_waiting, self._queue, folder, log)
                progress = await asyncio.to_thread(folder.progress, order)
            async with self._open_engine(order) as engine:
                await record_over(folder, order, engine)
            await asyncio.to_thread(folder.forget_cancel)
            LOG.info("The portfolio %s is over.", portfolio_id)

    async def _look_for_lost(self, folder: PortfolioFolder, order: PortfolioOrder) -> None:
        try:
            lost = await asyncio.to_thread(lost_ticker_days, self._queue, folder, order)
        except PortfolioError as error:
            LOG.warning("%s", error)
        else:
            if lost:
                LOG.warning("%s", lost_sentence(order.id, lost))

    @asynccontextmanager
    async def _working(self, id_: str) -> AsyncIterator[None]:
        """Hold the lock of a workflow, which never ends where this worker has to leave it."""
        if self._stops:
            await _for_ever()
        try:
            async with self._lease.run(id_):
                yield
        except Exception as error:
            # Another worker, or this one later, may do better. A try that had begun counts as one
            # in which the worker died.
            self._give_up(error)
            await _for_ever()

    @asynccontextmanager
    async def _share(self, portfolio_id: str) -> AsyncIterator[Share | None]:
        """The share of a portfolio; None where it is cancelled."""
        async with self._opening:
            folder = PortfolioFolder(self._settings.portfolios, portfolio_id)
            is_there = await asyncio.to_thread(folder.exists_in_line)
            if not is_there or await asyncio.to_thread(folder.cancel_is_requested):
                share = None
            elif (share := self._shares.get(portfolio_id)) is None:
                idle = [each for each in self._shares.values() if not each.users]
                for each in idle[: max(0, len(self._shares) + 1 - _ENGINES)]:
                    await self._close(each)
                share = await self._open(folder)
                self._shares[portfolio_id] = share
            if share is not None:
                share.users += 1
        try:
            yield share
        finally:
            if share is not None:
                share.users -= 1

    async def _open(self, folder: PortfolioFolder) -> Share:
        order = await asyncio.to_thread(shared_order, folder)
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(self._open_engine(order))
            share = Share(engine, folder, order, self._keeper, self._floor, self._listener)
            watch = asyncio.create_task(self._watch(share), name=f"cancel {order.id}")
            stack.callback(watch.cancel)
            share.close = stack.pop_all().aclose
        return share

    async def _watch(self, share: Share) -> None:
        """Leave the runs of a portfolio that somebody cancels."""
        while not await asyncio.to_thread(share.folder.cancel_is_requested):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)  # another process asks for it
        # Which cancels this one.
        self._closing = asyncio.create_task(self._close(share, is_cancelled=True))

    async def _close(self, share: Share, *, is_cancelled: bool = False) -> None:
        if self._shares.get(share.order.id) is not share:
            return
        del self._shares[share.order.id]
        if share.ticker_days:
            await share.leave(is_cancelled=is_cancelled)
        await share.close()


async def serve(
    settings: Settings,
    database: Database,
    pace: Pace,
    opens: Callable[[RunKeeper, House | None], OpensEngine],
    listener: PortfolioListener,
    version: str,
    tell: Tells,
    end: Callable[[Exception | None], NoReturn],
) -> NoReturn:
    """Serve the line of a database until a signal.

    `opens` makes what opens engines, by who keeps their checkpoints and what the workers of a
    PostgreSQL database share; `tell` is told what happens. Raises PortfolioError or
    StoreUnavailableError before it begins.
    `end` ends the process at once: what still waits in it would otherwise be noted as cancelled,
    and it belongs to others.
    """
    # PostgreSQL keeps 63 bytes of what a session is called, which includes this name.
    name = f"{socket.gethostname()[:16]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def begin_anew(reason: str) -> NoReturn:
        os.write(2, f"The worker {name} lost its lease ({reason}); it begins anew.\n".encode())
        words = [word for word in sys.orig_argv[1:] if word != REJOIN]
        os.execv(sys.executable, [sys.executable, *words, REJOIN])

    async with AsyncExitStack() as stack:
        lease: Lease
        keeper: RunKeeper
        house: House | None = None
        if database.is_postgres:
            lease = on_server = await stack.enter_async_context(
                postgres_lease(database, name, version, begin_anew)
            )
            keeper = LeasedKeeper(on_server)
            house = await stack.enter_async_context(open_house(database.conninfo))
        else:
            lease = await stack.enter_async_context(file_lease(database, name))
            keeper = FileKeeper()
        queue = stack.enter_context(WorkQueue.of(database))
        claims = Claims(queue, lease, name, version, pace)
        worker = Worker(
            settings, queue, lease, claims, opens(keeper, house), keeper, listener, version
        )
        loop = asyncio.get_running_loop()
        for word in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(word, worker.stop)
        await asyncio.to_thread(queue.open_lines, name)
        log_errors_in_lines(settings.redactor)
        _launch(database, name, version, worker)
        taking = asyncio.create_task(claims.take(), name="claims")
        reaper = asyncio.create_task(Reaper(queue, lease, version, tell).reap(), name="reaper")
        for task in (taking, reaper):
            worker.rely_on(task)
        tell(f"Worker {name} serves {database.name}: {pace.at_once} runs at once.")
        await worker.wait_for_stop()
        claims.stop()
        await asyncio.wait([taking])
        await claims.give_back()
        if worker.failure is None:
            tell(f"Worker {name} takes nothing more, and ends what it has.")
        await worker.drain(pace.drain_s if worker.failure is None else 0)
        reaper.cancel()
        await asyncio.to_thread(lambda: queue.give_back(queue.left_by(name)))
        await asyncio.to_thread(queue.close_line, name)
        end(worker.failure)


def _launch(database: Database, name: str, version: str, worker: Worker) -> None:
    """Begin to take work; on the event loop, which DBOS then runs it on."""
    config = DBOSConfig(
        name=APPLICATION,
        system_database_url=database.dbos_url,
        sys_db_pool_size=_CONNECTIONS,
        application_version=version,
        executor_id=name,
        run_migrations=False,
        log_level="ERROR",
        notification_listener_polling_interval_sec=1.0,
    )
    DBOS(config=config)
    DBOS.workflow(name=PORTFOLIO_WORKFLOW)(_portfolio_of(worker))
    DBOS.workflow(name=TICKER_DAY_WORKFLOW)(_ticker_day_of(worker))
    DBOS.listen_queues([PORTFOLIOS, line_of(name)])
    DBOS.launch()


def _portfolio_of(worker: Worker) -> Callable[[str], Coroutine[Any, Any, None]]:
    async def portfolio(portfolio_id: str) -> None:
        await worker.portfolio(portfolio_id)

    return portfolio


def _ticker_day_of(worker: Worker) -> Callable[[str, str], Coroutine[Any, Any, None]]:
    async def ticker_day(portfolio_id: str, run_id: str) -> None:
        await worker.ticker_day(portfolio_id, run_id)

    return ticker_day


async def _for_ever() -> None:
    """Never return: whoever has the work next ends its workflow."""
    await asyncio.Event().wait()

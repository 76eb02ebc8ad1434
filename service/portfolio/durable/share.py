"""A worker's share of a portfolio: one engine, and the ticker-days of it that the worker has.

What becomes of a ticker-day is decided as in one process (`tries.py`). What an earlier worker left
is taken over first: its try is ended with what it had recorded, and what has killed its worker
before runs alone.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan

from trading_graph.service.portfolio.call_tally import CallTally
from trading_graph.service.portfolio.durable.run_files import TickerDayLogs, take_from_others
from trading_graph.service.portfolio.durable.trace import try_context
from trading_graph.service.portfolio.engine import PortfolioListener
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.portfolio.killed_try import end_of_killed
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.progress import (
    MOST_TRIES,
    Happening,
    ProgressEvent,
    TickerDayProgress,
)
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayState
from trading_graph.service.portfolio.trace import TickerDaySpan
from trading_graph.service.portfolio.tries import TickerDayRuns
from trading_graph.service.portfolio.work_record import WorkRecord
from trading_graph.service.run.engine import Engine
from trading_graph.service.run.folder import RunFolder
from trading_graph.service.run.keeper import RunKeeper

OpensEngine = Callable[[PortfolioOrder], AbstractAsyncContextManager[Engine]]


class Floor:
    """Lets runs go on beside each other, or one of them alone."""

    def __init__(self) -> None:
        self._change = asyncio.Condition()
        self._present = 0
        self._alone = False
        self._waiting_alone = 0

    @asynccontextmanager
    async def enter(self, *, alone: bool) -> AsyncIterator[None]:
        """Be there for the duration of the block, with others or without any."""
        async with self._change:
            self._waiting_alone += alone
            try:
                await self._change.wait_for(lambda: self._is_free(alone))
            finally:
                self._waiting_alone -= alone
            self._present += 1
            self._alone = alone
        try:
            yield
        finally:
            async with self._change:
                self._present -= 1
                self._alone = False
                self._change.notify_all()

    def _is_free(self, alone: bool) -> bool:
        if alone:
            return not self._present
        return not self._alone and not self._waiting_alone


class _LaterTrace:
    """Leaves the spans of tries to the trace that is written when the portfolio is over."""

    def __init__(self, order: PortfolioOrder, engine: Engine) -> None:
        self._order = order
        self._price_of = engine.settings.price

    @contextmanager
    def ticker_day(
        self, ticker_day: TickerDay, tries: int, *, queued_ns: int | None = None
    ) -> Iterator[TickerDaySpan]:
        """Link a run to the span that its try will have."""
        span = NonRecordingSpan(try_context(self._order.id, ticker_day.run_id, tries))
        # A run has a trace of its own, whatever span the caller has open.
        token = otel_context.attach(Context())
        try:
            yield TickerDaySpan(ticker_day, span, CallTally(self._price_of))
        finally:
            otel_context.detach(token)


class Share:
    """The part of a portfolio that this worker has, on an engine that is open."""

    def __init__(
        self,
        engine: Engine,
        folder: PortfolioFolder,
        order: PortfolioOrder,
        keeper: RunKeeper,
        floor: Floor,
        listener: PortfolioListener,
    ) -> None:
        self.folder = folder
        self.order = order
        self._floor = floor
        self._engine = engine
        self._log = TickerDayLogs(folder, keeper.assert_owned)
        self._record = WorkRecord(self._log, {}, listener)
        self._runs = TickerDayRuns(engine, folder, order, self._record, _LaterTrace(order, engine))
        self._tasks: dict[asyncio.Task[None], TickerDay] = {}
        self.is_left = False
        self.is_cancelled = False
        self._noted = asyncio.Event()
        self.users = 0
        """How many workflows of the worker rely on the share."""
        self.close: Callable[[], Awaitable[None]] = _nothing
        """Closes the engine."""

    @property
    def ticker_days(self) -> int:
        """How many ticker-days the worker has of the portfolio."""
        return len(self._tasks)

    async def make(self, ticker_day: TickerDay) -> None:
        """Bring a ticker-day to its end, unless the share `is_left` before that.

        Raises StopError where no ticker-day can be, or OSError.
        """
        await asyncio.to_thread(self._take_over, ticker_day)
        task = asyncio.create_task(self._try(ticker_day), name=f"ticker-day {ticker_day.run_id}")
        self._tasks[task] = ticker_day
        try:
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
            elif self.is_left:
                # What is over in the database is noted by others where it is not noted here.
                await self._noted.wait()
        finally:
            self._tasks.pop(task, None)

    async def _try(self, ticker_day: TickerDay) -> None:
        while not (progress := self._record[ticker_day.run_id]).is_final and not self.is_left:
            async with self._floor.enter(alone=progress.is_suspect):
                if not self.is_left:
                    await self._runs.make(ticker_day)

    def _take_over(self, ticker_day: TickerDay) -> None:
        """Read how far a ticker-day is, and end the try that another worker has left open."""
        run = RunFolder(self.order.out, ticker_day.run_id)
        take_from_others(self.folder, run)
        progress = self.folder.progress_of_one(ticker_day)

        def note(event: ProgressEvent) -> TickerDayProgress:
            self._log.append(event)
            return progress.after(event)

        if progress.state is TickerDayState.RUNNING:
            progress = note(end_of_killed(run, progress))
            if progress.failures >= MOST_TRIES and not progress.is_final:
                reason = (
                    f"Its worker died in {MOST_TRIES} tries at the same place, after "
                    f"{progress.agents} of its agents; to try it again: trading-graph portfolio "
                    f"resume {self.order.id} --parked"
                )
                progress = note(
                    ProgressEvent(time.time(), ticker_day.run_id, Happening.PARKED, reason=reason)
                )
        self._record.take_up(progress)

    async def leave(self, *, is_cancelled: bool) -> None:
        """Leave the runs under way to whoever goes on, so that nothing that was paid is lost.

        Where the portfolio `is_cancelled`, that is noted of each of them.
        """
        self.is_left, self.is_cancelled = True, is_cancelled
        self._engine.leave()
        left = dict(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        try:
            for each in left.values():
                await self._runs.note_left(each)
                if is_cancelled and not self._record[each.run_id].is_final:
                    await self._record.note(each.run_id, Happening.CANCELLED)
        finally:
            self._noted.set()


async def _nothing() -> None:
    """Do nothing."""

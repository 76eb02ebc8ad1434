"""Portfolios in one process: one event loop, one engine, and so many runs on it at once.

All runs share the engine's connection pool, cache, model limits and telemetry. A ticker-day that
ends in an error goes to the end of the line; one during which the process died is resumed. After
two deaths at the same place it may be what kills the process, so it runs last and alone.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from trading_graph.otel.witness.clock import now_ns
from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.engine import (
    PortfolioListener,
    PortfolioState,
    PortfolioStatus,
)
from trading_graph.service.portfolio.folder import PortfolioFolder, ProgressLog
from trading_graph.service.portfolio.killed_try import end_of_killed
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.progress import (
    MOST_TRIES,
    Happening,
    ProgressEvent,
    TickerDayProgress,
)
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayResult, TickerDayState
from trading_graph.service.portfolio.trace import PortfolioPlan, PortfolioSpan, record_portfolio
from trading_graph.service.portfolio.tries import StopError, TickerDayRuns
from trading_graph.service.portfolio.work_record import WorkRecord
from trading_graph.service.run.engine import Engine
from trading_graph.service.run.folder import RunFolder

_LOOK_S = 0.25

OpensEngine = Callable[[PortfolioOrder], AbstractAsyncContextManager[Engine]]


class _CancelRequested(Exception):
    """Somebody wants the work to stop for good."""


class LocalEngine:
    """Works on the portfolios of a folder; a `PortfolioEngine`."""

    def __init__(self, portfolios: Path, open_engine: OpensEngine) -> None:
        self._portfolios = portfolios
        self._open_engine = open_engine

    async def submit(self, order: PortfolioOrder) -> PortfolioStatus:
        """Write an order down; one that is there already is only brought up to its new limits."""
        return await asyncio.to_thread(self._folder(order.id).submit, order)

    async def status(self, portfolio_id: str) -> PortfolioStatus:
        """How far a portfolio is."""
        return await asyncio.to_thread(self._folder(portfolio_id).status)

    async def work(
        self,
        portfolio_id: str,
        listener: PortfolioListener,
        *,
        again: Collection[TickerDayState] = (),
    ) -> PortfolioStatus:
        """Work on a portfolio until each of its ticker-days is over, or it is cancelled.

        What is over is not done again, unless it is in one of the states `again`. Cancellation of
        the task leaves the runs under way to whoever goes on.
        """
        folder = self._folder(portfolio_id)
        with contextlib.ExitStack() as stack:
            log = await asyncio.to_thread(stack.enter_context, folder.work())
            await asyncio.to_thread(folder.forget_cancel)
            order = await asyncio.to_thread(folder.order)
            progress, ended = await asyncio.to_thread(_take_up, folder, order, log, again)
            record = WorkRecord(log, progress, listener)
            if ended or not all(each.is_final for each in progress.values()):
                async with self._open_engine(order) as engine:
                    await _Work(engine, folder, order, record).all(ended)
            return PortfolioStatus(order, folder.path, False, record.ticker_days)

    async def cancel(self, portfolio_id: str) -> PortfolioStatus:
        """Stop the work on a portfolio for good, in whatever process; returns when it has ended."""
        folder = self._folder(portfolio_id)
        if (await self.status(portfolio_id)).state is PortfolioState.OVER:
            raise PortfolioError(
                f"The portfolio {portfolio_id} is over, so there is nothing to cancel; see: "
                f"trading-graph portfolio status {portfolio_id}"
            )
        if await asyncio.to_thread(folder.is_locked):
            await asyncio.to_thread(folder.request_cancel)
            while await asyncio.to_thread(folder.is_locked):  # noqa: ASYNC110  # by another process
                await asyncio.sleep(_LOOK_S)

        def cancel() -> PortfolioStatus:
            with folder.work() as log:
                order = folder.order()
                for run_id, each in folder.progress(order).items():
                    now = each
                    if each.state is TickerDayState.RUNNING:
                        # What was paid for until its process was killed is counted.
                        end = end_of_killed(RunFolder(order.out, run_id), each)
                        log.append(end)
                        now = each.after(end)
                    if not now.is_final:
                        log.append(ProgressEvent(time.time(), run_id, Happening.CANCELLED))
                folder.forget_cancel()
            return folder.status()

        return await asyncio.to_thread(cancel)

    def _folder(self, portfolio_id: str) -> PortfolioFolder:
        return PortfolioFolder(self._portfolios, portfolio_id)


def _take_up(
    folder: PortfolioFolder,
    order: PortfolioOrder,
    log: ProgressLog,
    again: Collection[TickerDayState],
) -> tuple[dict[str, TickerDayProgress], list[TickerDayResult]]:
    """How far the ticker-days are, and those that the death of an earlier process has ended."""
    progress = folder.progress(order)
    ended = []

    def note(event: ProgressEvent) -> None:
        log.append(event)
        progress[event.run_id] = progress[event.run_id].after(event)

    for run_id, each in list(progress.items()):
        if each.state in again:
            note(ProgressEvent(time.time(), run_id, Happening.RETURNED))
        elif each.state is TickerDayState.RUNNING:
            note(end_of_killed(RunFolder(order.out, run_id), each))
            if progress[run_id].failures >= MOST_TRIES:
                reason = (
                    f"Its process died in {MOST_TRIES} tries at the same place, after "
                    f"{progress[run_id].agents} of its agents; to try it again: "
                    f"trading-graph portfolio resume {order.id} --parked"
                )
                note(ProgressEvent(time.time(), run_id, Happening.PARKED, reason=reason))
            if progress[run_id].is_final:
                state, reason = progress[run_id].state, progress[run_id].reason
                ended.append(TickerDayResult(each.ticker_day, state, reason=reason))
    return progress, ended


class _Work:
    """The work of this process on one portfolio."""

    def __init__(
        self, engine: Engine, folder: PortfolioFolder, order: PortfolioOrder, record: WorkRecord
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._order = order
        self._record = record

    async def all(self, ended: Sequence[TickerDayResult]) -> None:
        """Bring every ticker-day to its end, and record that in the portfolio's trace.

        `ended` are those that the death of an earlier process has ended. Raises PortfolioError
        where no ticker-day can be brought to its end.
        """
        order = self._order
        plan = PortfolioPlan(order.id, order.name, len(order.ticker_days), order.limits.at_once)
        async with record_portfolio(self._folder.path, self._engine, plan) as trace:
            for each in ended:
                trace.without_run(each)
            await self._all(trace)

    async def _all(self, trace: PortfolioSpan) -> None:
        waiting = [each for each in self._record.ticker_days if not each.is_final]
        suspects = [each.ticker_day for each in waiting if each.is_suspect]
        others = [each.ticker_day for each in waiting if not each.is_suspect]
        try:
            await self._line(trace, others, self._order.limits.at_once)
            await self._line(trace, suspects, 1)
        except _CancelRequested:
            await self._record.cancel()
            await asyncio.to_thread(self._folder.forget_cancel)
        except StopError as error:
            raise PortfolioError(
                f"{str(error).rstrip('.')}; then go on with: "
                f"trading-graph portfolio resume {self._order.id}"
            ) from error

    async def _line(
        self, trace: PortfolioSpan, ticker_days: Sequence[TickerDay], at_once: int
    ) -> None:
        """Make the runs of ticker-days, so many at once, in their order."""
        runs = TickerDayRuns(self._engine, self._folder, self._order, self._record, trace)
        line: deque[tuple[TickerDay, int | None]] = deque((each, None) for each in ticker_days)
        running: dict[asyncio.Task[bool], TickerDay] = {}
        try:
            while line or running:
                while line and len(running) < at_once:
                    ticker_day, queued_ns = line.popleft()
                    task = asyncio.create_task(
                        runs.make(ticker_day, queued_ns), name=f"ticker-day {ticker_day.run_id}"
                    )
                    running[task] = ticker_day
                ended, _ = await asyncio.wait(
                    running, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED
                )
                for task in ended:
                    if task.result():
                        line.append((running[task], now_ns()))
                    del running[task]
                if await asyncio.to_thread(self._folder.cancel_is_requested):
                    raise _CancelRequested
        except BaseException:
            trace.leave()
            await self._leave(running, runs)
            raise

    async def _leave(
        self, running: Mapping[asyncio.Task[bool], TickerDay], runs: TickerDayRuns
    ) -> None:
        """Leave what runs as a killed process would, so that nothing that was paid for is lost."""
        self._engine.leave()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for each in running.values():
            await runs.note_left(each)

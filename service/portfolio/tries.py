"""The tries of a ticker-day: its run is made or resumed, and what that came to is recorded.

An error that no further try can mend ends the ticker-day; any other one lets it be tried again,
three times in all. An error that is nobody's in particular, such as a quota that is used up, ends
the work on all of them, because every further try would end in it.
"""

import asyncio
import errno
import time
import uuid
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

from trading_graph.graph.decisions import Decision
from trading_graph.graph.errors import ModelRefusalError, QuotaError, RunFailedError
from trading_graph.otel.spans import error_type
from trading_graph.service.errors import NotResumableError
from trading_graph.service.log import LOG
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.progress import MOST_TRIES, Happening
from trading_graph.service.portfolio.run_tally import RunTally
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayResult, TickerDayState
from trading_graph.service.portfolio.trace import TickerDaySpan
from trading_graph.service.portfolio.work_record import WorkRecord
from trading_graph.service.run.engine import Engine
from trading_graph.service.run.folder import FolderState, RunFolder, folder_state, state_left_by
from trading_graph.toolkit.errors import BadRequestError

_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)
"""What keeps every run from being written down."""

_REFUSALS = 3
"""So many ticker-days that the model refuses, and none that it answers: it refuses all of them."""


class StopError(Exception):
    """Every further try would end in the same error; the message is the error's."""


class TickerDayTrace(Protocol):
    """Where the tries of ticker-days are recorded."""

    def ticker_day(
        self, ticker_day: TickerDay, tries: int, *, queued_ns: int | None = None
    ) -> AbstractContextManager[TickerDaySpan]:
        """Record a try for the duration of the block; a run that begins inside listens to it."""
        ...


class TickerDayRuns:
    """Makes the runs of a portfolio's ticker-days on an engine."""

    def __init__(
        self,
        engine: Engine,
        folder: PortfolioFolder,
        order: PortfolioOrder,
        record: WorkRecord,
        trace: TickerDayTrace,
    ) -> None:
        self._engine = engine
        self._trace = trace
        self._folder = folder
        self._order = order
        self._record = record
        self._refused: set[str] = set()
        self._under_way: dict[str, tuple[RunTally, float]] = {}

    async def make(self, ticker_day: TickerDay, queued_ns: int | None = None) -> bool:
        """Try a ticker-day once; returns whether it is to be tried again.

        `queued_ns` is since when it has waited for its slot, in nanoseconds since the epoch; None
        stands for the beginning of the work.

        Raises StopError, or OSError where the files of the portfolio or of the run cannot be
        written.
        """
        run_id, tally = ticker_day.run_id, RunTally()
        began = time.monotonic()
        self._under_way[run_id] = tally, began
        agents = self._record[run_id].agents
        await self._record.note(run_id, Happening.BEGAN, agents=agents)
        self._record.listener.began(ticker_day, tally)
        tries = self._record[run_id].tries
        with self._trace.ticker_day(ticker_day, tries, queued_ns=queued_ns) as span:
            try:
                decision = await self._decision(ticker_day, span, tally)
            except Exception as error:
                if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
                    raise
                await self._failed(ticker_day, error, tally, time.monotonic() - began)
                state = self._record[run_id].state
                span.ended(TickerDayResult(ticker_day, state), error_type(_cause(error)))
                return state is TickerDayState.WAITING
            self._refused.clear()
            await self._record.note(
                run_id,
                Happening.DONE,
                decision=decision,
                agents=agents + tally.agents,
                seconds=time.monotonic() - began,
                usage=tally.usage,
            )
            span.ended(TickerDayResult(ticker_day, TickerDayState.DONE, decision))
        return False

    async def note_left(self, ticker_day: TickerDay) -> None:
        """Record that a try was left in the middle, with what it has used; raises OSError."""
        run_id = ticker_day.run_id
        if self._record[run_id].state is not TickerDayState.RUNNING:
            return
        tally, began = self._under_way[run_id]
        seconds = time.monotonic() - began
        await self._record.note(run_id, Happening.LEFT, seconds=seconds, usage=tally.usage)

    async def _decision(
        self, ticker_day: TickerDay, span: TickerDaySpan, tally: RunTally
    ) -> Decision:
        """The decision of a ticker-day's run, which is made, resumed or read."""
        run, run_id = RunFolder(self._engine.out, ticker_day.run_id), uuid.UUID(ticker_day.run_id)
        state = await asyncio.to_thread(state_left_by, run)
        if state is FolderState.OVER:
            decision = await asyncio.to_thread(_decision_in, run)
            if decision is not None:
                return decision
            await asyncio.to_thread(self._folder.set_aside, run)
        elif state is not None:
            try:
                analysis, _ = await self._engine.resume(
                    run_id, listeners=[span, tally], links=span.links
                )
            except NotResumableError:
                if await asyncio.to_thread(folder_state, run.path) is FolderState.RUNNING:
                    raise
                await asyncio.to_thread(self._folder.set_aside, run)
            else:
                return analysis.decision
        request = self._order.run_request(ticker_day)
        analysis, _ = await self._engine.run(
            request, run_id=run_id, listeners=[span, tally], links=span.links
        )
        return analysis.decision

    async def _failed(
        self, ticker_day: TickerDay, error: Exception, tally: RunTally, seconds: float
    ) -> None:
        """Record an error, and what it means for the ticker-day; raises StopError."""
        run_id, cause = ticker_day.run_id, _cause(error)
        reason = self._engine.redactor.text(str(cause) or type(cause).__name__)
        note = partial(
            self._record.note,
            run_id,
            error_type=error_type(cause),
            reason=reason,
            agents=self._record[run_id].agents + tally.agents,
            seconds=seconds,
            usage=tally.usage,
        )
        LOG.warning("The run of %s on %s failed: %r", ticker_day.symbol, ticker_day.date, cause)
        if isinstance(cause, BadRequestError):
            await note(happening=Happening.FAILED)
            return
        if isinstance(cause, ModelRefusalError):
            self._refused.add(run_id)
            if isinstance(cause, QuotaError) or len(self._refused) >= _REFUSALS:
                await note(happening=Happening.LEFT)
                raise StopError(reason) from cause
        await note(happening=Happening.ERROR)
        if self._record[run_id].failures >= MOST_TRIES:
            await self._record.note(run_id, Happening.PARKED, reason=reason)


def _cause(error: Exception) -> BaseException:
    """What went wrong in a run; one that can be resumed says only how."""
    return error.__cause__ or error if isinstance(error, RunFailedError) else error


def _decision_in(run: RunFolder) -> Decision | None:
    """The decision of a run that is over; None where it ended without one."""
    try:
        return Decision.model_validate_json(run.decision.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None

"""The line of portfolios: one is worked on at a time, the others wait, and none is lost.

Its place in the line is stored in the folder of each portfolio before its request is answered. A
service that starts again goes on with the one that was under way, then with those that waited. What
somebody began at a terminal is left to them.
"""

import asyncio
import datetime
import logging
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path

import msgspec

from trading_graph.graph.decisions import Decision
from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.engine import PortfolioEngine, PortfolioState
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.portfolio.forecast import seconds_left
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.progress import TickerDayProgress
from trading_graph.service.portfolio.run_tally import RunTally
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayState
from trading_graph.service.run.folder import replace_text
from trading_graph.service.run.unbroken import Unbroken
from trading_graph.service.server.portfolio_files import ENTRY, PortfolioFiles
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.run_durations import FIRST_GUESS_S
from trading_graph.service.server.run_queue import IdempotencyConflictError, QueueClosingError
from trading_graph.service.store import Ended

_LOG = logging.getLogger(__name__)


_LOOK_S = 0.05

WritesReports = Callable[[PortfolioFolder], Awaitable[object]]
"""Writes the report of a portfolio; raises PortfolioError or OSError."""


class PortfolioLineFullError(Problem):
    """The line is full; in `wait_s` the portfolio under way is likely to be over."""

    def __init__(self, waiting: int, wait_s: float, *, is_known: bool) -> None:
        retry_after_s = max(1, math.ceil(wait_s))
        basis = (
            "its analyses take as long as those so far"
            if is_known
            else f"an analysis takes {FIRST_GUESS_S:g} s, since none of it has ended yet"
        )
        super().__init__(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"{waiting} portfolios wait already; ask again in {retry_after_s} s: by then the one "
            f"under way is over, if {basis}.",
            headers={"Retry-After": str(retry_after_s)},
        )


class QueueEntry(msgspec.Struct, frozen=True):
    """What a service knows of a portfolio that it was asked for; `queued` is in epoch seconds.

    `keys` are the digests of the idempotency keys that asked for it, each with its request's.
    `error` is why the work on it ended before it was over.
    """

    queued: float
    is_open: bool
    keys: dict[str, str] = {}
    error: str = ""


_ENTRY = msgspec.json.Decoder(QueueEntry)


class PortfolioQueue:
    """The portfolios of one service; a `PortfolioListener` of the one that it works on."""

    def __init__(
        self,
        files: PortfolioFiles,
        out: Path,
        explain: Callable[[Exception], str],
        *,
        in_line: int,
    ) -> None:
        self._files = files
        self._out = out
        self._explain = explain
        self._in_line = in_line
        self._entries: dict[str, QueueEntry] = {}
        self._ids_of_keys: dict[str, str] = {}
        self._line: list[str] = []
        self._current: str | None = None
        self._tallies: dict[str, RunTally] = {}
        self._change = asyncio.Condition()
        self._admission = asyncio.Lock()
        self._begun = asyncio.Event()
        self._engine: PortfolioEngine | None = None
        self._worker: asyncio.Task[None] | None = None
        self._unbroken = Unbroken()
        self._closing = False

    @property
    def current(self) -> str | None:
        """The portfolio that is worked on here."""
        return self._current

    def place(self, portfolio_id: str) -> int | None:
        """The place of a portfolio in the line, from 1; None where it does not wait."""
        return self._line.index(portfolio_id) + 1 if portfolio_id in self._line else None

    def entry(self, portfolio_id: str) -> QueueEntry | None:
        """What is known of a portfolio that this service was asked for."""
        return self._entries.get(portfolio_id)

    def tally(self, run_id: str) -> RunTally | None:
        """What a run that is under way here has used so far."""
        return self._tallies.get(run_id)

    def began(self, ticker_day: TickerDay, tally: RunTally) -> None:
        """Note a run that begins."""
        self._tallies[ticker_day.run_id] = tally

    def changed(self, progress: TickerDayProgress, decision: Decision | None = None) -> None:
        """Forget a run whose end is recorded."""
        if progress.state is not TickerDayState.RUNNING:
            self._tallies.pop(progress.ticker_day.run_id, None)

    async def take_up(self) -> None:
        """Queue the portfolios that an earlier process left."""
        entries = await asyncio.to_thread(self._stored)
        for portfolio_id, entry in sorted(entries.items(), key=lambda each: each[1].queued):
            self._entries[portfolio_id] = entry
            self._ids_of_keys |= dict.fromkeys(entry.keys, portfolio_id)
            if entry.is_open:
                self._line.append(portfolio_id)

    def _stored(self) -> dict[str, QueueEntry]:
        """The portfolios that services were asked for, without those in another one's line."""
        entries = {}
        for portfolio_id in self._files.ids():
            file = self._files.folder(portfolio_id).path / ENTRY
            try:
                entry = _ENTRY.decode(file.read_bytes())
                status = self._files.status(portfolio_id) if entry.is_open else None
            except FileNotFoundError:
                continue
            except (OSError, msgspec.DecodeError, PortfolioError) as error:
                _LOG.warning("The portfolio %s is left as it is: %s", portfolio_id, error)
                continue
            # What another service has in its line is left to it.
            if status is None or status.order.out.absolute() == self._out.absolute():
                entries[portfolio_id] = entry
        return entries

    def begin(self, engine: PortfolioEngine, report: WritesReports) -> None:
        """Begin to work, unless the service is stopping; before that all portfolios wait."""
        if self._closing:
            return
        self._engine = engine
        self._begun.set()
        self._worker = asyncio.create_task(self._work(engine, report), name="portfolios")

    async def submit(
        self, make: Callable[[], PortfolioOrder], request: str, key: str | None
    ) -> tuple[str, bool]:
        """Queue the order that `make` makes in a thread; returns its id, and whether it is queued.

        It is not where it is there already, and under way or over. `request` is the digest of the
        request, and `key` that of its idempotency key. Raises Problem, BadRequestError or
        PortfolioError: then nothing is queued.
        """
        return await self._unbroken.do(self._submit(make, request, key))

    async def _submit(
        self, make: Callable[[], PortfolioOrder], request: str, key: str | None
    ) -> tuple[str, bool]:
        async with self._admission:
            earlier = self._ids_of_keys.get(key or "")
            if earlier is not None:
                if self._entries[earlier].keys[key or ""] != request:
                    raise IdempotencyConflictError
                return earlier, False
            order = await asyncio.to_thread(make)
            if self._closing:
                raise QueueClosingError
            keys = {} if key is None else {key: request}
            is_new = await self._is_to_be_queued(order.id)
            if is_new:
                if len(self._line) + (self._current is not None) > self._in_line:
                    raise await self._full()
                await asyncio.to_thread(self._files.folder(order.id).submit, order)
            entry = self._entries.get(order.id) or QueueEntry(time.time(), False)
            if is_new:
                entry = msgspec.structs.replace(entry, queued=time.time(), is_open=True, error="")
            if is_new or keys:
                entry = msgspec.structs.replace(entry, keys={**entry.keys, **keys})
                await asyncio.to_thread(self._store, order.id, entry)
                self._entries[order.id] = entry
                self._ids_of_keys |= dict.fromkeys(keys, order.id)
            if is_new:
                self._line.append(order.id)
                async with self._change:
                    self._change.notify_all()
            return order.id, is_new

    async def _is_to_be_queued(self, portfolio_id: str) -> bool:
        """Whether nobody works on a portfolio that is not over; raises Problem."""
        if portfolio_id == self._current or portfolio_id in self._line:
            return False
        status = await asyncio.to_thread(self._files.status, portfolio_id)
        if status is None:
            return True
        if status.state is PortfolioState.CANCELLED:
            raise Problem(
                HTTPStatus.CONFLICT,
                f"The portfolio {portfolio_id} was cancelled; begin it anew with again, or go on "
                f"with: trading-graph portfolio resume {portfolio_id}",
            )
        return status.state is PortfolioState.INTERRUPTED

    async def _full(self) -> PortfolioLineFullError:
        """The error of a full line."""
        wait_s, is_known = 0.0, True
        if self._current is not None:
            status = await asyncio.to_thread(self._files.status, self._current)
            if status is not None:
                days, at_once = status.ticker_days, status.order.limits.at_once
                now = datetime.datetime.now(datetime.UTC)
                is_known = seconds_left(days, at_once, now) is not None
                wait_s = seconds_left(days, at_once, now, FIRST_GUESS_S) or 0.0
        return PortfolioLineFullError(len(self._line), wait_s, is_known=is_known)

    def _store(self, portfolio_id: str, entry: QueueEntry) -> None:
        text = msgspec.json.encode(entry).decode() + "\n"
        replace_text(self._files.folder(portfolio_id).path / ENTRY, text)

    async def cancel(self, portfolio_id: str) -> None:
        """Stop the work on a portfolio for good, in whatever process; returns when it has ended.

        Raises Problem or PortfolioError.
        """
        await self._begun.wait()
        if self._engine is None:
            raise QueueClosingError
        if portfolio_id in self._line:
            self._line.remove(portfolio_id)
            await self._unbroken.do(self._close_entry(portfolio_id))
        folder = self._files.folder(portfolio_id)
        # Between the line and the lock nobody could hear of it.
        while self._current == portfolio_id and not await asyncio.to_thread(  # noqa: ASYNC110
            folder.is_locked
        ):
            await asyncio.sleep(_LOOK_S)
        try:
            await self._engine.cancel(portfolio_id)
        except PortfolioError:
            status = await asyncio.to_thread(self._files.status, portfolio_id)
            if status is None or status.state is not PortfolioState.OVER:
                raise

    async def ended(self) -> list[Ended]:
        """The portfolios that this service was asked for and that are over or cancelled.

        Raises OSError.
        """
        closed = [id for id, entry in self._entries.items() if not entry.is_open]
        return [
            Ended(each.at, each.folders, partial(self._forget, each.portfolio_id))
            for each in await asyncio.to_thread(self._files.ended, closed)
        ]

    async def _forget(self, portfolio_id: str) -> None:
        """Delete a portfolio with its runs, unless somebody has taken it up again."""
        await self._unbroken.do(self._delete(portfolio_id))

    async def _delete(self, portfolio_id: str) -> None:
        async with self._admission:
            if portfolio_id == self._current or portfolio_id in self._line:
                return
            try:
                await asyncio.to_thread(self._files.delete, portfolio_id)
            except PortfolioError:  # another process works on it
                return
            entry = self._entries.pop(portfolio_id)
            for key in entry.keys:
                self._ids_of_keys.pop(key, None)

    def stop_taking(self) -> None:
        """Take no more portfolios, and begin none that waits."""
        self._closing = True

    async def close(self) -> None:
        """Stop; the next start goes on with what is not over."""
        self._closing = True
        self._begun.set()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await self._unbroken.settle()
        self._engine = None

    async def _work(self, engine: PortfolioEngine, report: WritesReports) -> None:
        while True:
            async with self._change:
                await self._change.wait_for(lambda: bool(self._line))
            if self._closing:
                return
            self._current = portfolio_id = self._line.pop(0)
            try:
                error = await self._work_on(portfolio_id, engine, report)
                await self._unbroken.do(self._close_entry(portfolio_id, error))
            finally:
                self._current = None
                self._tallies.clear()

    async def _work_on(
        self, portfolio_id: str, engine: PortfolioEngine, report: WritesReports
    ) -> str:
        """Bring a portfolio to its end, and write its report; returns what prevents that."""
        try:
            await engine.work(portfolio_id, self)
            await report(self._files.folder(portfolio_id))
        except Exception as error:  # Another portfolio may fare better.
            _LOG.warning("The work on the portfolio %s ended: %r", portfolio_id, error)
            return self._explain(error)
        return ""

    async def _close_entry(self, portfolio_id: str, error: str = "") -> None:
        entry = msgspec.structs.replace(self._entries[portfolio_id], is_open=False, error=error)
        self._entries[portfolio_id] = entry
        try:
            await asyncio.to_thread(self._store, portfolio_id, entry)
        except OSError as problem:
            # The next start takes it up, and finds that nothing is left to do.
            _LOG.error("The end of the portfolio %s is not stored: %s", portfolio_id, problem)

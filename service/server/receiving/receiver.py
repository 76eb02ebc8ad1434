"""The receiver: what programs send is recorded at once, and judged when its trace is whole.

One thread records, so the event loop is free; a few processes judge. What waits is bounded: past
that a sender is told when to come back, and nothing is dropped.
"""

import asyncio
import contextlib
import functools
import heapq
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from trading_graph.otel.redaction import Redactor
from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.run.folder import RECEIVED
from trading_graph.service.server.judging import LIMITS, Limits
from trading_graph.service.server.receiving.batches import Rejection
from trading_graph.service.server.receiving.errors import ReceiverBusyError
from trading_graph.service.server.receiving.forwarding import Forwarding
from trading_graph.service.server.receiving.growing import GrowingTrace
from trading_graph.service.server.receiving.growing_traces import (
    GrowingTraces,
    Publish,
    publish_nowhere,
)
from trading_graph.service.server.receiving.judging_line import JudgingLine
from trading_graph.service.server.receiving.ledger import Body, Ledger, ReceiverLimits, Recorded
from trading_graph.service.server.receiving.trace_files import TraceFiles
from trading_graph.service.store import Store, StoredVerdict

_LOG = logging.getLogger(__name__)

_EVERY_S = 3_600.0
_MOST_BODIES = 64
"""How many bodies the thread records at a time."""
_LONGEST_WAIT_S = 600
_MAKE_ROOM_EVERY_S = 1.0
_ROOM = 0.8
"""A sender that was refused comes back when so much of the limit is taken."""
_ROOM_TO_JUDGE_AGAIN = 0.25
"""Traces are judged again while those that wait take no more of the limit: senders go first."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Receiver:
    """Takes spans, puts their traces together, has these judged, and keeps both."""

    def __init__(
        self,
        store: Store,
        out: Path,
        redactor: Redactor,
        limits: ReceiverLimits,
        environment: Mapping[str, str],
        process_limits: Limits = LIMITS,
        publish: Publish = publish_nowhere,
        forward_url: str | None = None,
    ) -> None:
        self._store = store
        self._files = TraceFiles(out.absolute() / RECEIVED)
        self._ledger = Ledger(self._files, limits, redactor)
        self.limits = limits
        self.growing = GrowingTraces(self._ledger, self.find, publish)
        self._line = JudgingLine(
            store,
            self._files.growing,
            self._settle,
            self._note_judged,
            environment=environment,
            limits=process_limits,
            processes=limits.judges,
        )
        self.forwarding = None if forward_url is None else Forwarding(forward_url)
        self._thread = ThreadPoolExecutor(1, "receiver")
        self._size = 0
        self._bodies: asyncio.Queue[tuple[Body, asyncio.Future[Recorded]]] = asyncio.Queue()
        self._make_room_at = 0.0
        self._alarms: list[tuple[float, str]] = []
        self._alarm_set = asyncio.Event()
        self._first_spans = asyncio.Event()
        self._judgement = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take up what an earlier process received and did not judge; raises OSError."""
        unjudged = await self._in_thread(self._ledger.open)
        works = [
            self._record_all(),
            self._ring(),
            self._line.run(),
            self._load(),
            self._take_up(unjudged),
            self._judge_again(),
            self._forget_old(),
            self.growing.tell_changes(),
        ]
        if self.forwarding is not None:
            works.append(self.forwarding.run())
        self._tasks = [asyncio.create_task(work, name="receiver") for work in works]

    async def close(self) -> None:
        """Stop judging; what is not judged stays in its files for the next start."""
        if self.forwarding is not None:
            await self.forwarding.finish()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._line.close()
        await asyncio.to_thread(self._thread.shutdown)

    @contextlib.contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Room for a body of a size while it is read; raises ReceiverBusyError."""
        if self._ledger.waiting >= self.limits.waiting:
            self._make_room()
            raise ReceiverBusyError(self._wait_s())
        if self._size + size > self.limits.bodies:
            raise ReceiverBusyError(1)
        self._size += size
        try:
            yield
        finally:
            self._size -= size

    @property
    def waiting_spans(self) -> int:
        """How many spans wait to be judged."""
        return self._ledger.waiting

    async def take(self, body: Body) -> Counter[Rejection]:
        """Record the spans of a body; when this returns they are in the files of their traces.

        Raises MalformedMessageError, MessageTooLargeError or OSError.
        """
        recorded: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        self._bodies.put_nowait((body, recorded))
        return (await recorded).rejections

    async def _record_all(self) -> None:
        """Record what has come; bodies that came meanwhile are recorded in one go."""
        while True:
            waiting = [await self._bodies.get()]
            while len(waiting) < _MOST_BODIES and not self._bodies.empty():
                waiting.append(self._bodies.get_nowait())
            bodies = [body for body, _ in waiting]
            outcomes = await self._in_thread(self._ledger.record_all, bodies)
            for (body, recorded), outcome in zip(waiting, outcomes, strict=True):
                if isinstance(outcome, Recorded):
                    self._note_recorded(body, outcome)
                if recorded.done():
                    pass  # Its client has gone; the spans stay.
                elif isinstance(outcome, Recorded):
                    recorded.set_result(outcome)
                else:
                    recorded.set_exception(outcome)

    def _note_recorded(self, body: Body, recorded: Recorded) -> None:
        for trace in recorded.traces:
            self.growing.note_change(trace)
            self._schedule(trace)
        if self.forwarding is not None and not body.is_whole:  # a backend gave what is whole
            for line in recorded.lines:
                self.forwarding.put(line)

    async def find(self, trace_id: str) -> Path | None:
        """The file of a received trace, if there is one."""
        return await self._in_thread(self._files.find, trace_id)

    async def _in_thread(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, functools.partial(function, *args, **kwargs)
        )

    def _wait_s(self) -> int:
        """After how many seconds there is room again."""
        excess = self._ledger.waiting - _ROOM * self.limits.waiting
        wait = excess / self._line.spans_per_s
        if self._line.spans < excess and self._alarms:
            # Some of it waits for spans that have not come; once it is quiet it makes room.
            until_due = self._alarms[0][0] - time.monotonic()
            wait = max(wait, min(until_due, self.limits.settle_s) + 1)
        return min(max(math.ceil(wait), 1), _LONGEST_WAIT_S)

    def _make_room(self) -> None:
        """Have those judged that wait for what may never come; late spans change the verdict."""
        now = time.monotonic()
        if now < self._make_room_at:
            return
        self._make_room_at = now + _MAKE_ROOM_EVERY_S
        quiet = [
            trace
            for trace in self._ledger.all_growing()
            if not trace.in_line and trace.changed + self.limits.settle_s <= now
        ]
        excess = self._ledger.waiting - _ROOM * self.limits.waiting - self._line.spans
        for trace in sorted(quiet, key=lambda each: each.changed):
            if excess <= 0:
                return
            excess -= trace.spans
            trace.alarm = None
            self._line.put(trace)

    def _schedule(self, trace: GrowingTrace) -> None:
        """Put a trace in line if it is to be judged, else set an alarm for when it is."""
        self._first_spans.set()
        if trace.in_line:
            return  # it is looked at again when it was judged
        due = trace.due(self.limits.settle_s)
        if due <= time.monotonic():
            trace.alarm = None
            self._line.put(trace)
        elif trace.alarm is None or due < trace.alarm:
            trace.alarm = due
            # By id: a trace that is judged long before does not stay in memory.
            heapq.heappush(self._alarms, (due, trace.trace_id))
            self._alarm_set.set()

    async def _ring(self) -> None:
        """Look at each trace when its alarm is due."""
        while True:
            self._alarm_set.clear()
            wait = self._alarms[0][0] - time.monotonic() if self._alarms else None
            with contextlib.suppress(TimeoutError):
                if wait is None or wait > 0:
                    await asyncio.wait_for(self._alarm_set.wait(), wait)
            while self._alarms and self._alarms[0][0] <= time.monotonic():
                due, trace_id = heapq.heappop(self._alarms)
                trace = self._ledger.growing(trace_id)
                if trace is not None and trace.alarm == due:
                    trace.alarm = None
                    self._schedule(trace)

    async def _load(self) -> None:
        await self._first_spans.wait()
        try:
            await self._line.load()
        except OSError as error:
            _LOG.warning("The process that judges received traces does not start: %s", error)

    async def _settle(self, judged: Sequence[tuple[GrowingTrace, int]]) -> Sequence[bool]:
        kept, gone = await self._in_thread(self._ledger.settle, judged)
        await self._forget(gone)
        return kept

    def _note_judged(
        self, trace: GrowingTrace, verdict: StoredVerdict | None, is_kept: bool
    ) -> None:
        self._judgement.set()
        self.growing.note_judged(trace, verdict)
        if not is_kept:
            self._schedule(trace)  # late spans came meanwhile

    async def _forget(self, trace_ids: list[str]) -> None:
        if trace_ids:
            await self._store.forget_verdicts_of(trace_ids)

    async def _take_up(self, trace_ids: list[str], *, is_whole: bool = False) -> None:
        for trace_id in trace_ids:
            trace = await self._in_thread(self._ledger.take_up, trace_id)
            if trace.size:
                trace.is_whole |= is_whole
                self._schedule(trace)
            else:
                await self._in_thread(self._ledger.discard, trace)

    async def _judge_again(self) -> None:
        """Put judged traces in line whose verdicts a lost store lacks, a few at a time."""
        try:
            in_store = await self._store.judged_traces()
            in_files = await self._in_thread(self._ledger.judged)
            lacking = [trace_id for trace_id in in_files if trace_id not in in_store]
            if lacking:
                _LOG.warning(
                    "Received traces whose verdicts the store lacked, judged again: %d.",
                    len(lacking),
                )
            for trace_id in lacking:
                while self._ledger.waiting >= _ROOM_TO_JUDGE_AGAIN * self.limits.waiting:
                    self._judgement.clear()
                    await self._judgement.wait()
                if self._ledger.growing(trace_id) is None:  # no late spans have come
                    await self._take_up([trace_id], is_whole=True)
        except (StoreUnavailableError, OSError) as error:
            _LOG.warning("The next start judges traces again whose verdicts are lost: %s", error)

    async def _forget_old(self) -> None:
        while True:
            try:
                await self._forget(await self._in_thread(self._ledger.forget_old))
            except (StoreUnavailableError, OSError) as error:
                _LOG.warning("Old received traces are not deleted: %s", error)
            await asyncio.sleep(_EVERY_S)

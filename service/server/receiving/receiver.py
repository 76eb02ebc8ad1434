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
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from trading_graph.otel.redaction import Redactor
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.documents.verdict import unjudged_document
from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.server.judging import LIMITS, Limits
from trading_graph.service.server.receiving.batches import Rejection
from trading_graph.service.server.receiving.errors import ReceiverBusyError
from trading_graph.service.server.receiving.growing import GrowingTrace
from trading_graph.service.server.receiving.judge_process import Judged
from trading_graph.service.server.receiving.judges import JudgeProcess, UnjudgedError
from trading_graph.service.server.receiving.ledger import Ledger, ReceiverLimits
from trading_graph.service.server.receiving.message import Message
from trading_graph.service.server.receiving.trace_files import TraceFiles
from trading_graph.service.store import Store, StoredVerdict, now

_LOG = logging.getLogger(__name__)

FOLDER = "received"
_EVERY_S = 3_600.0
_AGAIN_S = 5.0
"""After this time a verdict that could not be stored is made again."""
_FIRST_RATE = 5_000.0
"""How many spans a second are judged, as long as nothing was measured."""
_MEASURED = 64
_LONGEST_WAIT_S = 600
_ROOM = 0.8
"""A sender that was refused comes back when so much of the limit is taken."""

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
    ) -> None:
        self._store = store
        self._files = TraceFiles(out.absolute() / FOLDER)
        self._ledger = Ledger(self._files, limits, redactor)
        self.limits = limits
        self._judges = [JudgeProcess(environment, process_limits) for _ in range(limits.judges)]
        self._thread = ThreadPoolExecutor(1, "receiver")
        self._bodies = 0
        self._line: asyncio.Queue[tuple[GrowingTrace, int]] = asyncio.Queue()
        self._idle: asyncio.LifoQueue[JudgeProcess] = asyncio.LifoQueue()
        self._spans_in_line = 0
        self._alarms: list[tuple[float, str]] = []
        self._alarm_set = asyncio.Event()
        self._first_spans = asyncio.Event()
        self._speeds: deque[tuple[int, float]] = deque(maxlen=_MEASURED)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take up what an earlier process received and did not judge; raises OSError."""
        unjudged = await self._in_thread(self._ledger.open)
        works = (
            self._judge_all(),
            self._ring(),
            self._take_up(unjudged),
            self._forget_old(),
        )
        self._tasks = [asyncio.create_task(work, name="receiver") for work in works]

    async def close(self) -> None:
        """Stop judging; what is not judged stays in its files for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for judge in self._judges:
            await judge.close()
        await asyncio.to_thread(self._thread.shutdown)

    @contextlib.contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Room for a body of a size while it is read; raises ReceiverBusyError."""
        if self._ledger.waiting >= self.limits.waiting:
            raise ReceiverBusyError(self._wait_s())
        if self._bodies + size > self.limits.bodies:
            raise ReceiverBusyError(1)
        self._bodies += size
        try:
            yield
        finally:
            self._bodies -= size

    async def take(
        self, body: bytes, encoding: str, decode: Callable[[bytes], Message]
    ) -> Counter[Rejection]:
        """Record the spans of a body; when this returns they are in the files of their traces.

        Raises MalformedMessageError, MessageTooLargeError or OSError.
        """
        changed, rejections = await self._in_thread(self._ledger.record, body, encoding, decode)
        for trace in changed:
            self._schedule(trace)
        return rejections

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
        rate = _FIRST_RATE
        if self._speeds:
            judged, seconds = map(sum, zip(*self._speeds, strict=True))
            rate = judged / seconds * len(self._judges)
        wait = excess / rate
        if self._spans_in_line < excess and self._alarms:
            # Some of it waits for spans that have not come.
            wait = max(wait, self._alarms[0][0] - time.monotonic() + 1)
        return min(max(math.ceil(wait), 1), _LONGEST_WAIT_S)

    def _schedule(self, trace: GrowingTrace) -> None:
        """Put a trace in line if it is to be judged, else set an alarm for when it is."""
        self._first_spans.set()
        if trace.in_line:
            return  # it is looked at again when it was judged
        due = trace.due(self.limits.settle_s)
        if due <= time.monotonic():
            trace.in_line, trace.alarm = True, None
            self._spans_in_line += trace.spans
            self._line.put_nowait((trace, trace.spans))
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

    async def _judge_all(self) -> None:
        """Give each trace in line to an idle judge; the one that was busy last goes first."""
        for judge in reversed(self._judges):
            self._idle.put_nowait(judge)
        # A trace takes a while to end; a process loads meanwhile.
        await self._first_spans.wait()
        await self._judges[0].start()
        async with asyncio.TaskGroup() as group:
            while True:
                trace, spans = await self._line.get()
                judge = await self._idle.get()
                group.create_task(self._judge_next(judge, trace, spans))

    async def _judge_next(self, judge: JudgeProcess, trace: GrowingTrace, spans: int) -> None:
        is_kept = False
        try:
            is_kept = await self._judge(judge, trace)
        except (StoreUnavailableError, OSError) as error:
            _LOG.warning("A received trace is judged again later: %s", error)
            await asyncio.sleep(_AGAIN_S)
        except Exception as error:
            # One bad trace must not end the judging of all others.
            _LOG.error("Judging the received trace %s failed", trace.trace_id, exc_info=error)
            await asyncio.sleep(_AGAIN_S)
        finally:
            self._idle.put_nowait(judge)
        trace.in_line = False
        self._spans_in_line -= spans
        if not is_kept:
            self._schedule(trace)

    async def _judge(self, judge: JudgeProcess, trace: GrowingTrace) -> bool:
        """Judge a trace as far as it has come, store the verdict, and keep the file.

        Returns false if late spans came meanwhile.
        """
        trace_id, size, spans, began = trace.trace_id, trace.size, trace.spans, time.monotonic()
        path = self._files.growing(trace_id)
        try:
            judged = await judge.judge(trace_id, path, size)
        except UnjudgedError as error:
            document = encode(unjudged_document(trace_id, spans, str(error)))
            judged = Judged(document, None, "", "trace", now(), None)
        if not judged.derived and not await self._store.runs_of_trace(trace_id):
            await self._store.keep_verdict(_stored(trace_id, judged))
        gone = await self._in_thread(self._ledger.settle, trace, size)
        self._speeds.append((spans, time.monotonic() - began))
        if gone is None:
            return False
        await self._forget(gone)
        return True

    async def _forget(self, trace_ids: list[str]) -> None:
        for trace_id in trace_ids:
            await self._store.forget_verdict(trace_id)

    async def _take_up(self, trace_ids: list[str]) -> None:
        for trace_id in trace_ids:
            trace = await self._in_thread(self._ledger.take_up, trace_id)
            if trace.size:
                self._schedule(trace)
            else:
                await self._in_thread(self._ledger.discard, trace)

    async def _forget_old(self) -> None:
        while True:
            try:
                await self._forget(await self._in_thread(self._ledger.forget_old))
            except (StoreUnavailableError, OSError) as error:
                _LOG.warning("Old received traces are not deleted: %s", error)
            await asyncio.sleep(_EVERY_S)


def _stored(trace_id: str, judged: Judged) -> StoredVerdict:
    return StoredVerdict(
        id=trace_id,
        trace_id=trace_id,
        service=judged.service,
        name=judged.name,
        started=judged.started,
        seconds=judged.seconds,
        passed=judged.passed,
        judged=now(),
        document=judged.document,
    )

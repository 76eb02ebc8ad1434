"""Traces that have ended, on their way to a verdict: judged, stored, their files kept.

Processes judge them, several small ones at a time; a batch of verdicts is stored by one transaction
and its files move in one step of the receiver's thread. So a trace costs little beside its judging.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.documents.verdict import unjudged_document
from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.server.judging import Limits
from trading_graph.service.server.receiving.growing import GrowingTrace
from trading_graph.service.server.receiving.judge_process import Judged, Task
from trading_graph.service.server.receiving.judges import JudgeProcess, UnjudgedError
from trading_graph.service.store import Store, StoredVerdict, now

_LOG = logging.getLogger(__name__)

_MOST_TRACES = 32
_MOST_BYTES = 2**20
"""What is judged as one batch, in bytes of files; a larger trace is judged by itself."""
_AGAIN_S = 5.0
"""After this time a verdict that could not be stored is made again."""
_WORTH_A_PROCESS_S = 2.0
"""With so much work in line a further process helps; to start one takes half a second of CPU."""
_FIRST_RATE = 5_000.0
"""How many spans a second are judged, as long as nothing was measured."""
_MEASURED = 64

Settle = Callable[[Sequence[tuple[GrowingTrace, int]]], Awaitable[Sequence[bool]]]
"""Keeps the files of traces that were judged at a size; false for one that has grown since."""


class JudgingLine:
    """The traces that have ended and have no verdict yet, and the processes that judge them.

    `settle` is asked when verdicts are stored, and `done` told of each trace with its verdict and
    whether its file is kept; without a verdict, judging or storing failed.
    """

    def __init__(
        self,
        store: Store,
        path_of: Callable[[str], Path],
        settle: Settle,
        done: Callable[[GrowingTrace, StoredVerdict | None, bool], None],
        *,
        environment: Mapping[str, str],
        limits: Limits,
        processes: int,
    ) -> None:
        self._store = store
        self._path_of = path_of
        self._settle = settle
        self._done = done
        self._judges = [JudgeProcess(environment, limits) for _ in range(processes)]
        self._idle = list(reversed(self._judges))
        self._is_idle = asyncio.Event()
        self._line: deque[GrowingTrace] = deque()
        self._filled = asyncio.Event()
        self._speeds: deque[tuple[int, float]] = deque(maxlen=_MEASURED)
        self.spans = 0
        """The number of spans in line, and of those that are being judged."""

    @property
    def spans_per_s(self) -> float:
        """How many spans all processes judge a second, as far as that was measured."""
        if not self._speeds:
            return _FIRST_RATE
        judged, seconds = map(sum, zip(*self._speeds, strict=True))
        return judged / seconds * len(self._judges)

    def put(self, trace: GrowingTrace) -> None:
        """Put a trace in line."""
        trace.in_line = True
        self._line.append(trace)
        self.spans += trace.spans
        self._filled.set()
        self._is_idle.set()  # there may be enough for a further process

    async def load(self) -> None:
        """Start a process, since it loads while the first trace goes on; raises OSError."""
        await self._judges[0].start()

    async def run(self) -> None:
        """Give what is in line to idle processes; the one that was busy last goes first."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._filled.wait()
                judge = await self._idle_judge()
                group.create_task(self._judge_next(judge, self._next_batch()))

    async def _idle_judge(self) -> JudgeProcess:
        while True:
            if self._idle and (self._idle[-1].runs or self._needs_help()):
                return self._idle.pop()
            self._is_idle.clear()
            await self._is_idle.wait()

    def _needs_help(self) -> bool:
        """Whether a process is to be started beside those that are busy."""
        none_is_busy = len(self._idle) == len(self._judges)
        return none_is_busy or self.spans > self.spans_per_s * _WORTH_A_PROCESS_S

    async def close(self) -> None:
        """End the processes."""
        for judge in self._judges:
            await judge.close()

    def _next_batch(self) -> list[GrowingTrace]:
        batch = [self._line.popleft()]
        size = batch[0].size
        while self._line and len(batch) < _MOST_TRACES:
            size += self._line[0].size
            if size > _MOST_BYTES:
                break
            batch.append(self._line.popleft())
        if not self._line:
            self._filled.clear()
        return batch

    async def _judge_next(self, judge: JudgeProcess, traces: list[GrowingTrace]) -> None:
        spans, began = sum(trace.spans for trace in traces), time.monotonic()
        outcomes: Sequence[tuple[StoredVerdict | None, bool]] = [(None, False)] * len(traces)
        try:
            outcomes = await self._judge(judge, traces)
            self._speeds.append((spans, time.monotonic() - began))
        except (StoreUnavailableError, OSError) as error:
            _LOG.warning("Received traces are judged again later: %s", error)
            await asyncio.sleep(_AGAIN_S)
        except Exception as error:
            # One bad trace must not end the judging of all others.
            ids = ", ".join(trace.trace_id for trace in traces)
            _LOG.error("Judging received traces failed: %s", ids, exc_info=error)
            await asyncio.sleep(_AGAIN_S)
        finally:
            self._idle.append(judge)
            self._is_idle.set()
            self.spans -= spans
        for trace, (verdict, is_kept) in zip(traces, outcomes, strict=True):
            trace.in_line = False
            self._done(trace, verdict, is_kept)

    async def _judge(
        self, judge: JudgeProcess, traces: list[GrowingTrace]
    ) -> list[tuple[StoredVerdict | None, bool]]:
        """Judge traces as far as they have come, store the verdicts, and keep the files."""
        sizes = [trace.size for trace in traces]
        verdicts = [
            None if judged.derived else _stored(trace, judged)
            for trace, judged in zip(traces, await self._judged(judge, traces), strict=True)
        ]
        own = await self._store.traces_of_runs([trace.trace_id for trace in traces])
        verdicts = [each if each and each.trace_id not in own else None for each in verdicts]
        await self._store.keep_verdicts([each for each in verdicts if each is not None])
        kept = await self._settle(list(zip(traces, sizes, strict=True)))
        return list(zip(verdicts, kept, strict=True))

    async def _judged(self, judge: JudgeProcess, traces: list[GrowingTrace]) -> list[Judged]:
        tasks = [
            Task(each.trace_id, str(self._path_of(each.trace_id)), each.size) for each in traces
        ]
        try:
            return await judge.judge(tasks)
        except UnjudgedError as error:
            if len(traces) == 1:
                document = unjudged_document(traces[0].trace_id, traces[0].spans, str(error))
                return [Judged(encode(document), None, "", "trace", now(), None)]
        # One of them exceeds a limit; the others get their verdicts.
        return [each for trace in traces for each in await self._judged(judge, [trace])]


def _stored(trace: GrowingTrace, judged: Judged) -> StoredVerdict:
    return StoredVerdict(
        id=trace.trace_id,
        trace_id=trace.trace_id,
        service=trace.service or judged.service,
        name=judged.name,
        started=judged.started,
        seconds=judged.seconds,
        passed=judged.passed,
        judged=now(),
        document=judged.document,
    )

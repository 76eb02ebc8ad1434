"""The queue of runs: some are made at once, some wait in line, and none is lost.

A run is stored before its request is answered. A service that starts again first resumes the runs
that were under way when it stopped, then makes the queued ones in their order.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.run.folder import RunFolder, bring_up
from trading_graph.service.run.unbroken import Unbroken
from trading_graph.service.server.disk_room import DiskRoom
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.run_durations import FIRST_GUESS_S, RunDurations
from trading_graph.service.server.run_events import (
    Publish,
    RunEvent,
    RunEvents,
    end_event,
    read_events,
)
from trading_graph.service.store import RunFiles, RunState, Store, StoredRun, now

_LOG = logging.getLogger(__name__)

MOST_KILLS = 3
_PARKED = (
    "The process of the service died three times while this run was under way, so the run is not "
    "begun again; see its trace, and try it once more with: trading-graph run --resume {id}"
)
_LOOK_S = 5.0
"""How often a full disk is looked at again, in seconds."""


class QueueFullError(Problem):
    """The line is full; in `wait_s` a place is likely to be free, to judge by `known` runs."""

    def __init__(self, waiting: int, wait_s: float, known: int) -> None:
        retry_after_s = max(1, math.ceil(wait_s))
        basis = (
            f"runs take as long as the last {known}"
            if known
            else (f"a run takes {FIRST_GUESS_S:g} s, since none has ended yet")
        )
        super().__init__(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"{waiting} runs wait already; ask again in {retry_after_s} s: by then one of those "
            f"under way has ended in four cases of five, if {basis}.",
            headers={"Retry-After": str(retry_after_s)},
        )
        self.wait_s = wait_s


class QueueClosingError(Problem):
    """The service is stopping and takes no new runs."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The service is stopping; ask again when it has started.",
            headers={"Retry-After": "10"},
        )


class IdempotencyConflictError(Problem):
    """The idempotency key was used before with another request."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.CONFLICT,
            "This Idempotency-Key was sent with another request; send a new one.",
        )


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The columns of a run that is done: its decision in short, and its verdict."""

    seconds: float
    action: str
    confidence: float
    degraded: bool
    passed: bool | None
    langsmith: str | None


MakesRuns = Callable[[StoredRun, RunEvents], Awaitable[RunOutcome]]
"""Makes one run, or resumes it where an earlier process left it (`resumed` > 0); raises what ended
it."""


JudgesParts = Callable[[StoredRun, RunEvents], Awaitable[bool | None]]
"""Judges what a run has recorded that failed or was cancelled; None where there is no verdict."""


@dataclass(slots=True)
class _QueuedRun:
    """A run that is not over; `task` makes it, since `began`."""

    run: StoredRun
    events: RunEvents
    task: asyncio.Task[None] | None = None
    began: float = 0.0
    cancelled: bool = False
    ending: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


class RunQueue:
    """The queue of one service: `at_once` runs are made at the same time, `in_line` may wait."""

    def __init__(
        self,
        store: Store,
        files: RunFiles,
        out: Path,
        room: DiskRoom,
        explain: Callable[[Exception], str],
        *,
        at_once: int,
        in_line: int,
        publish: Publish | None = None,
        note_end: Callable[[StoredRun], None] = lambda run: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._files = files
        self._out = out
        self._room = room
        self._explain = explain
        self._at_once = at_once
        self._in_line = in_line
        self._publish = publish
        self._note_end = note_end
        self._live: dict[str, _QueuedRun] = {}
        self._line: asyncio.Queue[_QueuedRun] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._turn = asyncio.Lock()
        self._changing = asyncio.Lock()
        self._admission = asyncio.Lock()
        self._unbroken = Unbroken()
        self._closing = False
        self._clock = clock
        self._durations = RunDurations()
        self._judge: JudgesParts | None = None

    @property
    def running(self) -> int:
        """How many runs are being made."""
        return sum(live.task is not None for live in self._live.values())

    @property
    def waiting(self) -> int:
        """How many runs wait."""
        return len(self._live) - self.running

    @property
    def oldest(self) -> float | None:
        """When the first run that waits was asked for, in seconds since the epoch."""
        waiting = (live.run.created for live in self._live.values() if live.task is None)
        return min(waiting, default=None)

    @property
    def closing(self) -> bool:
        """Whether the service is stopping."""
        return self._closing

    @property
    def begun(self) -> bool:
        """Whether runs are being made already."""
        return bool(self._workers)

    async def take_up(self) -> None:
        """Queue the runs that an earlier process left, and learn from those that ended in it.

        Raises StoreUnavailableError.
        """
        ended = await self._store.runs(states=(RunState.DONE, RunState.FAILED))
        for run in reversed(ended):
            if run.started is not None and run.ended is not None and not run.resumed:
                self._durations.add(run.ended - run.started)
        unfinished = await self._store.runs(states=(RunState.RUNNING, RunState.QUEUED), limit=None)
        for run in sorted(
            unfinished, key=lambda run: (run.state is not RunState.RUNNING, run.created)
        ):
            self._admit(run, await asyncio.to_thread(self._told, run))

    def _told(self, run: StoredRun) -> list[RunEvent]:
        """What an earlier process has told of a run. Blocks."""
        folder = RunFolder(self._out, run.id)
        bring_up(folder.path)
        return read_events(run, folder)

    def begin(self, make: MakesRuns, judge: JudgesParts | None = None) -> None:
        """Begin to make runs, unless the service is stopping; before that all of them wait."""
        if self._closing:
            return
        self._judge = judge
        for number in range(self._at_once):
            self._workers.append(asyncio.create_task(self._work(make), name=f"runs {number}"))

    async def submit(self, run: StoredRun) -> tuple[StoredRun, bool]:
        """Queue a new run and return it with true, or the earlier one of its key with false.

        Raises QueueFullError, QueueClosingError, IdempotencyConflictError or
        StoreUnavailableError: then nothing is queued.
        """
        return await self._unbroken.do(self._submit(run))

    async def _submit(self, run: StoredRun) -> tuple[StoredRun, bool]:
        async with self._admission:
            if run.idempotency_key is not None:
                earlier = await self._store.run_of_key(run.idempotency_key)
                if earlier is not None:
                    if earlier.request != run.request:
                        raise IdempotencyConflictError
                    return earlier, False
            if self._closing:
                raise QueueClosingError
            if len(self._live) >= self._at_once + self._in_line:
                raise QueueFullError(self.waiting, self._next_place_s(), len(self._durations))
            await self._write(run)
            await self._store.add(run)
            self._admit(run)
            self._tell(run)
            return run, True

    async def cancel(self, run_id: str) -> None:
        """Cancel a run that waits or is being made; returns when it is over."""
        live = self._live.get(run_id)
        if live is None:
            return
        if not live.cancelled:
            live.cancelled = True
            await self._unbroken.do(self._stop(live))
        await live.over.wait()

    async def _stop(self, live: _QueuedRun) -> None:
        if live.task is not None and not live.ending:
            live.task.cancel()
            await asyncio.wait([live.task])
        if not live.ending:
            await self._end(live, RunState.CANCELLED)

    def run(self, run_id: str) -> StoredRun | None:
        """A run that is not over, as it is stored."""
        live = self._live.get(run_id)
        return live.run if live else None

    def events(self, run_id: str) -> RunEvents | None:
        """The events of a run that is not over."""
        live = self._live.get(run_id)
        return live.events if live else None

    def last_events(self) -> Mapping[str, int]:
        """The runs that are not over, each with the number of its last event."""
        return {run_id: len(live.events.told) for run_id, live in self._live.items()}

    async def drain(self, within_s: float) -> bool:
        """Start no more runs, and wait for those under way; false if they take longer."""
        self._closing = True
        for worker in self._workers:
            worker.cancel()
        tasks = [live.task for live in self._live.values() if live.task is not None]
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=within_s)
        return not late

    async def close(self) -> None:
        """Stop; the next start resumes the runs that are not over."""
        self._closing = True
        tasks = [*self._workers, *(live.task for live in self._live.values() if live.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._unbroken.settle()
        for live in self._live.values():
            await live.events.end()
            if live.task is not None and live.run.kills:
                with contextlib.suppress(StoreUnavailableError):
                    await self._change(live, kills=live.run.kills - 1)
        self._live.clear()

    def _admit(self, run: StoredRun, told: Sequence[RunEvent] = ()) -> None:
        events = RunEvents(run.id, told, self._publish)
        live = self._live[run.id] = _QueuedRun(run, events)
        self._line.put_nowait(live)

    def _tell(self, run: StoredRun) -> None:
        """Publish the state of a run."""
        if self._publish is not None:
            state, passed = str(run.state), run.passed
            news = {"run_id": run.id, "state": state, "symbol": run.symbol, "passed": passed}
            self._publish("run", news)

    async def _work(self, make: MakesRuns) -> None:
        while True:
            async with self._turn:  # so that they begin in their order
                live = await self._line.get()
                await self._wait_for_room()
                if live.cancelled:
                    continue
                live.began = self._clock()
                live.task = asyncio.create_task(
                    self._make_one(live, make), name=f"run {live.run.id}"
                )
            await asyncio.wait([live.task])

    async def _wait_for_room(self) -> None:
        """Wait while the disk is full."""
        problem = await asyncio.to_thread(lambda: self._room.problem)
        if problem is None:
            return
        _LOG.warning("%s", problem)
        while problem is not None:
            await asyncio.sleep(_LOOK_S)
            problem = await asyncio.to_thread(lambda: self._room.problem)
        _LOG.info("There is room on the disk again; runs begin.")

    async def _make_one(self, live: _QueuedRun, make: MakesRuns) -> None:
        live.events.start()
        try:
            if live.run.kills >= MOST_KILLS:
                await self._end(live, RunState.FAILED, error=_PARKED.format(id=live.run.id))
                return
            await self._begin(live)
            outcome = await make(live.run, live.events)
        # A run that `close` cancels stays as it is stored; one that `_stop` cancels ends there.
        except Exception as error:
            _LOG.warning("Run %s failed: %r", live.run.id, error)
            self._durations.add(self._clock() - live.began)
            await self._end(live, RunState.FAILED, error=self._explain(error))
        else:
            self._durations.add(self._clock() - live.began)
            await self._end(live, RunState.DONE, **asdict(outcome))

    async def _begin(self, live: _QueuedRun) -> None:
        resumed = live.run.resumed + (live.run.state is RunState.RUNNING)
        # Taken back by whoever stops the service: only a process that dies leaves it.
        changed: dict[str, Any] = {
            "state": RunState.RUNNING,
            "resumed": resumed,
            "kills": live.run.kills + 1,
        }
        if live.run.started is None:
            changed["started"] = now()
        await self._unbroken.do(self._change(live, **changed))
        self._tell(live.run)

    async def _end(self, live: _QueuedRun, state: RunState, **result: Any) -> None:
        live.ending = True
        await self._unbroken.do(self._store_end(live, state, **result))

    async def _store_end(self, live: _QueuedRun, state: RunState, **result: Any) -> None:
        # The clock may have been set back since.
        ended = max(now(), live.run.started or live.run.created)
        if state is not RunState.DONE:
            result |= await self._verdict_on_part(live)
        try:
            await self._change(live, state=state, ended=ended, **result)
        except StoreUnavailableError as error:
            # It is over all the same: the next start sees that in its folder.
            _LOG.error("The end of run %s could not be stored: %s", live.run.id, error)
        live.events.add(end_event(live.run))
        try:
            await live.events.end()
        finally:
            self._live.pop(live.run.id, None)
            live.over.set()
            self._tell(live.run)
            self._note_end(live.run)

    async def _verdict_on_part(self, live: _QueuedRun) -> dict[str, Any]:
        """The result of the verdict on what a run did that has not come to its end."""
        if self._judge is None or live.run.started is None:
            return {}
        try:
            return {"passed": await self._judge(live.run, live.events)}
        except Exception as error:
            # Its state is stored all the same.
            _LOG.error("What run %s recorded cannot be judged", live.run.id, exc_info=error)
            return {}

    async def _change(self, live: _QueuedRun, **columns: Any) -> None:
        """Change a run in its record, then in the store; raises StoreUnavailableError."""
        async with self._changing:  # one after the other, as they came
            live.run = replace(live.run, **columns)
            await self._write(live.run)
            await self._store.change(live.run.id, **columns)

    async def _write(self, run: StoredRun) -> None:
        """Write the record of a run; raises StoreUnavailableError."""
        try:
            await asyncio.to_thread(self._files.write, run)
        except OSError as error:
            reason = error.strerror or error
            raise StoreUnavailableError(
                f"The record of the run {run.id} cannot be written: {reason}; make room, or mend "
                "its folder."
            ) from error

    def _next_place_s(self) -> float:
        """When a run under way will have ended, so that the first in line makes room."""
        now = self._clock()
        ages = [now - live.began for live in self._live.values() if live.task is not None]
        return self._durations.next_end_s(ages or [0.0] * self._at_once)

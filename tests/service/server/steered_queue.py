"""A queue of runs whose maker a test steers."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tests.patience import PATIENCE_S
from trading_graph.otel.spans import uuid7
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.disk_room import DiskRoom
from trading_graph.service.server.run_events import (
    RunEvents,
    RunStarted,
)
from trading_graph.service.server.run_queue import (
    RunOutcome,
    RunQueue,
)
from trading_graph.service.store import (
    RunFiles,
    RunState,
    Store,
    StoredRun,
    now,
)

SECONDS = 2.0
"""For how long a run says that it took."""


class Maker:
    """Makes runs by name: one of a name that was put in `held` waits until it is released."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.resumed: list[int] = []
        self.held: dict[str, asyncio.Event] = {}
        self.at_once = 0
        self.most_at_once = 0

    def hold(self, *names: str) -> None:
        for name in names:
            self.held[name] = asyncio.Event()

    def release(self, *names: str) -> None:
        for name in names or tuple(self.held):
            self.held[name].set()

    async def __call__(self, run: StoredRun, events: RunEvents) -> RunOutcome:
        self.began.append(run.symbol)
        self.resumed.append(run.resumed)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        events.add(RunStarted(start=now(), span_id="1", name=run.symbol))
        try:
            if run.symbol in self.held:
                await self.held[run.symbol].wait()
            if run.symbol.startswith("BAD"):
                raise ValueError("the model said no")
        finally:
            self.at_once -= 1
        return RunOutcome(SECONDS, "BUY", 0.5, False, True, None)


def queue_of(
    store: Store,
    *,
    at_once: int,
    in_line: int,
    clock: Callable[[], float] = time.monotonic,
    needed: int = 0,
) -> RunQueue:
    """A queue whose files are beside the store's."""
    out = folder_of(store)
    room = DiskRoom(out, needed)
    return RunQueue(
        store, RunFiles(out), out, room, str, at_once=at_once, in_line=in_line, clock=clock
    )


def folder_of(store: Store) -> Path:
    return Path(str(store._database._url.database)).parent


@contextlib.asynccontextmanager
async def queued(
    store: Store,
    maker: Maker,
    *,
    at_once: int = 1,
    in_line: int = 100,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[RunQueue]:
    queue = queue_of(store, at_once=at_once, in_line=in_line, clock=clock)
    await queue.take_up()
    queue.begin(maker)
    try:
        yield queue
    finally:
        await queue.drain(0)
        await queue.close()


def asked(symbol: str, key: str | None = None) -> StoredRun:
    run_id = uuid7().hex
    return StoredRun(
        id=run_id,
        request=RunRequest(symbol=symbol),
        symbol=symbol,
        date="2025-11-14",
        state=RunState.QUEUED,
        trace_id=run_id,
        traceparent=None,
        idempotency_key=key,
        created=now(),
    )


async def submitted(queue: RunQueue, *symbols: str) -> list[str]:
    return [(await queue.submit(asked(symbol)))[0].id for symbol in symbols]


async def state(store: Store, run_id: str) -> RunState:
    run = await store.run(run_id)
    assert run is not None
    return run.state


async def until(store: Store, run_id: str, *wanted: RunState) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await state(store, run_id) in wanted:
                return
            await asyncio.sleep(0.005)


async def emptied(queue: RunQueue) -> None:
    """Wait until nothing runs or waits: a run is kept as done before it leaves the queue."""
    while queue.running or queue.waiting:  # noqa: ASYNC110 - only tests wait for it.
        await asyncio.sleep(0.005)

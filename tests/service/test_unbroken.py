"""Work goes to its end where its caller is cancelled, and what nobody waits for is closed."""

import asyncio
import threading

import pytest

from tests.patience import PATIENCE_S
from trading_graph.service.run.unbroken import Unbroken, open_in_thread


async def test_a_cancelled_caller_ends_when_its_work_is_done() -> None:
    unbroken, begun, may_end, done = Unbroken(), asyncio.Event(), asyncio.Event(), list[str]()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        done.append("work")

    async def call() -> None:
        try:
            await unbroken.do(work())
        finally:
            done.append("caller")

    caller = asyncio.create_task(call())
    await begun.wait()
    caller.cancel()
    await asyncio.sleep(0)
    settled = asyncio.create_task(unbroken.settle())
    await asyncio.sleep(0)
    assert not caller.done()
    assert not settled.done()
    may_end.set()
    await settled
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == ["work", "caller"]


async def test_what_is_opened_for_a_cancelled_caller_is_closed() -> None:
    opening, may_open, closed = threading.Event(), threading.Event(), list[str]()

    def open_slowly() -> str:
        opening.set()
        may_open.wait(PATIENCE_S)
        return "file"

    caller = asyncio.create_task(open_in_thread(open_slowly, closed.append))
    await asyncio.to_thread(opening.wait, PATIENCE_S)
    caller.cancel()
    may_open.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert closed == ["file"]

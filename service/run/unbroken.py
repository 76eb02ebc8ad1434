"""Work that is not broken off in its middle, also where whoever asked for it is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def to_its_end(work: Awaitable[_T]) -> _T:
    """Do all of something; a caller that is cancelled in the middle is so when it is done."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def open_in_thread(open_: Callable[[], _T], close: Callable[[_T], object]) -> _T:
    """Open something in a thread; for a caller that is cancelled meanwhile it is closed again."""
    opening = asyncio.ensure_future(asyncio.to_thread(open_))
    try:
        return await to_its_end(opening)
    except asyncio.CancelledError:
        if opening.exception() is None:
            await asyncio.to_thread(close, opening.result())
        raise


class Unbroken:
    """What is done to its end, and can be waited for by others than its callers."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    async def do(self, work: Awaitable[_T]) -> _T:
        """Do all of something, as `to_its_end`."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await to_its_end(task)

    async def settle(self) -> None:
        """Wait until all of it is done."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

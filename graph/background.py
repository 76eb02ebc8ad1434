"""Work that a run does beside its graph: started by a node, owned by the run.

A node's own tasks end with the node, and LangGraph knows no others. What is started here goes on
while later nodes run, and is over before the run's span ends: else its spans would be missing from
the count that the run declares.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class Background:
    """The tasks beside one run; how they end is nobody's concern but their own spans'."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task below the current span; its error harms nobody."""
        self._tasks.add(asyncio.create_task(work))

    async def end(self) -> None:
        """Cancel what still runs, for nobody waits for it any more, and see it end."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        # An error that is fetched is not reported as forgotten: it stands on the task's span.
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """A place for work beside a run; at the end of the block no task of it is left."""
    found = Background()
    try:
        yield found
    finally:
        await found.end()

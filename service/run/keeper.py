"""Who keeps what runs need to be resumed: the process alone, or workers that share a database.

The keeper also knows whether the runs still belong to this process. One that was paused for long
may have lost them to another, and must not write what that one writes now.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.graph.checkpoints import Checkpoints, delete_checkpoints, open_checkpoints
from trading_graph.service.errors import NotResumableError
from trading_graph.service.run.folder import RunFolder


class RunKeeper(Protocol):
    """Keeps the checkpoints of runs."""

    def checkpoints(self, folder: RunFolder) -> AbstractAsyncContextManager[Checkpoints]:
        """Open the checkpoints of a run; raises CheckpointError or NotResumableError."""
        ...

    async def forget(self, folder: RunFolder) -> None:
        """Delete the checkpoints of a run that is over."""
        ...

    def assert_owned(self) -> None:
        """Return if the runs still belong to this process, which otherwise ends here."""
        ...


class FileKeeper:
    """Keeps checkpoints in the folders of the runs, which belong to this process to its end."""

    @asynccontextmanager
    async def checkpoints(self, folder: RunFolder) -> AsyncIterator[Checkpoints]:
        """Open the checkpoints of a run; raises CheckpointError or NotResumableError."""
        if await asyncio.to_thread(folder.checkpoints_elsewhere.exists):
            raise NotResumableError(
                f"The checkpoints of run {folder.path.name} are in the database of the workers "
                "that began it; leave it to trading-graph worker."
            )
        async with open_checkpoints(folder.checkpoints) as checkpoints:
            yield checkpoints

    async def forget(self, folder: RunFolder) -> None:
        """Delete the checkpoints of a run that is over."""
        await asyncio.to_thread(delete_checkpoints, folder.checkpoints)

    def assert_owned(self) -> None:
        """Return."""


class Ownership:
    """Asks before every start and end of a span whether the run still belongs to this process.

    A model call begins with its span, and a span is in the trace as soon as it ends: the first of a
    run's `SpanListener`s is the place to ask.
    """

    def __init__(self, keeper: RunKeeper) -> None:
        self._keeper = keeper

    def on_start(self, span: ReadableSpan) -> None:
        """Ask before anything is begun."""
        self._keeper.assert_owned()

    def on_end(self, span: ReadableSpan) -> None:
        """Ask before anything is recorded."""
        self._keeper.assert_owned()

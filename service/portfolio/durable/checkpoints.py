"""The keeper of a worker: checkpoints in the database that workers share, while its lease holds.

The session that has the worker's lock writes them, so that a worker without its lock writes none.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import OperationalError

from trading_graph.graph.checkpoints import Checkpoints, checkpoint_serde, open_checkpoints
from trading_graph.service.portfolio.durable.lease import PostgresLease
from trading_graph.service.run.folder import RunFolder
from trading_graph.service.run.keeper import FileKeeper


class PostgresCheckpoints(Checkpoints, AsyncPostgresSaver):
    """The checkpoints of one run in the database; a session that is gone is a lost lease."""

    def __init__(self, lease: PostgresLease) -> None:
        super().__init__(conn=lease.connection, serde=checkpoint_serde())
        self.lock = lease.turn
        # A transaction, unlike a pipeline, is ended by the server when nothing comes for long.
        self.supports_pipeline = False
        self._lost: Callable[[str], None] = lease.lost

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint."""
        try:
            return await super().aput(config, checkpoint, metadata, new_versions)
        except OperationalError as error:
            self._lost(str(error))
            raise

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store the writes of a node."""
        try:
            await super().aput_writes(config, writes, task_id, task_path)
        except OperationalError as error:
            self._lost(str(error))
            raise


class LeasedKeeper:
    """Keeps the checkpoints of a worker's runs in its database; a `RunKeeper`."""

    def __init__(self, lease: PostgresLease) -> None:
        self._lease = lease

    @asynccontextmanager
    async def checkpoints(self, folder: RunFolder) -> AsyncIterator[Checkpoints]:
        """Open the checkpoints of a run; those of a process that began it alone are in a file."""
        if await asyncio.to_thread(folder.checkpoints.exists):
            async with open_checkpoints(folder.checkpoints) as checkpoints:
                yield checkpoints
            return
        await asyncio.to_thread(folder.checkpoints_elsewhere.touch)
        yield PostgresCheckpoints(self._lease)

    async def forget(self, folder: RunFolder) -> None:
        """Delete the checkpoints of a run that is over."""
        await FileKeeper().forget(folder)
        thread = str(uuid.UUID(folder.path.name))
        try:
            await PostgresCheckpoints(self._lease).adelete_thread(thread)
        except OperationalError as error:
            self._lease.lost(str(error))
            raise
        await asyncio.to_thread(folder.checkpoints_elsewhere.unlink, missing_ok=True)

    def assert_owned(self) -> None:
        """Return if the lease holds; otherwise the process ends here."""
        if not self._lease.is_held():
            self._lease.lost("it was silent for too long")

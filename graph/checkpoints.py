"""Where a run keeps what its nodes have brought, so that another process can go on with it.

One SQLite file a run, beside its trace: it goes with the run, no run waits for another's commit,
and there is nothing to clean up but a file.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.errors import NotKept
from trading_graph.graph.state import Report, Statement, Usage
from trading_graph.toolkit.market_data import PriceLevels

_OURS = (
    Action,
    FinalDecision,
    PriceLevels,
    Report,
    ResearchPlan,
    Statement,
    TradeProposal,
    Usage,
)
"""What the state holds beside plain values: nothing else is made from a checkpoint."""

_BESIDE = ("", "-wal", "-shm")


class Checkpoints(AsyncSqliteSaver):
    """The checkpoints of one run; sealed, they keep nothing more.

    `on_kept` hears of each task whose writes are in the file. A run that is cancelled so that
    another process can go on with it would else be kept as cancelled (seen with langgraph 1.2.22:
    what goes on from there ends at once).
    """

    sealed = False
    on_kept: Callable[[str], None] | None = None

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint."""
        if self.sealed:
            return config
        return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Keep what a node has brought."""
        if not self.sealed:
            await super().aput_writes(config, writes, task_id, task_path)
            if self.on_kept is not None:
                self.on_kept(task_id)


@asynccontextmanager
async def open_checkpoints(path: Path) -> AsyncIterator[Checkpoints]:
    """The checkpoints of one run in a file that is made if need be.

    Raises NotKept, also for what goes wrong with them during the block.
    """
    serde = JsonPlusSerializer(allowed_msgpack_modules=_OURS)
    try:
        async with aiosqlite.connect(path) as connection:
            checkpoints = Checkpoints(connection, serde=serde)
            await checkpoints.setup()
            # A process that is killed loses nothing that was written; only a machine that loses
            # its power would, and waiting for the disk at every step is dear.
            await connection.execute("PRAGMA synchronous=NORMAL")
            yield checkpoints
    except sqlite3.Error as error:
        raise NotKept(
            f"What the agents bring cannot be kept in {path}: {error}; make room there, or choose "
            "another folder with --out."
        ) from error


def delete_checkpoints(path: Path) -> None:
    """Delete a run's checkpoints, if there are any."""
    for suffix in _BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)

"""Checkpoints: what a run's nodes returned, stored so that another process can resume the run.

Each run has one SQLite file beside its trace. The file goes with the run, no run waits for the
commit of another, and deleting the file is all the cleanup. A run of several machines has its
checkpoints in their database (`service/portfolio/durable/checkpoints.py`).
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.errors import CheckpointError
from trading_graph.graph.holdings import SizeLimit, Unvalued, Valuation
from trading_graph.graph.state import Evidence, Report, Statement, Usage
from trading_graph.toolkit.chart_bars import ChartBars
from trading_graph.toolkit.market_data import PriceLevels
from trading_graph.toolkit.source_use import DataKind, SourceUse

_STATE_TYPES = (
    Action,
    DataKind,
    Evidence,
    FinalDecision,
    ChartBars,
    PriceLevels,
    Report,
    ResearchPlan,
    SizeLimit,
    SourceUse,
    Statement,
    TradeProposal,
    Unvalued,
    Usage,
    Valuation,
)
"""The classes of the state: no other class is ever instantiated from a checkpoint."""

_ERROR = "__error__"
"""LangGraph's channel for what a node raised, a cancellation included."""

_FILE_SUFFIXES = ("", "-wal", "-shm")


class Checkpoints(BaseCheckpointSaver[str]):
    """The checkpoints of one run, wherever they are; once `sealed`, they store nothing more.

    Seal them before you cancel a run that another process is to resume: else the checkpoints would
    say that it was cancelled, and the resumed run would end at once (seen with langgraph 1.2.22).
    `on_write` is called with the id of each task whose writes are in the file.
    """

    sealed = False
    on_write: Callable[[str], None] | None = None

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint."""
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
        """Store the writes of a node; an error is no result, so the node runs again."""
        writes = [write for write in writes if write[0] != _ERROR]
        if not self.sealed and writes:
            await super().aput_writes(config, writes, task_id, task_path)
            if self.on_write is not None:
                self.on_write(task_id)


class FileCheckpoints(Checkpoints, AsyncSqliteSaver):
    """The checkpoints of one run in a file of its own."""


def checkpoint_serde() -> JsonPlusSerializer:
    """What writes and reads the state of a run."""
    return JsonPlusSerializer(allowed_msgpack_modules=_STATE_TYPES)


@asynccontextmanager
async def open_checkpoints(path: Path) -> AsyncIterator[Checkpoints]:
    """Open the checkpoints of one run, in a file that is created if necessary.

    Raises CheckpointError, also for errors of the file during the block.
    """
    try:
        async with aiosqlite.connect(path) as connection:
            checkpoints = FileCheckpoints(connection, serde=checkpoint_serde())
            await checkpoints.setup()
            # Waiting for the disk at every step is expensive. A killed process loses no writes even
            # so; only a power failure can lose some.
            await connection.execute("PRAGMA synchronous=NORMAL")
            yield checkpoints
    except sqlite3.Error as error:
        raise CheckpointError(
            f"The run's checkpoints cannot be stored in {path}: {error}; make room there, or "
            "choose another folder with --out."
        ) from error


def delete_checkpoints(path: Path) -> None:
    """Delete a run's checkpoints, if there are any."""
    for suffix in _FILE_SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)

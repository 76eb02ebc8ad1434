"""Deletes old runs of the service, each with its row, its verdict and its folder.

Runs that somebody made at a terminal in the same folder are left alone.
"""

import asyncio
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.store.records import now
from trading_graph.service.store.run_files import RunFiles
from trading_graph.service.store.store import Store

_LOG = logging.getLogger(__name__)

_DAY_S = 86_400.0
_EVERY_S = 3_600.0
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Retention:
    """How long ended runs and verdicts are kept, and how much disk the runs' folders may take."""

    days: float
    gib: float | None = None


async def forget(store: Store, files: RunFiles, out: Path, keep: Retention) -> int:
    """Delete what is too old or too much; returns the number of runs.

    The oldest runs go first. A folder goes before its record: if the process is killed in between,
    the record still names the run. Raises StoreUnavailableError or OSError.
    """
    before = now() - keep.days * _DAY_S
    old = await store.ended_before(before)
    if keep.gib is not None:
        rest = [run_id for run_id in await store.ended_before(now()) if run_id not in set(old)]
        old = [*old, *await asyncio.to_thread(_beyond, out, rest, keep.gib * _GIB)]
    for run_id in old:
        await asyncio.to_thread(shutil.rmtree, out / run_id, ignore_errors=True)
        await store.forget(run_id)
        await asyncio.to_thread(files.delete, run_id)
    await store.forget_verdicts(before)
    if old:
        await store.shrink()
    return len(old)


def _beyond(out: Path, run_ids: Sequence[str], most: float) -> list[str]:
    """The oldest runs, without which the others take at most so many bytes."""
    sizes = [_size(out / run_id) for run_id in run_ids]
    surplus = sum(sizes) - most
    beyond = []
    for run_id, size in zip(run_ids, sizes, strict=True):
        if surplus <= 0:
            break
        beyond.append(run_id)
        surplus -= size
    return beyond


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("**/*") if file.is_file())


async def forget_old(store: Store, files: RunFiles, out: Path, keep: Retention) -> None:
    """Delete what is too old or too much, now and every hour, until cancelled."""
    while True:
        try:
            if gone := await forget(store, files, out, keep):
                _LOG.info("Old runs are deleted: %d.", gone)
        except (StoreUnavailableError, OSError) as error:
            _LOG.warning("Old runs are not deleted: %s", error)
        await asyncio.sleep(_EVERY_S)

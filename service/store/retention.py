"""Deletes old runs and portfolios of the service, each with all that is kept of it.

What somebody made at a terminal in the same folders is left alone.
"""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
    """How long runs, portfolios and verdicts are kept, and how much disk the first two may take."""

    days: float
    gib: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A run or a portfolio that ended at a time, in epoch seconds; what it takes, and its end."""

    at: float
    folders: Sequence[Path]
    delete: Callable[[], Awaitable[None]]


ListsEnded = Callable[[], Awaitable[Sequence[Ended]]]
"""Lists portfolios that are over; raises OSError."""


async def forget(
    store: Store, files: RunFiles, out: Path, keep: Retention, portfolios: ListsEnded
) -> int:
    """Delete what is too old or too much; returns how many runs and portfolios that were.

    The oldest go first. Raises StoreUnavailableError or OSError.
    """
    before = now() - keep.days * _DAY_S

    async def delete(run_id: str) -> None:
        # If the process is killed in between, the record still names the run.
        await asyncio.to_thread(shutil.rmtree, out / run_id, ignore_errors=True)
        await store.forget(run_id)
        await asyncio.to_thread(files.delete, run_id)

    runs = [
        Ended(at, [out / run_id], partial(delete, run_id))
        for run_id, at in await store.ended_before(now())
    ]
    ended = sorted([*runs, *await portfolios()], key=lambda each: each.at)
    old = [each for each in ended if each.at < before]
    if keep.gib is not None:
        old += await asyncio.to_thread(_beyond, ended[len(old) :], keep.gib * _GIB)
    for each in old:
        await each.delete()
    await store.forget_verdicts(before)
    if old:
        await store.shrink()
    return len(old)


def _beyond(ended: Sequence[Ended], most: float) -> list[Ended]:
    """The oldest, without which the others take at most so many bytes."""
    sizes = [sum(map(_size, each.folders)) for each in ended]
    surplus = sum(sizes) - most
    beyond = []
    for each, size in zip(ended, sizes, strict=True):
        if surplus <= 0:
            break
        beyond.append(each)
        surplus -= size
    return beyond


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("**/*") if file.is_file())


async def forget_old(
    store: Store, files: RunFiles, out: Path, keep: Retention, portfolios: ListsEnded
) -> None:
    """Delete what is too old or too much, now and every hour, until cancelled."""
    while True:
        try:
            if gone := await forget(store, files, out, keep, portfolios):
                _LOG.info("Old runs and portfolios are deleted: %d.", gone)
        except (StoreUnavailableError, OSError) as error:
            _LOG.warning("Old runs and portfolios are not deleted: %s", error)
        await asyncio.sleep(_EVERY_S)

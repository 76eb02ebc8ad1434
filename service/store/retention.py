"""Deletes old runs of the service, each with its row, its events, its verdict and its folder.

Runs that somebody made at a terminal in the same folder are left alone.
"""

import asyncio
import logging
import shutil
from pathlib import Path

from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.store.records import now
from trading_graph.service.store.store import Store

_LOG = logging.getLogger(__name__)

_DAY_S = 86_400.0
_EVERY_S = 3_600.0


async def forget(store: Store, out: Path, keep_days: float) -> int:
    """Delete what is too old; returns the number of runs. Raises StoreUnavailableError.

    The folder goes first: if the process is killed in between, the row still names the run.
    """
    before = now() - keep_days * _DAY_S
    old = await store.ended_before(before)
    for run_id in old:
        await asyncio.to_thread(shutil.rmtree, out / run_id, ignore_errors=True)
        await store.forget(run_id)
    await store.forget_verdicts(before)
    return len(old)


async def forget_old(store: Store, out: Path, keep_days: float) -> None:
    """Delete what is too old, now and every hour, until cancelled."""
    while True:
        try:
            if gone := await forget(store, out, keep_days):
                _LOG.info("%d runs older than %g days are deleted.", gone, keep_days)
        except StoreUnavailableError as error:
            _LOG.warning("Old runs are not deleted: %s", error)
        await asyncio.sleep(_EVERY_S)

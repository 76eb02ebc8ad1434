"""One service a folder: a second would make the runs of the first once more."""

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator
from io import TextIOWrapper
from pathlib import Path

from trading_graph.service.errors import StoreUnavailable

LOCK = "service.lock"


@contextlib.asynccontextmanager
async def alone(out: Path) -> AsyncIterator[None]:
    """Keep other services from the folder; raises StoreUnavailable or OSError.

    The lock goes with the process, however that ends.
    """
    lock = await asyncio.to_thread(_locked, out)
    try:
        yield
    finally:
        await asyncio.to_thread(lock.close)


def _locked(out: Path) -> TextIOWrapper:
    out.mkdir(parents=True, exist_ok=True)
    lock = (out / LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StoreUnavailable(
            f"Another service works in {out}; stop it, or give this one another folder with --out."
        ) from None
    except BaseException:
        lock.close()
        raise
    return lock

"""Traces that somebody looked at on the page: the last few files, until the service stops.

Each has an id of its own, so that no upload can stand in for another trace.
"""

import asyncio
import contextlib
import secrets
import shutil
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path

MOST = 16
"""The most files that are kept."""

_FOLDER = ".uploads"


class Uploads:
    """The uploads of one service; the oldest go where there are too many files or bytes."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def path(self, id: str) -> Path | None:
        """The file of an upload; None where there is none of this id any more."""
        return self._path(id) if id in self._sizes else None

    async def keep(self, file: Path) -> str:
        """Move a file here, and return the id of the upload."""
        id = secrets.token_hex(16)
        self._sizes[id] = await asyncio.to_thread(_move, file, self._path(id))
        while len(self._sizes) > 1 and self._are_too_many():
            await self.forget(next(iter(self._sizes)))
        return id

    async def forget(self, id: str) -> None:
        """Delete an upload."""
        if self._sizes.pop(id, None) is not None:
            await asyncio.to_thread(self._path(id).unlink, missing_ok=True)

    def _are_too_many(self) -> bool:
        return len(self._sizes) > MOST or sum(self._sizes.values()) > self._most_bytes

    def _path(self, id: str) -> Path:
        return self._folder / id


@contextlib.asynccontextmanager
async def open_uploads(out: Path, most_bytes: int) -> AsyncIterator[Uploads]:
    """The uploads below a folder; those that a killed service left are deleted."""
    folder = out / _FOLDER
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    try:
        yield Uploads(folder, most_bytes)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _move(file: Path, to: Path) -> int:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(file, to)
    return to.stat().st_size

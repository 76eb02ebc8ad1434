"""Traces that a request brings, written to files as they arrive: none is held in memory whole."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from pathlib import Path

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from trading_graph.service.server.problems import Problem
from trading_graph.service.server.reading import receiving, too_large

UPLOADS = ("application/json", "application/x-ndjson", "application/octet-stream")
FORM = "multipart/form-data"
MOST_PARTS = 32
"""So many traces may be on one side of a comparison."""

_CHUNK = 2**16


async def save_body(request: web.Request, path: Path) -> None:
    """Write the body to a file; raises Problem."""
    if request.content_type not in UPLOADS:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Send the trace as it is, with Content-Type: {', '.join(UPLOADS)}.",
        )
    async with receiving(request, request.client_max_size):
        await _save(request, request.content.iter_chunked(_CHUNK), path, 0)


async def save_parts(
    request: web.Request, folder: Path, names: Sequence[str]
) -> dict[str, list[str]]:
    """Write the parts of a form to files of the folder; gives the files' names by part."""
    found: dict[str, list[str]] = {name: [] for name in names}
    size = 0
    async with receiving(request, request.client_max_size):
        try:
            reader = await request.multipart()
            while (part := await reader.next()) is not None:
                if not isinstance(part, BodyPartReader) or part.name not in found:
                    raise Problem(
                        HTTPStatus.UNPROCESSABLE_ENTITY,
                        f"The parts of the form are {' and '.join(names)}; name each by one.",
                    )
                files = found[part.name]
                if len(files) == MOST_PARTS:
                    raise Problem(
                        HTTPStatus.UNPROCESSABLE_ENTITY,
                        f"At most {MOST_PARTS} traces are compared a side; send fewer.",
                    )
                # A name of our own: nothing that a request says becomes a path.
                files.append(f"{part.name}-{len(files) + 1}")
                size = await _save(request, _chunks(part), folder / files[-1], size)
        except (ValueError, LookupError, AssertionError, RuntimeError, HttpProcessingError):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"The body is no form that can be read; send {FORM}, as curl -F does.",
            ) from None
    return found


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_CHUNK):
        yield chunk


async def _save(request: web.Request, chunks: AsyncIterator[bytes], path: Path, size: int) -> int:
    """Write chunks to a file; gives the bytes received so far, of `size` before."""
    file = await asyncio.to_thread(path.open, "wb")
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > request.client_max_size:
                raise too_large(request.client_max_size)
            await asyncio.to_thread(file.write, chunk)
    finally:
        await asyncio.to_thread(file.close)
    return size

"""The body of an answer, read up to a limit."""

import aiohttp

_CHUNK_BYTES = 65536


async def read_body(answer: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The decompressed body, or None and a closed connection where it exceeds `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        size += len(chunk)
        if size > limit:
            answer.close()
            return None
        chunks.append(chunk)
    return b"".join(chunks)

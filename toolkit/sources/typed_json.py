"""A JSON answer read into a type, with the errors that all sources share."""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from yarl import URL

from trading_graph.toolkit.errors import BadAnswer
from trading_graph.toolkit.pool import HttpPool

T = TypeVar("T")

# Decoding more than this takes milliseconds, which belong into a thread.
_LARGE = 256 * 1024


async def get_typed(
    pool: HttpPool,
    url: URL,
    kind: type[T],
    *,
    source: str,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> T:
    """GET a document as a `kind` that msgspec can decode; BadAnswer where it has another shape."""
    body = (await pool.get_bytes(url, params=params, headers=headers)).body
    try:
        if len(body) > _LARGE:
            return await asyncio.to_thread(msgspec.json.decode, body, type=kind)
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError):
        raise bad_answer(source, url) from None


def bad_answer(source: str, url: URL) -> BadAnswer:
    """The error for an answer that is not in the source's format, with what to do next."""
    # The decoder's message may repeat what it read.
    return BadAnswer(
        f"{source} answered {url.raw_path} with something that is not in its format: "
        "try later, or run with the embedded data."
    )

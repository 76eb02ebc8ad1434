"""Yahoo asked as a browser asks, where it refuses the pool: once, in a thread of its own.

Yahoo answers 429 to clients that do not look like a browser down to their TLS, and yfinance's
session does (curl_cffi).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import Any, TypeVar

from yarl import URL

from trading_graph.toolkit.errors import (
    HttpStatusError,
    RateLimitError,
    SourcePausedError,
    SourceUnavailableError,
)

T = TypeVar("T")

_REFUSAL_STATUSES = (401, 403)
_THREADS = 8


def is_refusal(error: SourceUnavailableError) -> bool:
    """Whether Yahoo refused who asked (401, 403, 429), so that a browser may fare better.

    So it may while the pool pauses after a refusal, but not while it waits for a host that is down.
    """
    match error:
        case HttpStatusError():
            return error.status in _REFUSAL_STATUSES
        case SourcePausedError():
            return error.refusal
    return isinstance(error, RateLimitError)


async def as_browser(source: str, url: URL, base_url: str) -> Any:
    """The JSON document at a URL of Yahoo's; raises errors of `toolkit.errors` for `source`."""

    def read() -> Any:
        # Here, because yfinance takes a second to import, and few runs need it.
        from trading_graph.toolkit.sources import yfinance_reader

        return yfinance_reader.browser_json(source, url, base_url)

    return await in_thread(read)


async def in_thread(work: Callable[[], T]) -> T:
    """The result of work that waits for Yahoo, with the caller's context."""
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(_executor(), lambda: context.run(work))


@cache
def _executor() -> ThreadPoolExecutor:
    # Not the loop's own: these threads wait for the network, and would block indicators.
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="yfinance")

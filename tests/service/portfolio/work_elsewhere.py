"""A portfolio on which another process works, as far as anybody can see."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from trading_graph.service.portfolio.folder import PortfolioFolder


@contextlib.asynccontextmanager
async def worked_on(folder: PortfolioFolder) -> AsyncIterator[None]:
    """Hold the lock of a portfolio for the duration of the block."""
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, folder.work())
        try:
            yield
        finally:
            await asyncio.to_thread(stack.close)

"""SIGTERM cancels a command's work as SIGINT does: what was begun is ended, and kept."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def cancelled_by_sigterm() -> Iterator[None]:
    """Cancel the current task at a SIGTERM for the duration of the block, as at a SIGINT."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    try:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    except (RuntimeError, ValueError):  # on another thread signals belong to the program
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)

"""Pauses garbage collection while a program makes many objects that stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 100_000
"""From this number of new objects on, they count as old at once."""


@contextmanager
def pause_collection() -> Iterator[None]:
    """Pause garbage collection while the block runs.

    The spans of a trace are objects that stay, and so are the modules that an import loads. Each
    collection would walk all of them so far and find next to nothing to free. Nor are many of them
    walked after the block, once for each generation: they join the oldest at once. `last_work`
    saves the rest too.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # Where a program froze objects of its own, to thaw them would be of no use to it.
        if gc.get_count()[0] >= MANY and not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()
        gc.enable()


@contextmanager
def last_work() -> Iterator[None]:
    """Pause garbage collection in the last work of a process.

    What is left goes with the process: neither the collection after a pause nor that of the
    interpreter's end walks it.
    """
    with pause_collection():
        yield
        gc.freeze()

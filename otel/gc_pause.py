"""Pauses garbage collection while a program makes many objects that stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_collection() -> Iterator[None]:
    """Pause garbage collection while the block runs.

    The spans of a trace are objects that stay, and so are the modules that an import loads. Each
    collection would walk all of them so far and find next to nothing to free. The collection after
    the block walks them once; `last_work` saves that too.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
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

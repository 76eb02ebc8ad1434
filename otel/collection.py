"""Pauses garbage collection while a great many objects are made that stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """No collection inside: each would walk all objects so far, and find next to none to free.

    The spans of a trace are such objects, and the modules that an import loads. The collection that
    follows the block walks them once; a program that ends there saves that too.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

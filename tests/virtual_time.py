"""An event loop whose time passes only while it waits, so that minutes are no minutes."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Looks for input at once, and lets the loop's time jump by what it would have waited."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("The loop waits for something that no time brings.")
        if not ready and timeout:
            self._advance(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop of virtual time; `time` is its clock, in seconds from 0."""

    def __init__(self) -> None:
        self._virtual = 0.0
        super().__init__(_Selector(self._pass))

    def time(self) -> float:
        """The virtual time."""
        return self._virtual

    def _pass(self, seconds: float) -> None:
        self._virtual += seconds


def run_virtually(make: Callable[[VirtualTimeLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end in virtual time."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(make(loop))
    finally:
        loop.close()

"""Real loops in threads, watched as the witness would, and where a marked line of a file is."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trading_graph.otel.witness.blocks import Block
from trading_graph.otel.witness.pauses import pauses
from trading_graph.otel.witness.watchdog import Watchdog

MS = 1_000_000
Main = Callable[["Scene"], Coroutine[Any, Any, None]]

_ids = itertools.count(1)


class HookedLoop:
    """A running loop that notes when it comes back from waiting for events."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop_id = next(_ids)
        self.loop = loop
        self.thread_id = threading.get_ident()
        self.native_id = threading.get_native_id()
        self.busy_since_ns: int | None = time.time_ns()
        selector: Any = getattr(loop, "_selector")  # noqa: B009 - it is private
        waits = selector.select

        def select(timeout: float | None = None) -> Any:
            self.busy_since_ns = None
            try:
                return waits(timeout)
            finally:
                self.busy_since_ns = time.time_ns()

        selector.select = select


class Scene:
    """A watchdog, and the loops that it watches."""

    def __init__(self, threshold_ms: int = 100, period_ms: int = 50) -> None:
        self.loops: list[HookedLoop] = []
        self.watchdog = Watchdog(lambda: self.loops, threshold_ms * MS, period_ms * MS)

    def run(self, main: Main) -> HookedLoop:
        """Run a coroutine on a loop of its own in a thread, until it ends."""
        watched: list[HookedLoop] = []
        failures: list[BaseException] = []

        async def hooked() -> None:
            watched.append(HookedLoop(asyncio.get_running_loop()))
            self.loops.append(watched[0])
            await asyncio.sleep(0.06)  # The watchdog has seen it once.
            try:
                await main(self)
            finally:
                await asyncio.sleep(0.06)
                self.loops.remove(watched[0])

        def run() -> None:
            try:
                asyncio.run(hooked())
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return watched[0]

    def loop_of_this_thread(self) -> HookedLoop:
        """The loop that runs here."""
        here = threading.get_ident()
        return next(each for each in self.loops if each.thread_id == here)

    def blocks(self, watched: HookedLoop) -> Sequence[Block]:
        """All that was found on a loop."""
        return self.watchdog.blocks(watched.loop_id, 0, time.time_ns())


@contextmanager
def scene(threshold_ms: int = 100, period_ms: int = 50) -> Iterator[Scene]:
    """A scene whose watchdog watches, and makes no error."""
    made = Scene(threshold_ms, period_ms)
    pauses.install()
    made.watchdog.start()
    try:
        yield made
    finally:
        made.watchdog.stop()
        made.watchdog.join()
        pauses.restore()
    assert made.watchdog.errors == 0


@pytest.fixture
def watch() -> Iterator[Scene]:
    """A scene whose watchdog watches while a test runs."""
    with scene() as made:
        yield made


def lines(blocks: Sequence[Block]) -> list[int]:
    """The numbers of the lines that blocked."""
    return [block.line.number for block in blocks if block.line]


def line_of(file: str, mark: str) -> int:
    """The number of the line that ends with a mark such as `# sleeps`."""
    text = Path(file).read_text().splitlines()
    [number] = [number for number, line in enumerate(text, 1) if line.endswith(f"# {mark}")]
    return number

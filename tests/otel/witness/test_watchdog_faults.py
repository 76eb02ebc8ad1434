"""What goes wrong around a watchdog: loops that die, fail, end and run again; and its limits."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from tests.otel.witness.watched import MS, HookedLoop, Scene, line_of, lines, scene, watch
from trading_graph.otel.witness.tracks import WatchedLoop
from trading_graph.otel.witness.watchdog import Watchdog

__all__ = ["watch"]  # the fixture

HERE = __file__
LONG_S = 0.3

pytestmark = pytest.mark.idle(per_cpu=1)


def _first() -> None:
    time.sleep(LONG_S)  # first


def _second() -> None:
    time.sleep(LONG_S)  # second


async def _block_once(_: Scene) -> None:
    _first()


def test_a_loop_that_dies_or_raises_hides_no_other(watch: Scene) -> None:
    """One whose thread ended while it was busy, and one that cannot be asked."""

    class Broken:
        loop_id = -1
        native_id = thread_id = 0
        loop = asyncio.new_event_loop()

        @property
        def busy_since_ns(self) -> int:
            raise RuntimeError("broken")

    async def nothing(_: Scene) -> None:
        pass

    broken = Broken()
    broken.loop.close()
    dead = watch.run(nothing)
    dead.busy_since_ns = time.time_ns()
    loops: list[WatchedLoop] = [broken, dead]
    watchdog = Watchdog(lambda: [*loops, *watch.loops])
    watchdog.start()
    loop = watch.run(_block_once)
    watchdog.stop()
    watchdog.join()
    assert watchdog.errors > 0
    assert lines(watchdog.blocks(loop.loop_id, 0, time.time_ns())) == [line_of(HERE, "first")]
    assert watchdog.blocks(dead.loop_id, 0, time.time_ns()) == ()


def test_a_list_of_loops_that_fails_is_counted_and_asked_again() -> None:
    asked = threading.Event()
    calls: list[int] = []

    def loops() -> Sequence[HookedLoop]:
        calls.append(1)
        if len(calls) > 2:
            asked.set()
        raise RuntimeError("no list")

    watchdog = Watchdog(loops, period_ns=MS)
    watchdog.start()
    assert asked.wait(60)
    watchdog.stop()
    watchdog.join()
    assert watchdog.errors >= 3
    assert watchdog.blocks(1, 0, time.time_ns()) == ()


def test_it_starts_and_stops_without_a_trace_and_keeps_what_it_found(watch: Scene) -> None:
    watch.watchdog.stop()
    watch.watchdog.join()
    threads, callbacks = set(threading.enumerate()), list(gc.callbacks)
    watch.watchdog.start()
    assert set(threading.enumerate()) - threads
    loop = watch.run(_block_once)
    watch.watchdog.start()  # A second time changes nothing.
    watch.watchdog.stop()
    watch.watchdog.join()
    watch.watchdog.stop()
    watch.watchdog.join()
    assert set(threading.enumerate()) <= threads
    assert gc.callbacks == callbacks
    assert lines(watch.blocks(loop)) == [line_of(HERE, "first")]
    open_files = len(os.listdir("/dev/fd"))
    watch.watchdog.start()
    assert watch.blocks(loop) == ()
    watch.run(_block_once)
    watch.watchdog.stop()
    watch.watchdog.join()
    assert len(os.listdir("/dev/fd")) <= open_files


def test_only_the_newest_blocks_and_loops_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trading_graph.otel.witness.tracks.MAX_BLOCKS", 4)
    monkeypatch.setattr("trading_graph.otel.witness.watchdog.MAX_ENDED_LOOPS", 2)
    begun: list[int] = []

    async def main(_: Scene) -> None:
        for _number in range(8):
            begun.append(time.time_ns())
            time.sleep(0.02)  # noqa: ASYNC251
            await asyncio.sleep(0.005)

    with scene(threshold_ms=4, period_ms=2) as watch:
        loops = [watch.run(main) for _ in range(3)]
        newest = watch.blocks(loops[-1])
        assert len(newest) == 4
        assert all(block.start_ns >= begun[-5] for block in newest)
        time.sleep(0.05)
        assert [bool(watch.blocks(loop)) for loop in loops] == [False, True, True]


def test_a_loop_can_be_run_again(watch: Scene) -> None:
    """Between two calls of `run_until_complete` it is not among those that run."""
    loop = asyncio.new_event_loop()
    watched: list[HookedLoop] = []

    def run(way: Callable[[], None]) -> None:
        async def main() -> None:
            await asyncio.sleep(0.06)
            way()

        if not watched:
            watched.append(HookedLoop(loop))
        watched[0].thread_id = threading.get_ident()
        watched[0].native_id = threading.get_native_id()
        watch.loops.append(watched[0])
        loop.run_until_complete(main())
        time.sleep(0.06)
        watched[0].busy_since_ns = None
        watch.loops.clear()

    for way in (_first, _second):
        thread = threading.Thread(target=run, args=(way,))
        thread.start()
        thread.join()
        time.sleep(0.12)
    loop.close()
    marks = [line_of(HERE, "first"), line_of(HERE, "second")]
    assert lines(watch.blocks(watched[0])) == marks

"""The line that blocks a loop is found, whatever it does there; a starved loop is not blocked."""

import asyncio
import gc
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.otel.witness.watched import HookedLoop, Scene, line_of, lines, scene, watch
from trading_graph.otel.vocabularies.witness import BlockState
from trading_graph.otel.witness.blocks import Block
from trading_graph.otel.witness.cpu_time import RunQueue
from trading_graph.otel.witness.stacks import (
    COLLECTION_MOVES_FRAMES,
    source,
    still_frames,
    walk,
)
from trading_graph.otel.witness.watchdog import Watchdog

__all__ = ["watch"]  # the fixture

HERE = __file__
ROOT = Path(__file__).resolve().parents[3]
LONG_S = 0.3

pytestmark = pytest.mark.idle(per_cpu=1)


def _sleep() -> None:
    time.sleep(LONG_S)  # sleeps


def _pause(seconds: float) -> None:
    time.sleep(seconds)  # pauses


def _hash() -> None:
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", _ROUNDS)  # hashes


def _encode() -> None:
    json.dumps(_numbers())  # encodes


@cache
def _numbers() -> list[int]:
    """So many that to encode them, which gives nobody else the interpreter, takes long."""
    numbers = list(range(1_000_000))
    while True:
        begun = time.thread_time()
        json.dumps(numbers)
        if time.thread_time() - begun > LONG_S:
            return numbers
        numbers *= 2


def _wait_for_a_process() -> None:
    subprocess.run([sys.executable, "-S", "-c", f"import time; time.sleep({LONG_S})"])  # runs


def _wait_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(LONG_S, lock.release).start()
    lock.acquire()  # locks


def _collect() -> None:
    for _ in range(3):
        gc.collect()  # collects


_ROUNDS = 1_000_000

WAYS: Sequence[tuple[Callable[[], None], str, BlockState, str | None]] = [
    (_sleep, "sleeps", BlockState.SLEEPING, None),
    (_hash, "hashes", BlockState.COMPUTING, None),
    (_encode, "encodes", BlockState.COMPUTING, "json/encoder.py"),
    (_wait_for_a_process, "runs", BlockState.SLEEPING, "subprocess.py"),
    (_wait_for_a_lock, "locks", BlockState.SLEEPING, None),
    (_collect, "collects", BlockState.COMPUTING, None),
]


def _whole(block: Block) -> int:
    return block.end_ns - block.start_ns


def _own(block: Block) -> int:
    return _whole(block) - block.starved_ns


@pytest.mark.parametrize(
    ("way", "mark", "state", "library"), WAYS, ids=[mark for _, mark, _, _ in WAYS]
)
def test_what_blocks_a_loop_is_found_with_its_line(
    watch: Scene, way: Callable[[], None], mark: str, state: BlockState, library: str | None
) -> None:
    """At once by a span that ends right after it, and by all that end later."""
    times: list[int] = []
    at_once: list[Block] = []
    heap = [[number] for number in range(1_000_000 if way is _collect else 0)]
    _numbers()  # Before the loop runs.

    async def main(there: Scene) -> None:
        loop = there.loop_of_this_thread()
        times.append(time.time_ns())
        way()
        times.append(time.time_ns())
        at_once.extend(there.watchdog.blocks(loop.loop_id, *times))

    loop = watch.run(main)
    for found in (at_once, watch.blocks(loop)):
        block = next(block for block in found if line_of(HERE, mark) in lines([block]))
        assert block.line is not None
        assert (block.line.path, block.line.function) == (HERE, way.__name__)
        overlap = min(block.end_ns, times[1]) - max(block.start_ns, times[0])
        assert overlap > (times[1] - times[0]) / 2
        assert block.task is not None
        assert block.in_collection is (way is _collect)
        # A machine that is busy with other things takes the CPU from whoever wants it.
        assert block.state in (state, BlockState.STARVED)
        assert block.state is state or block.starved_ns >= _whole(block) / 2
        if library:
            assert str(block.library).startswith(f"{library}:")
    assert len(at_once) == 1
    del heap


async def _block(_: Scene) -> None:
    _sleep()


def _first() -> None:
    time.sleep(LONG_S)  # first


def _second() -> None:
    time.sleep(LONG_S)  # second


def _third() -> None:
    time.sleep(LONG_S)  # third


def test_the_stack_is_read_before_any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read gives up the interpreter, and a thread that waited for it goes on to other lines."""
    order: list[str] = []
    frames, reads, real_path = sys._current_frames, RunQueue.read, os.path.realpath

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:
            if threading.current_thread().name == "witness-watchdog":
                order.append(name)
            return call(*arguments)

        return noting

    monkeypatch.setattr(sys, "_current_frames", noted("frames", frames))
    monkeypatch.setattr(RunQueue, "read", noted("file", reads))
    monkeypatch.setattr(os.path, "realpath", noted("file", real_path))
    monkeypatch.setattr(Watchdog, "_poll", noted("poll", Watchdog._poll))
    source.cache_clear()
    with scene() as watch:
        watch.run(_block)
    assert "file" in order
    assert {after for name, after in pairwise(order) if name == "poll"} == {"frames"}


def test_three_tools_that_block_in_one_turn_are_three_blocks(watch: Scene) -> None:
    spans: list[tuple[int, int]] = []

    async def tool(block: Callable[[], None]) -> None:
        begin = time.time_ns()
        block()
        spans.append((begin, time.time_ns()))

    async def main(_: Scene) -> None:
        tools = (_first, _second, _third)
        await asyncio.gather(
            *(asyncio.create_task(tool(each), name=each.__name__) for each in tools)
        )

    loop = watch.run(main)
    blocks = watch.blocks(loop)
    assert lines(blocks) == [line_of(HERE, mark) for mark in ("first", "second", "third")]
    assert [block.task for block in blocks] == ["_first", "_second", "_third"]
    assert all(one.end_ns <= two.start_ns for one, two in pairwise(blocks))
    # Each tool's span is told of its own block, and not of its neighbours'.
    for span, block in zip(spans, blocks, strict=True):
        assert watch.watchdog.blocks(loop.loop_id, *span) == [block]


def test_one_task_that_blocks_at_two_lines_is_two_blocks(watch: Scene) -> None:
    async def main(_: Scene) -> None:
        _second()
        _first()

    blocks = watch.blocks(watch.run(main))
    assert lines(blocks) == [line_of(HERE, "second"), line_of(HERE, "first")]


def _crunch() -> None:
    """Its own lines and those of two functions take turns."""
    begun, total = time.thread_time(), 0
    while time.thread_time() - begun < LONG_S:
        total += _square(total % 7)
        total ^= _add(total)


def _square(number: int) -> int:
    return sum(number * number for _ in range(100))


def _add(number: int) -> int:
    for each in range(100):
        number += each
    return number


def test_a_computation_over_many_lines_is_one_block_of_what_calls_them(watch: Scene) -> None:
    async def main(_: Scene) -> None:
        _crunch()

    [block] = watch.blocks(watch.run(main))
    assert block.line is not None
    assert block.line.function == "_crunch"
    assert block.state in (BlockState.COMPUTING, BlockState.STARVED)
    assert _own(block) > LONG_S * 1e9 / 2


def test_many_tasks_that_block_for_a_little_at_one_line_are_one_block(watch: Scene) -> None:
    """The trap of gather over blocking calls, each of which is short."""

    def wait() -> None:
        time.sleep(0.04)  # a little

    async def tool() -> None:
        wait()

    async def main(_: Scene) -> None:
        await asyncio.gather(*(tool() for _ in range(10)))

    [block] = watch.blocks(watch.run(main))
    assert lines([block]) == [line_of(HERE, "a little")]
    assert block.task is None
    assert _whole(block) > 0.2e9


def test_short_steps_are_no_block(watch: Scene) -> None:
    """Neither many turns, nor many steps of many tasks in one turn that is short enough."""

    async def step() -> None:
        _pause(0.004)

    async def main(_: Scene) -> None:
        for _number in range(20):
            await step()
            await asyncio.sleep(0)
        await asyncio.gather(*(step() for _ in range(10)))

    assert watch.blocks(watch.run(main)) == ()


def test_the_threshold_is_a_setting() -> None:
    async def main(_: Scene) -> None:
        _pause(0.1)

    with scene(threshold_ms=40, period_ms=20) as watch:
        blocks = watch.blocks(watch.run(main))
        assert lines(blocks) == [line_of(HERE, "pauses")]
    with scene(threshold_ms=1_000) as watch:
        assert watch.blocks(watch.run(main)) == ()


def test_a_block_of_threshold_and_period_is_always_found() -> None:
    """Wherever between two polls it begins, and also in the middle of a turn."""
    found_each: list[int] = []

    async def main(there: Scene) -> None:
        loop = there.loop_of_this_thread()
        for number in range(12):
            await asyncio.sleep(number * 0.05 / 12)
            if number % 2:
                _pause(0.02)  # other work of the same turn
            begin = time.time_ns()
            _pause(0.15)
            found = there.watchdog.blocks(loop.loop_id, begin, time.time_ns())
            found_each.append(len(found))

    with scene() as watch:
        watch.run(main)
    assert found_each == [1] * 12


def test_each_loop_has_its_own_blocks(watch: Scene) -> None:
    """One is blocked; the other, which waits meanwhile, is not."""
    blocked_ids: list[HookedLoop] = []

    async def block(_: Scene) -> None:
        _sleep()

    async def main(there: Scene) -> None:
        await asyncio.to_thread(lambda: blocked_ids.append(there.run(block)))

    innocent = watch.run(main)
    assert watch.blocks(innocent) == ()
    assert lines(watch.blocks(blocked_ids[0])) == [line_of(HERE, "sleeps")]


def test_a_thread_that_holds_the_interpreter_is_told_from_sleep(watch: Scene) -> None:
    """The loop computes a little, but waits for its turn among threads that compute much."""
    over = threading.Event()

    def burn() -> None:
        while not over.is_set():
            pass

    async def main(_: Scene) -> None:
        threads = [threading.Thread(target=burn) for _ in range(6)]
        for thread in threads:
            thread.start()
        _count()
        over.set()
        for thread in threads:
            thread.join()

    blocks = watch.blocks(watch.run(main))
    block = next(block for block in blocks if block.line and block.line.function == "_count")
    if block.cpu_share > 0.8:  # On a busy machine the threads compute too little to tell.
        assert block.state in (BlockState.INTERPRETER_LOCK, BlockState.STARVED)


def _count() -> None:
    begun = time.thread_time()
    while time.thread_time() - begun < 0.1:
        pass


STARVED = """
import asyncio, os, subprocess, sys, time
from tests.otel.witness.watched import scene

work = "import time\\nend = time.time() + 60\\nwhile time.time() < end: pass"
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
others = [subprocess.Popen([sys.executable, "-I", "-S", "-c", work]) for _ in range(4)]
late_ns, clean, both = [], [], []

def spin(seconds):
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        pass

async def main(watch):
    loop = watch.loop_of_this_thread()
    begun = time.monotonic()
    while time.monotonic() - begun < 1.5:
        begin = time.time_ns()
        spin(0.03)
        await asyncio.to_thread(spin, 0.001)
        end = time.time_ns()
        clean.extend(watch.watchdog.blocks(loop.loop_id, begin, end))
        clean.extend(await asyncio.to_thread(watch.watchdog.blocks, loop.loop_id, begin, end))
        late_ns.append(end - begin)
    clean.extend(watch.blocks(loop))
    begin = time.time_ns()
    spin(0.3)
    both.extend(watch.watchdog.blocks(loop.loop_id, begin, time.time_ns()))

try:
    with scene() as watch:
        loop = watch.run(main)
        print(len(clean), max(late_ns) / 1e6)
        for block in [*both, *watch.blocks(loop)]:
            length_ns = block.end_ns - block.start_ns
            print(block.state, length_ns / 1e6, block.starved_ns / 1e6, block.cpu_share)
finally:
    for other in others:
        other.kill()
"""


@pytest.mark.alone
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="no run queue's account")
def test_a_starved_loop_is_not_blocked_and_one_that_blocks_too_is_both() -> None:
    """Four programs take its CPU: only the work that it does in one piece is a block."""
    ran = subprocess.run(
        [sys.executable, "-c", STARVED], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    head, *blocks = ran.stdout.splitlines()
    clean, late_ms = head.split()
    assert float(late_ms) > 100, "it was not starved"
    assert clean == "0"
    assert len(blocks) == 2  # At once, and later.
    for state, *figures in map(str.split, blocks):
        length_ms, starved_ms, share = map(float, figures)
        assert state == BlockState.STARVED
        assert length_ms - starved_ms > 300 / 2
        assert starved_ms > length_ms / 2
        assert 0 < share < 0.5


@pytest.mark.skipif(not COLLECTION_MOVES_FRAMES, reason="a collection harms no walk here")
def test_nothing_is_collected_while_frames_are_walked() -> None:
    """Every object that a walk makes would start a collection, and a collection runs code."""
    collecting: list[str] = []

    def deep(frames: int) -> None:
        if frames:
            return deep(frames - 1)
        before = gc.get_threshold()
        gc.callbacks.append(lambda phase, _: collecting.append(phase))
        gc.set_threshold(1)
        try:
            with still_frames():
                collecting.clear()
                walked = walk(sys._getframe())
                meanwhile = len(collecting)
            walk(sys._getframe())
        finally:
            gc.set_threshold(*before)
            gc.callbacks.pop()
        assert len(walked) > 100
        assert not meanwhile

    deep(100)
    assert collecting, "a walk without it starts one"
    assert gc.isenabled()

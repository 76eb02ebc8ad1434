"""What the witness records of loops and spans, and that it changes nothing else."""

import asyncio
import contextlib
import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from tests.otel.witness.witnessed import WORK_S, Program, program, sleep
from trading_graph.otel import witness
from trading_graph.otel.vocabularies import witness as keys
from trading_graph.otel.witness.activities import tracking
from trading_graph.otel.witness.cpu_time import Reading, reading_of, thread_time
from trading_graph.otel.witness.faults import faults

__all__ = ["program"]  # the fixture

pytestmark = pytest.mark.idle


def test_each_loop_has_its_own_lag(program: Program) -> None:
    async def main(name: str, seconds: float) -> None:
        with program.tracer.start_as_current_span(name):
            await asyncio.sleep(0.01)
            if seconds:
                time.sleep(seconds)  # noqa: ASYNC251
            await sleep()

    other = threading.Thread(target=asyncio.run, args=(main("blocked", 3 * WORK_S),))
    other.start()
    asyncio.run(main("free", 0))
    other.join()
    blocked, free = (program.figure(name, keys.LOOP_LAG_MAX_MS) for name in ("blocked", "free"))
    assert blocked > 2 * WORK_S * 1e3 > free
    loops = [program.attributes(name)[keys.LOOP_ID] for name in ("blocked", "free")]
    assert loops[0] != loops[1]


def test_a_loop_that_another_thread_runs_again_is_watched_there(program: Program) -> None:
    loop = asyncio.new_event_loop()

    async def main() -> None:
        with program.tracer.start_as_current_span("blocked"):
            time.sleep(0.3)  # noqa: ASYNC251

    loop.run_until_complete(sleep())
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    thread.join()
    loop.close()
    [span] = program.ended
    [event] = span.events
    assert dict(event.attributes or {})[keys.CODE_FUNCTION] == "main"


@pytest.mark.parametrize(("threshold_s", "names"), [(0.02, {"main"}), (None, set())])
def test_a_smaller_threshold_finds_a_shorter_block(
    threshold_s: float | None, names: set[str]
) -> None:
    """One that is shorter than the 100 ms of the default."""
    program = Program()

    async def main() -> None:
        with program.tracer.start_as_current_span("short"):
            for _ in range(3):
                await sleep()
                time.sleep(0.08)  # noqa: ASYNC251

    if threshold_s is None:
        witness.install()
    else:
        witness.install(blocked_after_s=threshold_s)
    thread = threading.Thread(target=asyncio.run, args=(main(),))  # the guards watch this one
    try:
        thread.start()
        thread.join()
    finally:
        witness.uninstall()
    [span] = program.ended
    assert {dict(each.attributes or {})[keys.CODE_FUNCTION] for each in span.events} == names


def test_a_running_loop_is_watched_from_the_installation_on() -> None:
    program = Program()

    async def main() -> None:
        await asyncio.sleep(0)
        witness.install()
        with program.tracer.start_as_current_span("late"):
            await sleep()
            time.sleep(WORK_S)  # noqa: ASYNC251

    thread = threading.Thread(target=asyncio.run, args=(main(),))  # the guards watch this one
    try:
        thread.start()
        thread.join()
    finally:
        witness.uninstall()
    assert program.figure("late", keys.LOOP_LAG_MAX_MS) > WORK_S * 1e3 / 2
    assert program.figure("late", keys.TIMER_MS) > WORK_S * 1e3 / 2


def test_the_programs_own_attributes_stay_whatever_its_limit() -> None:
    program = Program(SpanLimits(max_attributes=3))
    own = {"a": 1, "b": 2, keys.THREAD_ID: -1}
    witness.install()
    try:
        with program.tracer.start_as_current_span("full", attributes=own):
            pass
    finally:
        witness.uninstall()
    found = program.attributes("full")
    assert {key: found[key] for key in own} == own
    assert keys.CPU_OVER_WALL in found
    (span,) = program.ended
    assert span.dropped_attributes == 0


def test_a_trace_declares_what_is_recorded_and_how_many_spans_it_started(
    program: Program,
) -> None:
    remote = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    caller = set_span_in_context(NonRecordingSpan(remote))
    with program.tracer.start_as_current_span("root", context=caller):
        with program.tracer.start_as_current_span("child"):
            pass
        late = program.tracer.start_span("late")
    late.end()
    root = program.attributes("root")
    assert root[keys.SPANS_STARTED] == 3
    assert keys.records(root) == set(keys.Recorded)
    assert set(root[keys.WAITS]) == set(keys.Wait)
    assert keys.SPANS_STARTED not in program.attributes("child")


def test_a_span_can_end_twice_on_another_thread_or_never(program: Program) -> None:
    span = program.tracer.start_span("elsewhere")
    thread = threading.Thread(target=span.end)
    thread.start()
    thread.join()
    span.end()
    program.tracer.start_span("never")
    assert keys.THREAD_ID in program.attributes("elsewhere")
    assert len(program.ended) == 1


def test_spans_made_after_the_fact_by_a_helper_are_never_accounted_for(
    program: Program,
) -> None:
    """LangSmith's tracer, for example, makes them in a thread that idles at its queue."""

    def make(start: int) -> None:
        program.tracer.start_span("made later", start_time=start).end()

    async def main() -> None:
        start = time.time_ns()
        await asyncio.sleep(WORK_S)
        helper = threading.Thread(target=make, args=(start,))
        helper.start()
        await asyncio.sleep(WORK_S)
        helper.join()

    asyncio.run(main())
    assert program.figure("made later", keys.UNACCOUNTED_MS) > 0.9 * WORK_S * 1e3


@pytest.mark.alone  # It loads a CPU.
def test_a_hundred_thousand_open_spans_end_and_leave_nothing(program: Program) -> None:
    open_spans = [program.tracer.start_span("open") for _ in range(100_000)]
    for span in open_spans:
        span.end()
    assert len(program.ended) == 100_000
    assert all(keys.THREAD_ID in (span.attributes or {}) for span in program.ended[::1000])
    assert not tracking.spans


def test_pauses_of_the_garbage_collection_are_summed(program: Program) -> None:
    heap = [[number] for number in range(300_000)]
    with program.tracer.start_as_current_span("collects"):
        gc.collect()
    with program.tracer.start_as_current_span("does not"):
        pass
    assert program.figure("collects", keys.GC_MS) >= 1.0
    assert keys.GC_MS not in program.attributes("does not")
    del heap


def test_it_can_be_taken_out_and_leaves_everything_as_it_was() -> None:
    places: list[tuple[Any, str]] = [
        (asyncio.BaseEventLoop, "call_soon"),
        (asyncio.BaseEventLoop, "call_at"),
        (asyncio.Semaphore, "acquire"),
        (asyncio.Queue, "get"),
        (ThreadPoolExecutor, "submit"),
        (threading.Thread, "start"),
        (threading.Condition, "wait"),
        (time, "sleep"),
    ]
    before = [vars(owner)[name] for owner, name in places]
    witness.install()
    witness.install()
    assert all(
        vars(owner)[name] is not was for (owner, name), was in zip(places, before, strict=True)
    )
    witness.uninstall()
    assert not witness.is_installed()
    assert [vars(owner)[name] for owner, name in places] == before
    program = Program()
    program.run(sleep)
    assert not [key for key in program.attributes("0") if key.startswith("witness.")]


def test_whoever_records_for_a_while_does_not_take_it_from_another() -> None:
    with witness.recording():
        with witness.recording():
            pass
        assert witness.is_installed()
    assert not witness.is_installed()
    witness.install()
    with witness.recording():
        pass
    assert witness.is_installed()
    witness.uninstall()


def test_results_errors_and_cancellation_pass_through(program: Program) -> None:
    async def fails() -> None:
        raise LookupError("its own")

    async def main() -> list[object]:
        with pytest.raises(LookupError, match="its own"):
            await asyncio.create_task(fails())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        lock = asyncio.Lock()
        await lock.acquire()
        waiter = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        lock.release()
        assert not lock.locked()
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        called: list[object] = []
        asyncio.get_running_loop().call_soon(called.append, "soon")
        asyncio.get_running_loop().call_later(0.001, called.append, "later")
        handle = asyncio.get_running_loop().call_soon(called.append, "never")
        handle.cancel()
        await asyncio.sleep(0.01)
        return called

    assert asyncio.run(main()) == ["soon", "later"]


def test_an_error_of_its_own_is_counted_and_does_not_reach_the_program(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    witness.install()
    program = Program()

    def broken(*_: object) -> None:
        raise OSError("of the witness")

    monkeypatch.setattr("trading_graph.otel.witness.span_measures.OpenSpan.measure", broken)
    faults.count = 0
    try:
        program.run(sleep, sleep)
    finally:
        witness.uninstall()
    assert len(program.ended) == 3
    assert faults.count == 3
    assert len([each for each in caplog.records if "witness" in each.name]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_is_watched_too(program: Program) -> None:
    with program.tracer.start_as_current_span("parent"):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                program.exporter.clear()
                program.run(sleep)
                timer = program.figure("0", keys.TIMER_MS)
                os.write(write, str(timer > WORK_S * 1e3 / 2).encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        assert pipe.read() == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="no thread's account")
def test_a_forked_child_reads_the_account_of_its_own_thread(program: Program) -> None:
    """The parent's, which it inherits, stands still or counts what the parent waits for."""

    def account() -> Reading | None:
        return reading_of(thread_time().account)

    assert account() is not None
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            inherited = os.listdir("/proc/self/fd")
            before = account()
            for _ in range(50):
                time.sleep(0.001)  # which gives it a CPU once more, each time
            after = account()
            opened = len(os.listdir("/proc/self/fd")) - len(inherited)
            assert before is not None
            assert after is not None
            os.write(write, f"{after.runs - before.runs} {opened}".encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        runs, opened = map(int, pipe.read().split())
    assert runs >= 50
    assert opened <= 1


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no list of descriptors")
def test_threads_that_are_gone_leave_no_descriptor(program: Program) -> None:
    def work() -> None:
        with program.tracer.start_as_current_span("work"):
            pass

    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) < before + 10

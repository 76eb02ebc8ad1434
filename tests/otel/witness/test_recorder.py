"""What the witness records of tasks, jobs and threads, and that it changes nothing else."""

import asyncio
import contextlib
import gc
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from trading_graph.otel import witness
from trading_graph.otel.vocabularies import witness as keys
from trading_graph.otel.witness.activities import tracking
from trading_graph.otel.witness.faults import faults

pytestmark = pytest.mark.alone

WORK_S = 0.06
Work = Callable[[], Awaitable[None]]


class Program:
    """A program's own tracer and what it exports."""

    def __init__(self, limits: SpanLimits | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("program")

    def attributes(self, name: str) -> Mapping[str, Any]:
        (span,) = [span for span in self.ended if span.name == name]
        return dict(span.attributes or {})

    def figure(self, name: str, key: str) -> float:
        return float(self.attributes(name).get(key, 0.0))

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def run(self, *works: Work) -> None:
        """Run works at once, each in a span that bears its number."""

        async def traced(number: int, work: Work) -> None:
            with self.tracer.start_as_current_span(str(number)):
                await work()

        async def main() -> None:
            with self.tracer.start_as_current_span("root"):
                await asyncio.gather(*(traced(n, work) for n, work in enumerate(works)))

        asyncio.run(main())


@pytest.fixture
def program() -> Iterator[Program]:
    faults.count = 0
    witness.install()
    yield Program()
    witness.uninstall()
    assert faults.count == 0


async def sleep() -> None:
    await asyncio.sleep(WORK_S)


class HomeMade:
    """A semaphore that nobody knows."""

    def __init__(self) -> None:
        self.is_free = True
        self.queue: deque[asyncio.Future[None]] = deque()

    async def work(self) -> None:
        if not self.is_free:
            turn = asyncio.get_running_loop().create_future()
            self.queue.append(turn)
            await turn
        self.is_free = False
        await sleep()
        if self.queue:
            self.queue.popleft().set_result(None)
        else:
            self.is_free = True


def accounted(span: Mapping[str, Any]) -> float:
    """The sum of what a span's time was spent on, in milliseconds."""
    kinds = (
        keys.RUNNING_MS,
        keys.READY_MS,
        keys.SOCKET_MS,
        keys.TIMER_MS,
        keys.CHILDREN_MS,
        keys.IDLE_MS,
    )
    return sum(float(span.get(kind, 0.0)) for kind in kinds)


def test_a_span_that_sleeps_is_accounted_for_by_its_timer(program: Program) -> None:
    program.run(sleep, sleep)
    for name in "01":
        assert program.figure(name, keys.TIMER_MS) >= 0.9 * WORK_S * 1e3
        assert keys.UNACCOUNTED_MS not in program.attributes(name)
        assert keys.WAIT_MS not in program.attributes(name)


def test_what_is_gathered_is_children_and_what_they_do_is_theirs(program: Program) -> None:
    async def both() -> None:
        await asyncio.gather(sleep(), sleep())

    program.run(both)
    assert program.figure("0", keys.CHILDREN_MS) >= 0.9 * WORK_S * 1e3
    assert program.figure("0", keys.TIMER_MS) < WORK_S * 1e3 / 2


@pytest.mark.parametrize("make", [asyncio.Semaphore, asyncio.Lock, anyio.CapacityLimiter])
def test_a_wait_for_a_turn_has_its_kind_and_its_place(program: Program, make: Any) -> None:
    kind = {asyncio.Lock: "lock", asyncio.Semaphore: "semaphore"}.get(make, "limiter")
    limits: list[Any] = []

    async def work() -> None:
        if not limits:
            limits.append(make() if make is asyncio.Lock else make(1))
        async with limits[0]:
            await sleep()

    program.run(work, work, work)
    waits = [program.figure(name, keys.WAIT_MS) for name in "012"]
    assert waits[0] < WORK_S * 1e3 / 2 < waits[1] < waits[2]
    assert program.attributes("2")[keys.WAIT_KIND] == kind
    start, end = program.attributes("2")[keys.WAIT_OFFSETS_MS]
    assert start < WORK_S * 1e3 / 2
    assert end - start == pytest.approx(waits[2], abs=0.01)
    assert program.figure("2", keys.TIMER_MS) < 1.5 * WORK_S * 1e3


def test_a_limit_of_the_programs_own_is_a_wait_for_a_task(program: Program) -> None:
    limit = HomeMade()
    program.run(limit.work, limit.work, limit.work)
    assert program.attributes("2")[keys.WAIT_KIND] == "task"
    assert program.figure("2", keys.WAIT_MS) > 1.5 * WORK_S * 1e3


def test_a_wait_inside_a_task_without_a_span_is_its_spans(program: Program) -> None:
    limit = HomeMade()

    async def through_a_task() -> None:
        await asyncio.create_task(limit.work())

    program.run(through_a_task, through_a_task)
    assert program.figure("1", keys.WAIT_MS) > 0.5 * WORK_S * 1e3
    assert program.attributes("1")[keys.WAIT_KIND] == "task"


def test_what_a_task_of_nobody_resolves_is_not_accounted_for(program: Program) -> None:
    """It may serve others first: who knows whether they took turns there?"""

    async def asks_a_server() -> None:
        with program.tracer.start_as_current_span("asks"):
            answer = asyncio.get_running_loop().create_future()
            asked.append(answer)
            await answer

    asked: list[asyncio.Future[None]] = []

    async def server() -> None:
        while True:
            await asyncio.sleep(WORK_S)
            if asked:
                asked.pop(0).set_result(None)

    async def main() -> None:
        serving = asyncio.create_task(server())
        await asyncio.create_task(asks_a_server())
        serving.cancel()

    asyncio.run(main())
    assert program.figure("asks", keys.UNACCOUNTED_MS) > WORK_S * 1e3 / 2


def test_an_item_that_lies_in_a_queue_is_its_putters_wait_for_a_worker(program: Program) -> None:
    Jobs = asyncio.Queue[asyncio.Future[None]]

    async def worker(jobs: Jobs) -> None:
        while True:
            answer = await jobs.get()
            await sleep()
            answer.set_result(None)

    async def ask(jobs: Jobs, number: int) -> None:
        with program.tracer.start_as_current_span(f"ask {number}"):
            answer = asyncio.get_running_loop().create_future()
            await jobs.put(answer)
            await answer

    async def main(workers: int, first: int) -> None:
        jobs = Jobs()
        working = [asyncio.create_task(worker(jobs)) for _ in range(workers)]
        with program.tracer.start_as_current_span("root"):
            await asyncio.gather(ask(jobs, first), ask(jobs, first + 1))
        for each in working:
            each.cancel()

    asyncio.run(main(1, 0))
    asyncio.run(main(2, 2))
    assert program.attributes("ask 1")[keys.WAIT_KIND] == "queue"
    assert program.figure("ask 1", keys.WAIT_MS) > WORK_S * 1e3 / 2
    assert program.figure("ask 3", keys.WAIT_MS) < WORK_S * 1e3 / 2


def test_a_consumer_that_idles_waits_for_no_turn(program: Program) -> None:
    async def main() -> None:
        jobs: asyncio.Queue[int] = asyncio.Queue()

        async def produce() -> None:
            await sleep()
            await jobs.put(1)

        with program.tracer.start_as_current_span("consumer"):
            producing = asyncio.create_task(produce())
            await jobs.get()
            await producing

    asyncio.run(main())
    assert program.figure("consumer", keys.IDLE_MS) > WORK_S * 1e3 / 2
    assert keys.WAIT_MS not in program.attributes("consumer")


def test_a_queue_to_which_what_was_taken_comes_back_is_a_pool(program: Program) -> None:
    pools: list[asyncio.Queue[object]] = []

    async def work() -> None:
        if not pools:
            pools.append(asyncio.Queue())
            pools[0].put_nowait(threading.Event())
        connection = await pools[0].get()
        await sleep()
        pools[0].put_nowait(connection)

    program.run(work, work)
    assert program.attributes("1")[keys.WAIT_KIND] == "connection_pool"


def test_jobs_wait_for_a_thread_and_a_span_of_theirs_says_so(program: Program) -> None:
    executor = ThreadPoolExecutor(1)

    async def work() -> None:
        await asyncio.get_running_loop().run_in_executor(executor, time.sleep, WORK_S)

    program.run(work, work)
    assert program.attributes("1")[keys.WAIT_KIND] == "executor"
    assert program.figure("1", keys.WAIT_MS) > WORK_S * 1e3 / 2
    assert keys.UNACCOUNTED_MS not in program.attributes("0"), "a sleep in a thread is seen"
    executor.shutdown()


def test_a_callback_of_an_instrumentor_that_waits_for_a_thread_has_a_kind_of_its_own(
    program: Program,
) -> None:
    """It starts a span in a job, and the span outlives the job: the span is late, not the work."""
    executor = ThreadPoolExecutor(1)
    late: list[Any] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        slow = loop.run_in_executor(executor, time.sleep, WORK_S)
        start = loop.run_in_executor(executor, lambda: program.tracer.start_span("late"))
        await slow
        late.append(await start)
        await sleep()
        late.pop().end()

    program.run(work)
    assert program.attributes("0")[keys.WAIT_KIND] == "callback"
    assert program.figure("late", keys.TIMER_MS) > WORK_S * 1e3 / 2, "it is its task's"


def test_a_lock_of_threads_is_not_accounted_for(program: Program) -> None:
    lock = threading.Lock()

    def job() -> None:
        with lock:
            time.sleep(WORK_S)

    async def work() -> None:
        await asyncio.to_thread(job)

    program.run(work, work)
    worst = max(program.figure(name, keys.UNACCOUNTED_MS) for name in "01")
    assert worst > WORK_S * 1e3 / 2


def test_a_thread_of_its_own_waits_at_semaphores_and_queues(program: Program) -> None:
    semaphore, jobs = threading.Semaphore(1), queue.Queue[int]()

    def work(name: str) -> None:
        with program.tracer.start_as_current_span(name):
            with semaphore:
                time.sleep(WORK_S)
            jobs.get()

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    time.sleep(3 * WORK_S)
    for _ in threads:
        jobs.put(1)
    for thread in threads:
        thread.join()
    waited = [program.figure(name, keys.WAIT_MS) for name in "ab"]
    assert max(waited) > WORK_S * 1e3 / 2
    assert {program.attributes(name).get(keys.WAIT_KIND) for name in "ab"} <= {None, "semaphore"}
    assert all(program.figure(name, keys.IDLE_MS) > 0 for name in "ab")
    assert keys.LOOP_ID not in program.attributes("a")


def test_a_marked_sleep_is_a_wait(program: Program) -> None:
    async def limited() -> None:
        with witness.waiting("rate_limit"):
            await sleep()

    program.run(limited)
    assert program.attributes("0")[keys.WAIT_KIND] == "rate_limit"
    assert program.figure("0", keys.TIMER_MS) < WORK_S * 1e3 / 2


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

    monkeypatch.setattr("trading_graph.otel.witness.open_spans.OpenSpan.measure", broken)
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

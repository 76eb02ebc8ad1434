"""What tasks, jobs and threads wait for, as their spans say."""

import asyncio
import queue
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from tests.otel.witness.witnessed import WORK_S, Program, program, sleep
from trading_graph.otel import witness
from trading_graph.otel.vocabularies import witness as keys

__all__ = ["program"]  # the fixture

pytestmark = pytest.mark.idle


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

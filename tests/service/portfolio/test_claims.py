"""What a worker claims of the line: as much as it has room for, whatever others have."""

import asyncio
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing

import pytest

from trading_graph.service.portfolio.durable.claims import Claims, Pace
from trading_graph.service.portfolio.durable.database import Database
from trading_graph.service.portfolio.durable.engine import Attendance
from trading_graph.service.portfolio.durable.lease import FileLease, LiveWorker
from trading_graph.service.portfolio.durable.queue import (
    TICKER_DAY_WORKFLOW,
    Work,
    WorkQueue,
    WorkState,
    workflow_id,
)
from trading_graph.service.portfolio.durable.reaper import Reaper

VERSION = "1.0"


class Line:
    """A line with six ticker-days in it, which no worker has yet; they are known by numbers."""

    def __init__(self, queue: WorkQueue) -> None:
        self.queue = queue
        self.runs = [uuid.uuid4().hex for _ in range(6)]
        queue.add_ticker_days(uuid.uuid4().hex, self.runs, VERSION)

    def claimed(self, worker: str) -> list[int]:
        """What a worker has claimed."""
        works = self.queue.claimed(worker)
        return [self.runs.index(each.workflow_id.replace("-", "")) for each in works]

    def begin(self, number: int) -> None:
        """Note a ticker-day in the database as begun, as DBOS does before a worker hears of it."""
        begin = "UPDATE workflow_status SET status = 'PENDING' WHERE workflow_uuid = ?"
        with closing(sqlite3.connect(self.queue.database.file)) as database, database:
            database.execute(begin, [workflow_id(self.runs[number])])

    def cancel(self, number: int) -> None:
        """Take a ticker-day out of the line."""
        id_ = workflow_id(self.runs[number])
        self.queue.remove(self.queue.unfinished([id_]))

    def end(self) -> None:
        """Leave the queue empty for the next test."""
        self.queue.remove(self.queue.unfinished())
        for worker in self.queue.workers():
            self.queue.close_line(worker)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkQueue]:
    portfolios = tmp_path_factory.mktemp("portfolios")
    database = Database.of(None, portfolios)
    database.prepare(portfolios)
    with WorkQueue.of(database) as queue:
        yield queue


@pytest.fixture
def line(queue: WorkQueue) -> Iterator[Line]:
    line = Line(queue)
    yield line
    line.end()


class Worker:
    """A worker that has opened its lines and begins nothing."""

    def __init__(self, line: Line, name: str, pace: Pace, version: str) -> None:
        line.queue.open_lines(name)
        self.name = name
        self.claims = Claims(line.queue, FileLease(name), name, version, pace)
        self._line = line

    async def claimed(self) -> list[int]:
        """Claim, and then once more; what it has then."""
        await self.claims.claim()
        await self.claims.claim()
        return await asyncio.to_thread(self._line.claimed, self.name)


class Said(list[tuple[str, bool]]):
    """What a worker has said, and whether it is an alarm."""

    def __call__(self, sentence: str, *, alarm: bool = False) -> None:
        self.append((sentence, alarm))


async def opened(
    line: Line, name: str, at_once: int, in_all: int | None = None, version: str = VERSION
) -> Worker:
    return await asyncio.to_thread(Worker, line, name, Pace(at_once, in_all, 0), version)


async def test_each_worker_has_its_own_number(line: Line) -> None:
    small, large = await opened(line, "small", 1), await opened(line, "large", 3)
    assert await small.claimed() == [0]
    assert await large.claimed() == [1, 2, 3]
    assert await small.claimed() == [0]


async def test_what_is_under_way_takes_room_until_it_ends(line: Line) -> None:
    worker = await opened(line, "worker", 2)
    await worker.claimed()
    with worker.claims.under_way(line.runs[0]), worker.claims.under_way(line.runs[1]):
        assert await worker.claimed() == [0, 1]
    # This line shows them as waiting for ever, because nobody has begun them there.
    assert await worker.claimed() == [0, 1, 2, 3]


async def test_what_begins_in_the_database_takes_room_before_it_begins_here(line: Line) -> None:
    worker = await opened(line, "worker", 2)
    await worker.claimed()
    await asyncio.to_thread(line.begin, 0)
    assert await worker.claimed() == [1]
    await asyncio.to_thread(line.begin, 1)
    assert await worker.claimed() == []


async def test_what_is_cancelled_before_it_begins_leaves_its_room(line: Line) -> None:
    worker = await opened(line, "worker", 2)
    await worker.claimed()
    await asyncio.to_thread(line.cancel, 0)
    assert await worker.claimed() == [1, 2]


async def test_a_worker_claims_nothing_beyond_what_all_may_have(line: Line) -> None:
    free, bound = await opened(line, "free", 3), await opened(line, "bound", 3, 4)
    assert await free.claimed() == [0, 1, 2]
    assert await bound.claimed() == [3]
    assert await (await opened(line, "late", 3, 4)).claimed() == []


async def test_work_of_another_version_is_not_claimed(line: Line) -> None:
    assert await (await opened(line, "worker", 2, version="1.1")).claimed() == []


async def test_what_has_not_begun_is_given_back_where_the_worker_stops(line: Line) -> None:
    first, second = await opened(line, "first", 4), await opened(line, "second", 4)
    await first.claimed()
    await first.claims.give_back()
    assert await second.claimed() == [0, 1, 2, 3]
    second.claims.stop()
    await second.claims.give_back()
    assert await second.claimed() == []


async def test_what_a_dead_worker_had_claimed_waits_for_all_again(line: Line) -> None:
    dead, other = await opened(line, "dead", 4), await opened(line, "other", 6)
    await dead.claimed()
    said = Said()
    reaping = asyncio.create_task(Reaper(line.queue, FileLease("other"), VERSION, said).reap())
    while await asyncio.to_thread(line.queue.workers) != {"other"}:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    reaping.cancel()
    await asyncio.wait([reaping])
    assert said == [("Worker dead is dead; what it had goes on: 4 runs.", False)]
    assert await other.claimed() == list(range(6))


async def test_work_for_workers_of_another_version_is_an_alarm(line: Line) -> None:
    said = Said()
    reaping = asyncio.create_task(Reaper(line.queue, FileLease("new"), "2.0", said).reap())
    while not said:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    reaping.cancel()
    await asyncio.wait([reaping])
    ((sentence, is_alarm),) = said
    assert sentence.startswith("In line for a worker of version 1.0: 6 portfolios and ticker-days")
    assert is_alarm


def test_nobody_has_what_the_dead_have_and_what_waits_for_a_version_that_is_not_there() -> None:
    def work(number: int, state: WorkState, worker: str, version: str) -> Work:
        return Work(str(number), TICKER_DAY_WORKFLOW, state, worker, version)

    works = (
        work(0, WorkState.UNDER_WAY, "here", "1.0"),
        work(1, WorkState.UNDER_WAY, "dead", "1.0"),
        work(2, WorkState.IN_LINE, "dead", "1.0"),
        work(3, WorkState.IN_LINE, "", "0.9"),
    )
    attendance = Attendance((LiveWorker("here", "1.0"),), works, knows_names=True)
    assert [each.workflow_id for each in attendance.ownerless] == ["1", "3"]
    assert attendance.in_line == 2
    assert Attendance((), works, knows_names=True).ownerless == works


async def test_two_workers_never_claim_the_same(line: Line) -> None:
    """Only one of them claims at a time."""

    class Busy(FileLease):
        @asynccontextmanager
        async def alone(self, duty: str) -> AsyncIterator[bool]:
            yield False

    await asyncio.to_thread(line.queue.open_lines, "worker")
    claims = Claims(line.queue, Busy("worker"), "worker", VERSION, Pace(6, None, 0))
    await claims.claim()
    assert await asyncio.to_thread(line.queue.claimed, "worker") == []

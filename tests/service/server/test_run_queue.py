"""The queue of runs with a maker that a test steers: order, limits, cancelling."""

import asyncio
from dataclasses import replace

import pytest

from tests.patience import PATIENCE_S
from tests.service.server.steered_queue import (
    Maker,
    asked,
    emptied,
    folder_of,
    queue_of,
    queued,
    state,
    submitted,
    until,
)
from tests.service.store_writer import writer_of
from tests.toolkit.upstream import Clock
from trading_graph.service.errors import StoreUnavailableError
from trading_graph.service.run.folder import RunFolder
from trading_graph.service.server import run_queue
from trading_graph.service.server.disk_room import DiskRoom
from trading_graph.service.server.run_events import (
    RunFinished,
    read_events,
)
from trading_graph.service.server.run_queue import (
    IdempotencyConflictError,
    QueueClosingError,
    QueueFullError,
    RunQueue,
)
from trading_graph.service.store import (
    RunState,
    Store,
    now,
)


async def test_what_is_asked_before_it_begins_waits(store: Store) -> None:
    maker, queue = Maker(), queue_of(store, at_once=1, in_line=1)
    await queue.take_up()
    ids = await submitted(queue, "A", "B")
    with pytest.raises(QueueFullError):
        await submitted(queue, "C")
    await asyncio.sleep(0.01)
    assert (queue.begun, queue.running, queue.waiting) == (False, 0, 2)
    queue.begin(maker)
    assert queue.begun
    await until(store, ids[1], RunState.DONE)
    assert maker.began == ["A", "B"]
    await queue.close()


async def test_one_that_is_stopping_does_not_begin(store: Store) -> None:
    maker, queue = Maker(), queue_of(store, at_once=1, in_line=1)
    await queue.take_up()
    (run_id,) = await submitted(queue, "A")
    assert await queue.drain(0)
    queue.begin(maker)
    await asyncio.sleep(0.01)
    assert (queue.begun, maker.began) == (False, [])
    await queue.close()
    assert await state(store, run_id) is RunState.QUEUED, "for the next start"


async def test_so_many_are_made_at_once_and_in_their_order(store: Store) -> None:
    maker, names = Maker(), [f"S{number}" for number in range(12)]
    maker.hold(*names)
    async with queued(store, maker, at_once=3) as queue:
        ids = await submitted(queue, *names)
        await until(store, ids[2], RunState.RUNNING)
        assert (queue.running, queue.waiting) == (3, 9)
        maker.release()
        for run_id in ids:
            await until(store, run_id, RunState.DONE)
        await asyncio.wait_for(emptied(queue), 10)
    assert maker.most_at_once == 3
    assert maker.began == names


async def test_a_full_line_refuses_and_queues_nothing(store: Store) -> None:
    maker = Maker()
    maker.hold("S0", "S1", "S2")
    async with queued(store, maker, at_once=1, in_line=2) as queue:
        ids = await submitted(queue, "S0", "S1", "S2")
        with pytest.raises(QueueFullError) as full:
            await queue.submit(asked("S3"))
        assert int(full.value.headers["Retry-After"]) >= 1
        assert {run.id for run in await store.runs()} == set(ids)
        maker.release()
        await until(store, ids[2], RunState.DONE)
        assert await submitted(queue, "S3"), "there is room again"


async def test_many_at_the_same_time_find_the_line_no_longer_than_it_may_be(store: Store) -> None:
    maker, names = Maker(), [f"S{number}" for number in range(40)]
    maker.hold(*names)
    async with queued(store, maker, at_once=2, in_line=5) as queue:
        found = await asyncio.gather(
            *(queue.submit(asked(name)) for name in names), return_exceptions=True
        )
    refused = [each for each in found if isinstance(each, QueueFullError)]
    assert len(refused) == len(names) - 7
    assert len(await store.runs()) == 7


async def refusal(queue: RunQueue) -> QueueFullError:
    with pytest.raises(QueueFullError) as full:
        await queue.submit(asked("refused"))
    return full.value


async def test_a_refusal_says_when_the_next_run_under_way_will_have_ended(store: Store) -> None:
    """And not when the whole line will have been worked off."""
    maker, clock = Maker(), Clock()
    async with queued(store, maker, at_once=2, in_line=20, clock=clock) as queue:
        maker.hold("A", "B", "C", *(f"S{number}" for number in range(20)))
        ids = await submitted(queue, "A", "B", "C", *(f"S{number}" for number in range(19)))
        await until(store, ids[1], RunState.RUNNING)
        first = await refusal(queue)
        assert (first.wait_s, first.headers["Retry-After"]) == (60.0, "60")
        assert "a run takes 60 s, since none has ended yet" in first.detail
        clock.now = 40.0
        maker.release("A")
        await until(store, ids[2], RunState.RUNNING)
        await submitted(queue, "S19")
        clock.now = 42.0
        maker.release("B")
        await until(store, ids[3], RunState.RUNNING)
        await submitted(queue, "D")
        # One has run for 2 s and one for none, and the two before took 40 and 42 s.
        second = await refusal(queue)
        assert second.wait_s == 40.0
        assert "the last 2." in second.detail
        clock.now = 72.5
        assert (await refusal(queue)).headers["Retry-After"] == "10"


async def test_how_long_runs_take_is_known_after_a_new_start(store: Store) -> None:
    for number in range(3):
        run = replace(asked(f"S{number}"), state=RunState.DONE, started=now() - 40, ended=now())
        await store.add(run)
    maker = Maker()
    maker.hold("A")
    async with queued(store, maker, at_once=1, in_line=0, clock=Clock()) as queue:
        ids = await submitted(queue, "A")
        await until(store, ids[0], RunState.RUNNING)
        assert (await refusal(queue)).wait_s == pytest.approx(40, abs=0.1)


async def test_before_it_begins_a_place_is_free_when_a_first_run_has_ended(store: Store) -> None:
    queue = queue_of(store, at_once=3, in_line=0)
    await queue.take_up()
    await submitted(queue, "A", "B", "C")
    assert (await refusal(queue)).wait_s == 60.0
    await queue.close()


async def test_one_that_fails_says_why_and_the_next_is_made(store: Store) -> None:
    async with queued(store, Maker()) as queue:
        bad, good = await submitted(queue, "BAD", "GOOD")
        await until(store, good, RunState.DONE)
        failed = await store.run(bad)
        assert failed is not None
        assert (failed.state, failed.error) == (RunState.FAILED, "the model said no")
        folder = RunFolder(folder_of(store), bad)
        (end,) = await asyncio.to_thread(read_events, failed, folder)
        assert isinstance(end, RunFinished)
        assert (end.state, end.error) == (RunState.FAILED, "the model said no")


async def test_a_clock_that_is_set_back_ends_no_run_before_it_began(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Maker()
    maker.hold("A")
    async with queued(store, maker) as queue:
        (first,) = await submitted(queue, "A")
        await until(store, first, RunState.RUNNING)
        monkeypatch.setattr(run_queue, "now", lambda: now() - 3600)
        maker.release()
        await until(store, first, RunState.DONE)
    run = await store.run(first)
    assert run is not None
    assert run.started is not None
    assert run.ended is not None
    assert run.started <= run.ended


async def test_one_that_waits_is_cancelled_and_never_made(store: Store) -> None:
    maker = Maker()
    maker.hold("A")
    async with queued(store, maker) as queue:
        first, second, third = await submitted(queue, "A", "B", "C")
        events = queue.events(second)
        assert events is not None
        await asyncio.gather(*(queue.cancel(second) for _ in range(5)))
        assert await state(store, second) is RunState.CANCELLED
        assert len(events.told) == 1, "its end is told once"
        maker.release()
        await until(store, third, RunState.DONE)
    assert maker.began == ["A", "C"]
    assert await state(store, first) is RunState.DONE


async def test_one_that_is_made_is_cancelled_and_the_next_is_made(store: Store) -> None:
    maker = Maker()
    maker.hold("A")
    async with queued(store, maker) as queue:
        first, second = await submitted(queue, "A", "B")
        await until(store, first, RunState.RUNNING)
        await queue.cancel(first)
        assert await state(store, first) is RunState.CANCELLED
        await until(store, second, RunState.DONE)
        await queue.cancel(second)
        assert await state(store, second) is RunState.DONE, "what is over stays as it is"


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_at_any_moment_it_is_over_and_so_kept(store: Store, turns: int) -> None:
    async with queued(store, Maker()) as queue:
        (run_id,) = await submitted(queue, "A")
        events = queue.events(run_id)
        for _ in range(turns):
            await asyncio.sleep(0.0005 * (turns % 3))
        async with asyncio.timeout(PATIENCE_S):
            await queue.cancel(run_id)
        assert await state(store, run_id) in (RunState.CANCELLED, RunState.DONE)
        assert queue.events(run_id) is None
        assert events is not None
        assert isinstance(events.told[-1], RunFinished)


@pytest.mark.parametrize("turns", range(6))
async def test_who_asks_and_goes_away_leaves_nothing_half_done(store: Store, turns: int) -> None:
    async with queued(store, Maker()) as queue:
        asking = asyncio.create_task(queue.submit(asked("A")))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(0.05)
        for run in await store.runs():
            await until(store, run.id, RunState.DONE)


async def test_who_cancels_and_goes_away_has_cancelled(store: Store) -> None:
    maker = Maker()
    maker.hold("A", "B")
    async with queued(store, maker) as queue:
        ids = await submitted(queue, "A", "B")
        await until(store, ids[0], RunState.RUNNING)
        for run_id in ids:
            cancelling = asyncio.create_task(queue.cancel(run_id))
            await asyncio.sleep(0)
            cancelling.cancel()
            await asyncio.gather(cancelling, return_exceptions=True)
            await until(store, run_id, RunState.CANCELLED)


async def test_the_same_key_at_the_same_time_starts_one_run(store: Store) -> None:
    maker = Maker()
    async with queued(store, maker) as queue:
        found = await asyncio.gather(*(queue.submit(asked("A", "key")) for _ in range(50)))
        assert len({run.id for run, _ in found}) == 1
        assert sum(created for _, created in found) == 1
        await until(store, found[0][0].id, RunState.DONE)
        again, created = await queue.submit(asked("A", "key"))
        assert (again.id, created) == (found[0][0].id, False), "also when it is over"
        with pytest.raises(IdempotencyConflictError):
            await queue.submit(asked("B", "key"))
    assert maker.began == ["A"]


async def test_drained_waits_for_what_runs_and_starts_nothing(store: Store) -> None:
    maker = Maker()
    maker.hold("A")
    async with queued(store, maker) as queue:
        ids = await submitted(queue, "A", "B")
        await until(store, ids[0], RunState.RUNNING)
        draining = asyncio.create_task(queue.drain(30))
        await asyncio.sleep(0.01)
        assert queue.closing
        with pytest.raises(QueueClosingError):
            await queue.submit(asked("C"))
        maker.release()
        assert await draining
    assert [await state(store, run_id) for run_id in ids] == [RunState.DONE, RunState.QUEUED]


async def test_a_store_that_fails_queues_nothing(store: Store) -> None:
    maker = Maker()
    async with queued(store, maker) as queue:
        writer = await writer_of(store)
        await writer.pragma("query_only = ON")
        with pytest.raises(StoreUnavailableError):
            await queue.submit(asked("A"))
        assert queue.waiting == 0
        await writer.pragma("query_only = OFF")
        (run_id,) = await submitted(queue, "B")
        await until(store, run_id, RunState.DONE)
    assert maker.began == ["B"]


async def test_a_full_disk_pauses_what_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_queue, "_LOOK_S", 0.01)
    maker, queue = Maker(), queue_of(store, at_once=1, in_line=5, needed=2**62)
    await queue.take_up()
    queue.begin(maker)
    (run_id,) = await submitted(queue, "A")
    await asyncio.sleep(0.1)
    assert maker.began == []
    assert await state(store, run_id) is RunState.QUEUED
    queue._room = DiskRoom(folder_of(store), 0)
    await until(store, run_id, RunState.DONE)
    await queue.close()

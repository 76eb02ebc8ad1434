"""What a queue of runs does with those that an earlier process left."""

import asyncio
from dataclasses import replace
from pathlib import Path

from tests.otel.test_run_log import first_life
from tests.run_lives import of_an_earlier_release
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
from trading_graph.service.run.folder import RunFolder
from trading_graph.service.server.run_events import read_events
from trading_graph.service.store import (
    RunFiles,
    RunState,
    Store,
    open_store,
    restore_runs,
)


async def test_what_an_earlier_release_told_keeps_its_numbers(store: Store) -> None:
    run = replace(asked("A"), state=RunState.RUNNING)
    folder = RunFolder(folder_of(store), run.id)
    await asyncio.to_thread(folder.path.mkdir)
    await asyncio.to_thread(first_life, folder.path)
    told = await asyncio.to_thread(read_events, run, folder)
    assert len(told) == 5
    await asyncio.to_thread(of_an_earlier_release, folder.trace)
    await store.add(run)
    queue = queue_of(store, at_once=1, in_line=1)
    await queue.take_up()
    events = queue.events(run.id)
    assert events is not None
    assert list(events.told) == told
    assert queue.last_events() == {run.id: len(told)}
    await queue.close()


async def test_what_is_left_goes_on_first_and_what_waited_follows_in_its_order(
    store: Store,
) -> None:
    maker = Maker()
    maker.hold("A", "B")
    async with queued(store, maker, at_once=2) as queue:
        ids = await submitted(queue, "A", "B", "C", "D")
        await until(store, ids[1], RunState.RUNNING)
    assert [await state(store, run_id) for run_id in ids] == ["running"] * 2 + ["queued"] * 2
    assert maker.began == ["A", "B"], "closing starts nothing"
    later = Maker()
    async with queued(store, later) as queue:
        for run_id in ids:
            await until(store, run_id, RunState.DONE)
    assert later.began == ["A", "B", "C", "D"]
    assert later.resumed == [1, 1, 0, 0]


async def test_a_run_that_ended_its_process_three_times_is_parked(store: Store) -> None:
    maker = Maker()
    maker.hold("A")
    for died in range(3):
        queue = queue_of(store, at_once=1, in_line=5)
        await queue.take_up()
        queue.begin(maker)
        if not died:
            (run_id,) = await submitted(queue, "A")
        await until(store, run_id, RunState.RUNNING)
        while len(maker.began) <= died:  # noqa: ASYNC110 - only tests wait for it.
            await asyncio.sleep(0.005)
        # A process that dies closes nothing.
        for task in asyncio.all_tasks():
            if task.get_name().startswith(("runs ", "run ", "events of ")):
                task.cancel()
        await asyncio.sleep(0)
    queue = queue_of(store, at_once=1, in_line=5)
    await queue.take_up()
    queue.begin(maker)
    (other,) = await submitted(queue, "B")
    await until(store, other, RunState.DONE)
    parked = await store.run(run_id)
    assert parked is not None
    assert parked.state is RunState.FAILED
    assert f"run --resume {run_id}" in str(parked.error)
    assert maker.began == ["A", "A", "A", "B"]
    await queue.close()


async def test_a_service_that_stops_kills_no_run(store: Store) -> None:
    maker = Maker()
    maker.hold("A")
    for stops in range(4):
        queue = queue_of(store, at_once=1, in_line=5)
        await queue.take_up()
        queue.begin(maker)
        if not stops:
            (run_id,) = await submitted(queue, "A")
        while len(maker.began) <= stops:  # noqa: ASYNC110 - only tests wait for it.
            await asyncio.sleep(0.005)
        await queue.close()
    run = await store.run(run_id)
    assert run is not None
    assert (run.state, run.kills) == (RunState.RUNNING, 0)


async def test_records_bring_back_what_a_store_lost(store: Store, tmp_path: Path) -> None:
    maker = Maker()
    async with queued(store, maker) as queue:
        done, bad = await submitted(queue, "A", "BAD")
        await emptied(queue)
    maker.hold("C")
    async with queued(store, maker) as queue:
        (open_run,) = await submitted(queue, "C")
        await until(store, open_run, RunState.RUNNING)
    files = RunFiles(folder_of(store))
    records = await asyncio.to_thread(lambda: list(files.read()))
    async with open_store(tmp_path / "another.sqlite") as another:
        await another.add(replace(records[0], state=RunState.RUNNING, ended=None))
        missing = await restore_runs(another, records)
        assert {each.id for each in missing} == {done, bad, open_run} - {records[0].id}
        for run_id in (done, bad, open_run):
            assert await another.run(run_id) == await store.run(run_id)

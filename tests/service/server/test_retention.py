"""What is too old goes, whole; what is not, and what others made, stays."""

import asyncio
from pathlib import Path

import pytest

from trading_graph.service.run.request import RunRequest
from trading_graph.service.store import (
    Retention,
    RunFiles,
    RunState,
    Store,
    StoredRun,
    StoredVerdict,
    forget,
    now,
    open_store,
)

DAY_S = 86_400.0
OLD, NEW, OPEN, FOREIGN = ("0" * 31 + digit for digit in "1234")


def run(run_id: str, state: RunState, ended: float | None) -> StoredRun:
    return StoredRun(
        id=run_id,
        request=RunRequest(symbol="AAPL"),
        symbol="AAPL",
        date="2025-11-14",
        state=state,
        trace_id=run_id,
        traceparent=None,
        idempotency_key=None,
        created=now() - 40 * DAY_S,
        ended=ended,
    )


def verdict(run_id: str, document: str) -> StoredVerdict:
    return StoredVerdict(run_id, run_id, "trading-graph", "n", 0.0, 1.0, True, now(), document)


async def filled(store: Store, out: Path) -> None:
    await store.add(run(OLD, RunState.DONE, now() - 31 * DAY_S))
    await store.add(run(NEW, RunState.FAILED, now() - 29 * DAY_S))
    await store.add(run(OPEN, RunState.RUNNING, None))
    for run_id in (OLD, NEW, OPEN):
        await store.keep_verdict(verdict(run_id, "{}"))
    await asyncio.to_thread(make_folders, out)


def make_folders(out: Path) -> None:
    for run_id in (OLD, NEW, OPEN, FOREIGN):
        (out / run_id).mkdir()
        (out / run_id / "trace.jsonl").write_text("")


def folders(out: Path) -> set[str]:
    return {folder.name for folder in out.iterdir() if folder.is_dir()}


async def test_only_what_is_over_for_long_enough_goes(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await filled(store, tmp_path)
        assert await forget(store, RunFiles(tmp_path), tmp_path, Retention(30)) == 1
        assert {each.id for each in await store.runs()} == {NEW, OPEN}
        assert await store.verdict(OLD) is None
        assert await store.verdict(NEW) is not None
    kept = await asyncio.to_thread(folders, tmp_path)
    assert kept == {NEW, OPEN, FOREIGN}, "a folder that the service did not make is not its own"


async def test_a_folder_that_is_gone_already_is_no_fault(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await store.add(run(OLD, RunState.DONE, now() - 31 * DAY_S))
        assert await forget(store, RunFiles(tmp_path), tmp_path, Retention(30)) == 1
        assert await store.runs() == []


@pytest.mark.parametrize("days", [0.5, 45])
async def test_the_setting_decides(tmp_path: Path, days: float) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await filled(store, tmp_path)
        gone = await forget(store, RunFiles(tmp_path), tmp_path, Retention(days))
    assert gone == (2 if days < 1 else 0)


async def test_past_the_size_the_oldest_go_first(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await filled(store, tmp_path)
        size = 2**20
        for run_id in (OLD, NEW, OPEN, FOREIGN):
            path = tmp_path / run_id / "trace.jsonl"
            await asyncio.to_thread(path.write_bytes, bytes(size))
        keep = Retention(365, gib=1.5 * size / 2**30)
        assert await forget(store, RunFiles(tmp_path), tmp_path, keep) == 1
        assert {each.id for each in await store.runs()} == {NEW, OPEN}
        assert await forget(store, RunFiles(tmp_path), tmp_path, keep) == 0
    kept = await asyncio.to_thread(folders, tmp_path)
    assert kept == {NEW, OPEN, FOREIGN}, "what runs, and what is not the service's, is left alone"


async def test_the_store_shrinks_with_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "service.sqlite"
    async with open_store(path) as store:
        await store.add(run(OLD, RunState.DONE, now() - 31 * DAY_S))
        await store.keep_verdict(verdict(OLD, "x" * 2_000_000))
    before = (await asyncio.to_thread(path.stat)).st_size
    async with open_store(path) as store:
        assert await forget(store, RunFiles(tmp_path), tmp_path, Retention(30)) == 1
        await store.add(run(NEW, RunState.DONE, now()))
        assert await store.verdict(OLD) is None
    assert (await asyncio.to_thread(path.stat)).st_size < before / 4

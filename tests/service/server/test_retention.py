"""What is too old goes, whole; what is not, and what others made, stays."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.service.server.open_service import Service, opened
from tests.service.server.test_portfolios import over
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.portfolio_files import ENTRY
from trading_graph.service.store import (
    Ended,
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


async def no_portfolios() -> list[Ended]:
    return []


def folders(out: Path) -> set[str]:
    return {folder.name for folder in out.iterdir() if folder.is_dir()}


async def test_only_what_is_over_for_long_enough_goes(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await filled(store, tmp_path)
        assert await forget(store, RunFiles(tmp_path), tmp_path, Retention(30), no_portfolios) == 1
        assert {each.id for each in await store.runs()} == {NEW, OPEN}
        assert await store.verdict(OLD) is None
        assert await store.verdict(NEW) is not None
    kept = await asyncio.to_thread(folders, tmp_path)
    assert kept == {NEW, OPEN, FOREIGN}, "a folder that the service did not make is not its own"


async def test_a_folder_that_is_gone_already_is_no_fault(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await store.add(run(OLD, RunState.DONE, now() - 31 * DAY_S))
        assert await forget(store, RunFiles(tmp_path), tmp_path, Retention(30), no_portfolios) == 1
        assert await store.runs() == []


@pytest.mark.parametrize("days", [0.5, 45])
async def test_the_setting_decides(tmp_path: Path, days: float) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await filled(store, tmp_path)
        gone = await forget(store, RunFiles(tmp_path), tmp_path, Retention(days), no_portfolios)
    assert gone == (2 if days < 1 else 0)


async def test_past_the_size_the_oldest_go_first(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await filled(store, tmp_path)
        size = 2**20
        for run_id in (OLD, NEW, OPEN, FOREIGN):
            path = tmp_path / run_id / "trace.jsonl"
            await asyncio.to_thread(path.write_bytes, bytes(size))
        keep = Retention(365, gib=1.5 * size / 2**30)
        assert await forget(store, RunFiles(tmp_path), tmp_path, keep, no_portfolios) == 1
        assert {each.id for each in await store.runs()} == {NEW, OPEN}
        assert await forget(store, RunFiles(tmp_path), tmp_path, keep, no_portfolios) == 0
    kept = await asyncio.to_thread(folders, tmp_path)
    assert kept == {NEW, OPEN, FOREIGN}, "what runs, and what is not the service's, is left alone"


async def test_the_store_shrinks_with_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "service.sqlite"
    async with open_store(path) as store:
        await store.add(run(OLD, RunState.DONE, now() - 31 * DAY_S))
        await store.keep_verdict(verdict(OLD, "x" * 2_000_000))
    before = (await asyncio.to_thread(path.stat)).st_size
    async with open_store(path) as store:
        assert await forget(store, RunFiles(tmp_path), tmp_path, Retention(30), no_portfolios) == 1
        await store.add(run(NEW, RunState.DONE, now()))
        assert await store.verdict(OLD) is None
    assert (await asyncio.to_thread(path.stat)).st_size < before / 4


async def test_a_portfolio_goes_with_its_runs_and_can_be_asked_for_again(tmp_path: Path) -> None:
    body = {"symbols": ["AAPL"], "analysts": ["market"]}
    key = {"Idempotency-Key": "one"}
    async with opened(tmp_path) as service:
        out, portfolios = service.parts.out, service.parts.portfolios
        asked = (await service.post("/v1/portfolios", body, 202, **key))["portfolio_id"]
        at_terminal = await at_a_terminal(service, asked)
        run_id = (await over(service, asked))["ticker_days"][0]["run_id"]

        async def kept(keep: Retention) -> int:
            files = RunFiles(out)
            return await forget(service.parts.store, files, out, keep, portfolios.queue.ended)

        assert await kept(Retention(30, gib=1)) == 0
        for page in (f"/portfolios/{asked}", f"/runs/{run_id}"):
            async with service.http.get(page) as answer:
                assert answer.status == 200, page
        assert await kept(Retention(30, gib=1e-6)) == 1, "it takes more than a kilobyte"
        for page in (f"/portfolios/{asked}", f"/runs/{run_id}", f"/v1/portfolios/{asked}"):
            async with service.http.get(page) as answer:
                assert answer.status == 404, page
        assert len((await service.get("/v1/portfolios"))["portfolios"]) == 1
        folder = portfolios.files.folder
        there = (out / run_id, folder(asked).path, folder(at_terminal).path)
        assert await asyncio.to_thread(lambda: [each.exists() for each in there]) == [
            *(False, False, True)
        ]
        again = await service.post("/v1/portfolios", body, 202, **key)
        assert again["portfolio_id"] == asked, "what is asked for once more begins anew"
        await over(service, asked)
        assert await kept(Retention(1e-9)) == 1


async def at_a_terminal(service: Service, asked: str) -> str:
    """A copy of a portfolio that is over, as another process leaves one; its id."""
    await over(service, asked)
    source, copy = service.parts.portfolios.files.folder(asked).path, "f" * 32

    def make() -> None:
        shutil.copytree(source, source.with_name(copy))
        (source.with_name(copy) / ENTRY).unlink()

    await asyncio.to_thread(make)
    return copy

"""A store that is lost, damaged or old: the next start builds it again from the records of runs."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S
from tests.service.server.open_service import Service, opened
from tests.service.server.otlp_client import document, export, root, verdict
from trading_graph.service.server.serving import STORE


def delete(store: Path) -> None:
    for path in store.parent.glob(f"{store.name}*"):
        path.unlink()


def truncate(store: Path) -> None:
    content = store.read_bytes()
    store.write_bytes(content[: len(content) // 2])


def overwrite(store: Path) -> None:
    store.write_bytes(b"this is no database" * 500)


@pytest.mark.parametrize("harm", [delete, truncate, overwrite])
async def test_everything_of_a_run_is_there_again(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    store = tmp_path / "runs" / STORE
    key = {"Idempotency-Key": "the same"}
    async with opened(tmp_path) as service:
        asked = {"symbol": "AAPL", "analysts": ["market"]}
        run = await service.over((await service.post("/v1/runs", asked, 202, **key))["id"])
        events = await service.events(run["id"])
        verdict = await service.get(f"/v1/runs/{run['id']}/verdict")
    await asyncio.to_thread(harm, store)
    async with opened(tmp_path) as service:
        assert await service.get(f"/v1/runs/{run['id']}") == run
        again = await service.post("/v1/runs", asked, None, **key)
        assert again["id"] == run["id"], "nothing is paid for twice"
        assert await service.events(run["id"]) == events, "with their numbers"
        assert await restored_verdict(service, run["id"]) == verdict
    if harm is not delete:
        assert await asyncio.to_thread(lambda: list(store.parent.glob(f"{STORE}.damaged-*")))


async def test_a_store_that_is_deleted_while_it_is_used_loses_nothing(tmp_path: Path) -> None:
    store = tmp_path / "runs" / STORE
    async with opened(tmp_path) as service:
        first = await service.over((await service.start())["id"])
        await service.get("/readyz")
        await asyncio.to_thread(delete, store)
        second = await service.over((await service.start(symbol="NVDA"))["id"])
        assert "its file was removed" in (await service.get("/readyz", 503))["detail"]
        (part,) = [
            each for each in (await service.get("/v1/health"))["parts"] if each["part"] == "Store"
        ]
        assert part["level"] == "bad"
        assert "restart the service" in part["advice"]
    async with opened(tmp_path) as service:
        for run in (first, second):
            assert await service.get(f"/v1/runs/{run['id']}") == run


async def test_another_file_in_the_place_of_the_store_is_noticed(tmp_path: Path) -> None:
    store, copy = tmp_path / "runs" / STORE, tmp_path / "copy.sqlite"
    async with opened(tmp_path, begun=False) as service:
        await service.get("/readyz")
        await asyncio.to_thread(copy_database, store, copy)
        await asyncio.to_thread(copy.replace, store)
        assert "restart the service" in (await service.get("/readyz", 503))["detail"]


async def test_the_verdicts_of_received_traces_are_there_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "runs" / STORE
    async with opened(tmp_path, begun=False) as service:
        before = {}
        for number in (1, 2):
            await export(service, root(trace=number, declared=1))
            await verdict(service, f"{number:032x}")
            before[number] = await document(service, f"{number:032x}")
    await asyncio.to_thread(delete, store)
    async with opened(tmp_path, begun=False) as service:
        for number, judged in before.items():
            await verdict(service, f"{number:032x}")
            assert await document(service, f"{number:032x}") == judged
    told = "verdicts the store lacked, judged again: 2."
    assert [told in each.message for each in caplog.records].count(True) == 1
    caplog.clear()
    async with opened(tmp_path, begun=False) as service:
        await export(service, root(trace=3, declared=1))
        await verdict(service, f"{3:032x}")
    assert "judged again" not in caplog.text


async def restored_verdict(service: Service, run_id: str) -> dict[str, Any]:
    """The verdict on a run, once it is there: the service answers before."""
    async with asyncio.timeout(PATIENCE_S):
        while await service.parts.store.verdict(run_id) is None:  # noqa: ASYNC110 - only a test.
            await asyncio.sleep(0.02)
    found: dict[str, Any] = await service.get(f"/v1/runs/{run_id}/verdict")
    return found


async def test_an_older_store_does_not_bring_back_what_is_over(tmp_path: Path) -> None:
    store, copy = tmp_path / "runs" / STORE, tmp_path / "copy.sqlite"
    async with opened(tmp_path, chat_latency_s=0.3) as service:
        run = await service.start()
        await service.until(run["id"], lambda now: now["state"] == "running")
        await asyncio.to_thread(copy_database, store, copy)
        ended = await service.over(run["id"])
    await asyncio.to_thread(delete, store)
    await asyncio.to_thread(shutil.copy, copy, store)
    async with opened(tmp_path) as service:
        assert await service.get(f"/v1/runs/{run['id']}") == ended


def copy_database(source: Path, target: Path) -> None:
    """A copy of a moment, as a backup makes it."""
    there, here = sqlite3.connect(source), sqlite3.connect(target)
    with here:
        there.backup(here)
    there.close()
    here.close()

"""Following a run: no gap and no repetition, whoever comes back, goes away or waits."""

import asyncio
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.patience import PATIENCE_S
from tests.service.server.open_service import Service, opened, parsed
from trading_graph.service.server import run_events
from trading_graph.service.server.app import all_operations
from trading_graph.service.server.openapi import openapi


async def first(service: Service, run_id: str, after: int, many: int) -> list[dict[str, Any]]:
    """Some events past a number; then the connection is cut."""
    found: list[dict[str, Any]] = []
    headers = {"Last-Event-ID": str(after)} if after else {}
    async with service.http.get(f"/v1/runs/{run_id}/events", headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        block = b""
        async for line in answer.content:
            block += line
            if line == b"\n":
                found += parsed(block)
                block = b""
            if len(found) == many:
                if answer.connection is not None and answer.connection.transport is not None:
                    answer.connection.transport.abort()
                return found
    return found


async def test_one_that_is_cut_off_again_and_again_misses_none_and_gets_none_twice(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, chat_latency_s=0.1) as service:
        run = await service.start()
        seen: list[dict[str, Any]] = []
        cuts = 0
        while not seen or seen[-1]["type"] != "finished":
            seen += await first(service, run["id"], seen[-1]["id"] if seen else 0, 1 + cuts % 4)
            cuts += 1
        assert cuts > 3
        assert seen == await service.events(run["id"])
        assert [each["id"] for each in seen] == list(range(1, len(seen) + 1))
        for after in (1, len(seen) // 2, len(seen) - 1):
            assert await service.events(run["id"], after) == seen[after:]
            path = f"/v1/runs/{run['id']}/events?after={after}"
            async with service.http.get(path) as answer:
                assert parsed(await answer.read()) == seen[after:]


async def test_past_the_last_event_there_is_nothing_to_come_back_for(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        run = await service.start()
        await service.over(run["id"])
        last = (await service.events(run["id"]))[-1]["id"]
        for after in (last, last + 1, 10**14):
            headers = {"Last-Event-ID": str(after)}
            async with service.http.get(f"/v1/runs/{run['id']}/events", headers=headers) as answer:
                assert answer.status == 204
                assert await answer.read() == b""


async def test_a_last_event_that_is_no_number_begins_at_the_beginning(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        run = await service.start()
        await service.over(run["id"])
        for wrong in ("", "x", "-1", "1.5", "\uff19", "9" * 40, "1, 2", "0x10"):
            headers = {"Last-Event-ID": wrong}
            async with service.http.get(run["links"]["events"], headers=headers) as answer:
                assert parsed(await answer.read())[0]["id"] == 1, wrong


async def test_who_follows_one_that_waits_sees_it_begin_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_events, "IDLE_S", 0.05)
    async with opened(tmp_path, chat_latency_s=0.1, serve_runs_at_once=1) as service:
        await service.start()
        run = await service.start(symbol="NVDA")
        async with service.http.get(f"/v1/runs/{run['id']}/events") as answer:
            stream = await answer.read()
    assert stream.startswith(b": still here\n\n"), "or a proxy would take it for dead"
    told = parsed(stream)
    assert [told[0]["type"], told[-1]["type"]] == ["run.started", "finished"]


async def test_those_who_go_away_in_the_middle_harm_nobody_and_leave_no_task(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, chat_latency_s=0.15) as service:
        await service.over((await service.start())["id"])
        before = running()
        run = await service.start(symbol="NVDA")
        stays = asyncio.create_task(service.events(run["id"]))
        gone = [asyncio.create_task(first(service, run["id"], 0, many)) for many in range(1, 21)]
        for task in gone[::2]:
            await asyncio.sleep(0.005)
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        told = await stays
        assert told[-1]["state"] == "done"
        assert [each["id"] for each in told] == list(range(1, len(told) + 1))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if not running() - before:
                    return
                await asyncio.sleep(0.05)


def running() -> set[str]:
    """What the service's tasks are doing."""
    here = asyncio.current_task()
    return {
        f"{task.get_name()} {task.get_coro()!r}"
        for task in asyncio.all_tasks()
        if task is not here and "RequestHandler.start" not in repr(task.get_coro())
    }


async def test_events_hold_no_content(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        run = await service.start()
        await service.over(run["id"])
        told = await service.events(run["id"])
    known = {"id", "type", "start", "end", "span_id", "parent_id", "name", "agent", "tool"}
    known |= {"model", "error", "cache", "input_tokens", "output_tokens", "passed", "state", "at"}
    known |= {"seconds", "action", "confidence", "degraded", "langsmith"}
    assert {key for each in told for key in each} <= known
    tokens = [each for each in told if each["type"] == "llm.ended"]
    assert all(each["input_tokens"] and each["output_tokens"] for each in tokens)


async def test_each_event_is_as_the_openapi_document_says(tmp_path: Path) -> None:
    document = openapi(all_operations(), "1")
    answers = document["paths"]["/v1/runs/{run_id}/events"]["get"]["responses"]
    event = answers["200"]["content"]["text/event-stream"]["schema"]
    schema = event["properties"]["data"]["contentSchema"]
    here = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
    async with opened(tmp_path) as service:
        run = await service.start()
        await service.over(run["id"])
        told = await service.events(run["id"])
    assert {each["type"] for each in told} >= {"run.started", "llm.ended"}
    for each in told:
        here.validate({name: value for name, value in each.items() if name != "id"})
    assert not here.is_valid({"type": "llm.ended", "start": 1.0})

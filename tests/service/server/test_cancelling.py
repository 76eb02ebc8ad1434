"""A run that is cancelled ends where it stands, says so, and harms no other."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service.server.open_service import Service, opened, parsed
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable, semconv


def is_first_turn(event: dict[str, Any]) -> bool:
    return bool(event["type"] == "llm.started")


def is_tool(event: dict[str, Any]) -> bool:
    return bool(event["type"] == "tool.started")


def is_debate(event: dict[str, Any]) -> bool:
    return event["type"] == "agent.started" and event.get("agent") == "bull_researcher"


def is_judge(event: dict[str, Any]) -> bool:
    return event["type"] == "agent.started" and event.get("agent") == "risk_judge"


async def seen(service: Service, run_id: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Follow a run until something has happened in it."""
    async with service.http.get(f"/v1/runs/{run_id}/events") as answer:
        async for line in answer.content:
            if line.startswith(b"data: ") and wanted(parsed(b"id: 0\n" + line + b"\n")[0]):
                return
    raise AssertionError("the run was over before")


def trace_of(folder: Path, run_id: str) -> SpanTable:
    (trace,) = read(folder / "runs" / run_id / "trace.jsonl")
    return trace


@pytest.mark.parametrize("moment", [is_first_turn, is_tool, is_debate, is_judge])
async def test_wherever_it_stands_its_spans_say_cancelled(
    tmp_path: Path, moment: Callable[[dict[str, Any]], bool]
) -> None:
    async with opened(tmp_path, chat_latency_s=0.45, fetch_latency_s=0.6) as service:
        run = await service.start()
        await seen(service, run["id"], moment)
        answer = await service.post(f"/v1/runs/{run['id']}/cancel", status=200)
        assert answer["state"] == "cancelled"
        assert answer["ended"]
        assert answer["action"] is None
        told = await service.events(run["id"])
        again = await service.post(f"/v1/runs/{run['id']}/cancel", status=200)
        assert again == answer, "what is over stays as it is"
        verdict = await service.get(run["links"]["verdict"])
        await service.get(run["links"]["decision"], 404)
        diagnosis = await service.get(run["links"]["diagnosis"])
        view = await service.get(f"/v1/traces/{run['id']}/view")
        after = await service.start(symbol="NVDA")
        assert (await service.over(after["id"]))["state"] == "done"
    trace = await asyncio.to_thread(trace_of, tmp_path, run["id"])
    (root,) = trace.roots
    assert trace.attributes(root)[semconv.ERROR_TYPE] == "cancelled"
    assert trace.attributes(root)[semconv.SPANS_STARTED] == len(trace), "each of them has ended"
    stopped = [row for row in range(len(trace)) if semconv.ERROR_TYPE in trace.attributes(row)]
    assert {trace.attributes(row)[semconv.ERROR_TYPE] for row in stopped} == {"cancelled"}
    assert len(stopped) > 1, "what was open is marked too"
    assert len(view["cut"]) == len(stopped)
    assert view["cut"] == view["failed"], "none of them went wrong"
    assert [each["type"] for each in told[-2:]] == ["verdict", "finished"]
    assert told[-1]["state"] == "cancelled"
    assert (answer["passed"], verdict["passed"]) == (False, False), "it did not come to its end"
    assert verdict["spans"] == len(trace)
    failed = [each["title"] for each in verdict["checks"] if each["outcome"] == "fail"]
    assert "No error, retry or timeout stays hidden" in failed
    assert diagnosis["trace_id"] == run["trace_id"]
    assert [each["id"] for each in told] == list(range(1, len(told) + 1))


async def test_one_that_waits_leaves_no_trace_and_tells_its_end(tmp_path: Path) -> None:
    async with opened(tmp_path, chat_latency_s=0.5, serve_runs_at_once=1) as service:
        first = await service.start()
        second = await service.start(symbol="NVDA")
        follower = asyncio.create_task(service.events(second["id"]))
        await asyncio.sleep(0.05)
        answer = await service.post(f"/v1/runs/{second['id']}/cancel", status=200)
        assert (answer["state"], answer["started"]) == ("cancelled", None)
        told = await follower
        assert [each["type"] for each in told] == ["finished"]
        await service.get(second["links"]["trace"], 404)
        await service.get(second["links"]["verdict"], 404)
        assert (await service.over(first["id"]))["state"] == "done"


async def test_of_several_at_once_one_is_cancelled(tmp_path: Path) -> None:
    async with opened(tmp_path, chat_latency_s=0.2) as service:
        runs = [await service.start(symbol=symbol) for symbol in ("AAPL", "NVDA", "MSFT")]
        await seen(service, runs[1]["id"], is_first_turn)
        await service.post(f"/v1/runs/{runs[1]['id']}/cancel", status=200)
        over = [await service.over(run["id"]) for run in runs]
    assert [run["state"] for run in over] == ["done", "cancelled", "done"]
    assert all(run["passed"] is not None for run in over if run["state"] == "done")

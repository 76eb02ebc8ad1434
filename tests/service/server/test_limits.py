"""So many runs, so many requests: what is past a limit is told when to come back."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.service.server.open_service import ASK, opened


async def test_past_the_line_a_run_is_refused_and_not_queued(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"serve_runs_at_once": 2, "serve_runs_in_line": 3}
    async with opened(tmp_path, chat_latency_s=0.3, **limits) as service:

        async def ask() -> tuple[int, str | None]:
            async with service.http.post("/v1/runs", json=ASK) as answer:
                if answer.status == 429:
                    assert answer.content_type == "application/problem+json"
                    assert "ask again in" in (await answer.json(content_type=None))["detail"]
                return answer.status, answer.headers.get("Retry-After")

        found = await asyncio.gather(*(ask() for _ in range(20)))
        statuses = [status for status, _ in found]
        assert statuses.count(202) == 5
        assert statuses.count(429) == 15
        assert all(int(wait or 0) >= 1 for status, wait in found if status == 429)
        runs = (await service.get("/v1/runs"))["runs"]
        assert len(runs) == 5
        ready = await service.get("/readyz")
        assert (ready["running"], ready["waiting"]) == (2, 3)
        for run in runs:
            assert (await service.over(run["id"]))["state"] == "done"
        order = sorted(runs, key=lambda run: run["created"])
        begun = [(await service.get(f"/v1/runs/{run['id']}"))["started"] for run in order]
        assert begun == sorted(begun), "they were made in their order"
        await service.start()


async def test_the_same_key_fifty_times_at_once_starts_one_run(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        asked = [service.post("/v1/runs", ASK, None, **{"Idempotency-Key": "k"}) for _ in range(50)]
        found = await asyncio.gather(*asked)
        assert len({run["id"] for run in found}) == 1
        assert len((await service.get("/v1/runs"))["runs"]) == 1
        over = await service.over(found[0]["id"])
        again = await service.post("/v1/runs", ASK, 200, **{"Idempotency-Key": "k"})
        assert again == over
        other = {**ASK, "symbol": "NVDA"}
        problem = await service.post("/v1/runs", other, 409, **{"Idempotency-Key": "k"})
        assert "send a new one" in problem["detail"]
        same = {"symbol": " aapl ", "analysts": ["market"], "date": "2025-11-14"}
        same_run = await service.post("/v1/runs", same, 200, **{"Idempotency-Key": "k"})
        assert same_run["id"] == over["id"], "the same request in other words"


async def test_a_key_outlives_a_restart(tmp_path: Path) -> None:
    key = {"Idempotency-Key": "k"}
    async with opened(tmp_path) as service:
        run = await service.post("/v1/runs", ASK, 202, **key)
        over = await service.over(run["id"])
    async with opened(tmp_path) as service:
        assert await service.post("/v1/runs", ASK, 200, **key) == over


async def test_who_asks_too_often_is_told_to_wait_and_health_is_never_refused(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, serve_requests_per_s=0.01, serve_burst=5) as service:
        statuses = []
        for _ in range(8):
            async with service.http.get("/v1/runs") as answer:
                statuses.append(answer.status)
                if answer.status == 429:
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert json.loads(await answer.read())["detail"]
        assert statuses == [200] * 5 + [429] * 3
        await service.get("/healthz")
        await service.get("/readyz")


async def test_what_ran_and_what_waited_goes_on_at_the_next_start(tmp_path: Path) -> None:
    async with opened(tmp_path, chat_latency_s=0.4, serve_runs_at_once=1) as service:
        ids = [(await service.start(symbol=name))["id"] for name in ("AAPL", "NVDA", "MSFT")]
        await service.until(ids[0], lambda run: run["state"] == "running")
        await asyncio.sleep(0.3)
    async with opened(tmp_path, chat_latency_s=0.05, serve_runs_at_once=1) as service:
        over = [await service.over(run_id) for run_id in ids]
        told = await service.events(ids[0])
    assert [run["state"] for run in over] == ["done"] * 3
    assert [run["resumed"] for run in over] == [1, 0, 0]
    begun = [run["started"] for run in over]
    assert begun == sorted(begun)
    assert [each["id"] for each in told] == list(range(1, len(told) + 1))

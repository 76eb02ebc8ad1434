"""The health of what the service stands on: what is found, and what to do next."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S
from tests.service.server.open_service import Service, opened
from tests.service.server.test_feed import News, read_until
from trading_graph.otel.export.spool import MAX_BYTES, Spool
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.server import health as health_module


async def part(service: Service, name: str) -> dict[str, Any]:
    """What a report made now says of a part."""
    report = await service.parts.health.report(max_age_s=0)
    (found,) = [each for each in report.parts if each.part == name]
    return found.model_dump(mode="json")


async def test_where_all_is_well_nothing_is_to_be_done(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        report = await service.get("/v1/health")
        assert report["level"] == "good"
        assert [each["part"] for each in report["parts"]] == [
            *("Jaeger", "Spool", "Queue", "Disk", "Store")
        ]
        assert {each["advice"] for each in report["parts"]} == {None}


async def test_a_jaeger_that_is_used_and_does_not_answer_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, begun=False, jaeger_url="http://127.0.0.1:9") as service:
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        found = await part(service, "Jaeger")
    assert found["level"] == "warn"
    assert "127.0.0.1:9" in found["finding"]
    assert "TRADING_GRAPH_JAEGER_URL" in found["advice"]


async def test_offline_a_jaeger_that_nobody_asked_for_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JaegerQuery, "answers", lambda _: False)
    async with opened(tmp_path, begun=False) as service:
        await asyncio.to_thread(batch, tmp_path / "logs" / "spool" / "jaeger", 70, 100)
        jaeger, spool = await part(service, "Jaeger"), await part(service, "Spool")
        assert (jaeger["level"], jaeger["finding"]) == ("good", "is not used")
        assert (spool["level"], spool["finding"]) == ("good", "nothing has to be sent")
        # What waits for another backend is missed there.
        await asyncio.to_thread(batch, tmp_path / "logs" / "spool" / "langsmith", 30, 100)
        assert "30 spans" in (await part(service, "Spool"))["finding"]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    async with opened(tmp_path, begun=False) as service:
        assert "100 spans" in (await part(service, "Spool"))["finding"]
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        assert (await part(service, "Jaeger"))["level"] == "warn"


def batch(folder: Path, spans: int, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"00000000000000000001-1-0.{spans}.jsonl").write_bytes(b"x" * size)


async def test_a_spool_is_watched_by_what_waits_and_what_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "spool" / "jaeger"
    async with opened(tmp_path, begun=False, jaeger_url="http://127.0.0.1:9") as service:
        await asyncio.to_thread(batch, folder, 70, 100)
        found = await part(service, "Spool")
        assert (found["level"], "70 spans" in found["finding"]) == ("warn", True)
        assert "trading-graph replay" in found["advice"]
        await asyncio.to_thread(batch, folder, 70, MAX_BYTES)
        assert (await part(service, "Spool"))["level"] == "bad"
        await asyncio.to_thread((folder / "evicted").write_text, "12\n30\n")
        found = await part(service, "Spool")
        assert (found["level"], "42 spans are lost" in found["finding"]) == ("bad", True)
        await asyncio.to_thread(Spool(folder).reset_evictions)
        await asyncio.to_thread(shutil.rmtree, folder)
        assert (await part(service, "Spool"))["level"] == "good"


async def test_a_queue_says_how_full_it_is(tmp_path: Path) -> None:
    limits = {"serve_runs_at_once": 1, "serve_runs_in_line": 4}
    levels = []
    async with opened(tmp_path, begun=False, **limits) as service:
        for _ in range(5):
            levels.append((await part(service, "Queue"))["level"])
            await service.start()
        found = await part(service, "Queue")
        assert levels == ["good", "good", "good", "good", "warn"]
        assert found["level"] == "bad"
        assert "SERVE_RUNS_IN_LINE" in found["advice"]
        await service.post("/v1/runs", {"symbol": "AAPL"}, 429)


@pytest.mark.parametrize(("free", "level"), [(2**40, "good"), (2**30, "warn"), (2**20, "bad")])
async def test_a_disk_is_watched_by_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    async with opened(tmp_path, begun=False) as service:
        usage = (await asyncio.to_thread(shutil.disk_usage, tmp_path))._replace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        found = await part(service, "Disk")
    assert found["level"] == level
    assert (found["advice"] is None) == (level == "good")


async def test_a_report_that_says_something_else_comes_over_the_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "EVERY_S", 0.02)
    async with opened(tmp_path, begun=False, jaeger_url="http://127.0.0.1:9") as service:
        first = asyncio.create_task(read_until(service, "/v1/feed", "health"))
        news: News = (await first)[-1]
        assert news.data["level"] == "good"
        folder = tmp_path / "logs" / "spool" / "jaeger"
        await asyncio.to_thread(batch, folder, 9, 10)
        path = f"/v1/feed?after={news.id}"
        async with asyncio.timeout(PATIENCE_S):
            later = await read_until(service, path, "health")
    assert later[-1].data["level"] == "warn"
    assert [each.topic for each in later].count("health") == 1, "only what has changed is told"

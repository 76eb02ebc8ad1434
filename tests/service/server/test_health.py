"""Whether the service lives, whether it takes runs, and what it measures."""

import asyncio
from pathlib import Path

import pytest

from tests.otlp_receiver import OtlpReceiver
from tests.service.server.open_service import opened
from tests.service.store_writer import writer_of
from trading_graph.service.server.serving import drain


async def test_ready_means_that_the_store_takes_writes(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        idle = {"status": "ready", "begun": True, "running": 0, "waiting": 0}
        assert await service.get("/readyz") == idle
        writer = await writer_of(service.parts.store)
        await writer.pragma("query_only = ON")
        problem = await service.get("/readyz", 503)
        assert "read-only" in problem["detail"]
        await service.get("/healthz")
        problem = await service.post("/v1/runs", {"symbol": "AAPL"}, 503)
        assert "read-only" in problem["detail"]
        await writer.pragma("query_only = OFF")
        await service.get("/readyz")
        assert (await service.get("/v1/runs"))["runs"] == []


async def test_one_that_stops_is_not_ready_and_answers_on(tmp_path: Path) -> None:
    async with opened(tmp_path, chat_latency_s=0.1, serve_drain_s=30) as service:
        run = await service.start()
        draining = asyncio.create_task(drain(service.app, asyncio.Event()))
        await asyncio.sleep(0.02)
        assert "stopping" in (await service.get("/readyz", 503))["detail"]
        await service.get("/healthz")
        await service.post("/v1/runs", {"symbol": "AAPL"}, 503)
        await draining
        found = await service.get(f"/v1/runs/{run['id']}")
        assert found["state"] in ("done", "queued")


async def test_what_is_measured_is_there_after_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = OtlpReceiver()
    served = receiver.served()
    url = await asyncio.to_thread(served.__enter__)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    try:
        async with opened(tmp_path) as service:
            runs = [await service.start(symbol=symbol) for symbol in ("AAPL", "NVDA")]
            for run in runs:
                assert (await service.over(run["id"]))["state"] == "done"
            async with service.http.get("/metrics") as answer:
                assert answer.content_type == "text/plain"
                text = await answer.text()
    finally:
        await asyncio.to_thread(served.__exit__, None, None, None)
    values = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }

    def total(name: str, *labels: str) -> float:
        found = [
            value
            for key, value in values.items()
            if key.partition("{")[0] == name and all(label in key for label in labels)
        ]
        assert found, f"{name} is not measured"
        return sum(found)

    assert total("gen_ai_invoke_workflow_duration_seconds_count") == 2
    assert total("gen_ai_client_operation_duration_seconds_count", 'name="chat"') > 10
    assert total("gen_ai_client_token_usage_sum", 'type="input"') > 0
    assert total("gen_ai_execute_tool_duration_seconds_count") >= 4
    assert total("trading_cache_results_total", 'trading_cache="miss"') >= 2
    assert total("trading_pool_connections", 'state="idle"') >= 1, "also when no run is made"
    assert total("otel_sdk_exporter_span_exported_total", 'error_type=""') >= 0
    assert total("otel_sdk_exporter_span_exported_total", 'error_type="lost"') == 0

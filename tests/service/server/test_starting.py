"""A service answers before it can make a run: what is asked meanwhile waits and is not lost."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import trading_graph.service.run.engine
from tests.service.server.open_service import opened
from tests.service.server.serve_process import serving
from tests.service.server.test_serve_command import ask, over
from trading_graph.otel.errors import ExporterSettingsError
from trading_graph.service.run.engine import Engine, open_engine


class Loading:
    """An engine that opens when it may, or does not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_open = asyncio.Event()
        self.error: Exception | None = None
        self.closed = False
        monkeypatch.setattr(trading_graph.service.run.engine, "open_engine", self)

    @contextlib.asynccontextmanager
    async def __call__(self, *words: Any, **more: Any) -> AsyncIterator[Engine]:
        await self.may_open.wait()
        if self.error:
            raise self.error
        try:
            async with open_engine(*words, **more) as engine:
                yield engine
        finally:
            self.closed = True


async def test_it_takes_runs_reads_and_cancels_before_it_makes_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = Loading(monkeypatch)
    async with opened(tmp_path, begun=False) as found:
        assert (await found.get("/readyz"))["begun"] is False
        runs = [(await found.start(symbol=name))["id"] for name in ("AAPL", "NVDA", "MSFT")]
        await found.post(f"/v1/runs/{runs[1]}/cancel", status=200)
        async with found.http.get("/metrics") as answer:
            assert answer.status == 200
        async with found.http.get("/") as page:
            assert "2 waiting" in await page.text()
        ready = await found.get("/readyz")
        assert (ready["running"], ready["waiting"]) == (0, 2)
        loading.may_open.set()
        states = [(await found.over(run_id))["state"] for run_id in runs]
        assert states == ["done", "cancelled", "done"]
        assert (await found.get("/readyz"))["begun"] is True
    assert loading.closed


async def test_one_that_stops_before_it_made_any_leaves_them_to_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        loading = Loading(patched)
        async with opened(tmp_path, begun=False) as found:
            run_id = (await found.start())["id"]
        assert not loading.closed, "it never opened"
    async with opened(tmp_path) as found:
        run = await found.over(run_id)
        assert (run["state"], run["resumed"]) == ("done", 0)


async def test_an_engine_that_cannot_be_opened_ends_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = Loading(monkeypatch)
    loading.error = ExporterSettingsError("not so")

    async def serve() -> None:
        async with opened(tmp_path, begun=False):
            loading.may_open.set()
            await asyncio.sleep(40)

    with pytest.raises(ExporterSettingsError, match="not so"):
        await serve()


def test_a_setting_that_only_the_engine_reads_is_one_sentence_all_the_same(tmp_path: Path) -> None:
    env = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
    with serving(tmp_path, **env) as found:
        assert found.ended() == 2
    assert [line for line in found.talk if "Error:" in line] == [found.talk[-1]]
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/json is not known" in found.talk[-1]
    assert not any("Traceback" in line for line in found.talk)


def test_a_run_that_was_asked_for_at_once_outlives_a_stop_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        _, run = ask(found.url, "POST", "/v1/runs", {"symbol": "AAPL"})
        found.process.send_signal(signal.SIGTERM)
        assert found.ended() == 0, found.talk
    with serving(tmp_path) as found:
        assert over(found.url, run["id"])["state"] == "done"
        kept = json.loads((tmp_path / "runs" / run["id"] / "decision.json").read_text())
        assert kept["run_id"] == run["id"]

"""LangSmith's own run tree beside ours: the same id in both, and silence where it is not wanted."""

import asyncio
import email.parser
import email.policy
import re
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from langchain_core.tracers.langchain import wait_for_all_tracers

from graph.analysis import analyse, recorded_run
from graph.backends import open_backends
from otel.export import set_up
from tests.analysis_runner import CHOICE, OPTIONS
from toolkit.loopback import LoopbackServer


class LangSmith:
    """As much of LangSmith's API as its client needs to deliver runs."""

    def __init__(self) -> None:
        self.run_ids: set[str] = set()

    def make_app(self) -> web.Application:
        """The application to serve."""
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/info", self._info)
        app.router.add_post("/runs/multipart", self._runs)
        return app

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "batch_ingest_config": {
                    "use_multipart_endpoint": True,
                    "size_limit": 100,
                    "size_limit_bytes": 20_971_520,
                    "scale_up_nthreads_limit": 4,
                    "scale_up_qsize_trigger": 1000,
                },
                "instance_flags": {"zstd_compression_enabled": False},
            }
        )

    async def _runs(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("content-encoding") == "gzip":
            body = zlib.decompress(body, 31)
        head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.default).parsebytes(head + body)
        for part in message.iter_parts():
            name = re.search(r'name="?([^";]+)', str(part["content-disposition"]))
            if name is not None:
                self.run_ids.add(name[1].split(".")[1].replace("-", ""))
        return web.json_response({}, status=202)


@pytest.fixture
def traced_analysis(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bool], str]:
    """Run one analysis with LangSmith switched on in the environment; returns the run id."""

    def run(url: str, langsmith: bool) -> str:
        from langsmith import utils

        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "ls-test")
        cached: Any = utils.get_env_var
        cached.cache_clear()

        async def analysed() -> str:
            telemetry = await asyncio.to_thread(set_up, "trading-graph", "test")
            async with (
                open_backends(CHOICE) as backends,
                recorded_run(OPTIONS, backends, telemetry.provider) as recorded,
            ):
                await analyse(OPTIONS, backends, recorded, langsmith=langsmith)
            return recorded.run_id

        run_id = asyncio.run(analysed())
        wait_for_all_tracers()
        return run_id

    return run


def test_our_trace_id_is_langsmiths_run_id(traced_analysis: Callable[[str, bool], str]) -> None:
    fake = LangSmith()
    with LoopbackServer(fake.make_app) as server:
        run_id = traced_analysis(server.url, True)
    assert run_id in fake.run_ids
    assert len(fake.run_ids) > 12, "the run and its nodes"


def test_offline_sends_nothing(traced_analysis: Callable[[str, bool], str]) -> None:
    fake = LangSmith()
    with LoopbackServer(fake.make_app) as server:
        traced_analysis(server.url, False)
    assert fake.run_ids == set()

"""One client holds no more than its share of connections and streams; others are served."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.patience import PATIENCE_S
from tests.service.server.open_service import Service, opened, parsed
from tests.service.server.serve_process import serving

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def idle(url: str, count: int, source: str = "127.0.0.1") -> AsyncIterator[list[Stream]]:
    """Connections from an address that send nothing."""
    address, streams = urlsplit(url), list[Stream]()
    try:
        for _ in range(count):
            streams.append(
                await asyncio.open_connection(
                    address.hostname, address.port, local_addr=(source, 0)
                )
            )
        yield streams
    finally:
        for _, writer in streams:
            writer.close()


async def healthy(url: str, source: str) -> int:
    """The status that a client from an address gets."""
    connector = aiohttp.TCPConnector(local_addr=(source, 0))
    async with (
        aiohttp.ClientSession(url, connector=connector) as http,
        http.get("/healthz") as answer,
    ):
        return answer.status


async def test_a_client_has_its_share_of_connections(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_connections=5) as service:
        async with idle(service.url, 5, "127.0.0.2"):
            assert await healthy(service.url, "127.0.0.2") == 503
            assert await healthy(service.url, "127.0.0.3") == 200
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await healthy(service.url, "127.0.0.2") == 200:
                    return
                await asyncio.sleep(0.02)


async def test_a_client_follows_its_share_of_streams(tmp_path: Path) -> None:
    async with opened(tmp_path, serve_streams=2, chat_latency_s=0.5) as service:
        run = (await service.start())["id"]
        path = f"/v1/runs/{run}/events"
        async with service.http.get(path) as first, service.http.get(path) as second:
            assert (first.status, second.status) == (200, 200)
            async with service.http.get(path) as third:
                assert third.status == 429
                assert int(third.headers["Retry-After"]) > 0
                assert "TRADING_GRAPH_SERVE_STREAMS" in await third.text()
        await _until_followed(service, path)
        await service.over(run)


async def _until_followed(service: Service, path: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with service.http.get(path) as again:
                if again.status == 200:
                    return
            await asyncio.sleep(0.02)


@pytest.mark.full
def test_two_thousand_idle_connections_leave_room_for_others(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4_096 if hard == resource.RLIM_INFINITY else min(hard, 4_096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with serving(tmp_path) as service:
        asyncio.run(_crowd(service.url))


async def _crowd(url: str) -> None:
    async with idle(url, 1_000, "127.0.0.2"), idle(url, 1_000, "127.0.0.3"):
        assert await healthy(url, "127.0.0.4") == 200
        async with aiohttp.ClientSession(url) as http:
            run = {"symbol": "AAPL", "analysts": ["market"]}
            async with http.post("/v1/runs", json=run) as answer:
                assert answer.status == 202
                run_id = (await answer.json())["id"]
            ends = await asyncio.gather(*(_followed(url, run_id) for _ in range(200)))
    assert set(ends) == {True}


async def _followed(url: str, run_id: str) -> bool:
    """Whether the stream of a run comes to its end."""
    async with (
        aiohttp.ClientSession(url) as http,
        http.get(f"/v1/runs/{run_id}/events") as answer,
    ):
        assert answer.status == 200
        return bool(parsed(await answer.read())[-1]["type"] == "finished")

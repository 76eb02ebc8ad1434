"""The HTTP pool: few connections, each used again, and answers read within hard limits."""

import asyncio
import tracemalloc

import pytest
from yarl import URL

from tests.toolkit.faulty_source import BOMB_BYTES, FaultySource
from trading_graph.toolkit.errors import (
    BadAnswerError,
    SourceUnavailableError,
)
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.rate_limits import HostPolicy

# Connections


async def test_400_concurrent_requests_use_at_most_30_connections_and_reuse_them(
    source: FaultySource,
) -> None:
    async with HttpPool() as pool:
        answers = await asyncio.gather(*(pool.get_json(f"{source.url}/slow") for _ in range(400)))
    assert answers == ["slow"] * 400
    assert len(source.connections) == 30
    assert source.at_once_max == 30, "the connections really work side by side"
    assert len(source.arrived) == 400


async def test_requests_one_after_the_other_share_one_connection(source: FaultySource) -> None:
    async with HttpPool() as pool:
        for _ in range(10):
            await pool.get_json(f"{source.url}/json")
    assert len(source.connections) == 1
    assert len(source.arrived) == 10


async def test_unpooled_every_request_has_a_connection_of_its_own(source: FaultySource) -> None:
    async with HttpPool(pooled=False) as pool:
        await asyncio.gather(*(pool.get_json(f"{source.url}/json") for _ in range(20)))
        await pool.get_json(f"{source.url}/json")
    assert len(source.connections) == 21


async def test_a_refused_request_leaves_its_connection_to_the_next(source: FaultySource) -> None:
    async with HttpPool() as pool:
        for code in (404, 429, 500, 404):
            with pytest.raises(SourceUnavailableError):
                await pool.get_json(f"{source.url}/status/{code}")
    assert len(source.connections) == 1


# The life of a pool


def test_making_a_pool_needs_no_event_loop() -> None:
    for pooled in (True, False):
        assert HttpPool(pooled=pooled).connections.in_use == 0


async def test_a_pool_is_used_inside_its_block_only(source: FaultySource) -> None:
    pool = HttpPool()
    with pytest.raises(RuntimeError, match="async with"):
        await pool.get_json(f"{source.url}/json")
    async with pool:
        await pool.get_json(f"{source.url}/json")
        with pytest.raises(RuntimeError, match="open already"):
            await pool.__aenter__()
    with pytest.raises(RuntimeError, match="async with"):
        await pool.get_json(f"{source.url}/json")
    assert len(source.connections) == 1


@pytest.mark.parametrize("pooled", [True, False])
async def test_a_pool_refuses_another_event_loop(source: FaultySource, pooled: bool) -> None:
    raised: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(pool.get_json(f"{source.url}/json"))
        except RuntimeError as error:
            raised.append(error)

    async with HttpPool(pooled=pooled) as pool:
        await asyncio.to_thread(elsewhere)
        assert await pool.get_json(f"{source.url}/json"), "it still works in its own"
    assert "another event loop" in str(raised[0])


async def test_closing_ends_every_connection_and_the_pool_opens_again(source: FaultySource) -> None:
    pool = HttpPool()
    for _ in range(2):
        async with pool:
            await pool.get_json(f"{source.url}/json")
    assert len(source.connections) == 2


# Answers


async def test_parameters_are_encoded_and_added_to_those_in_the_url(source: FaultySource) -> None:
    async with HttpPool() as pool:
        answer = await pool.get_json(
            URL(f"{source.url}/json?interval=1d"), params={"events": "div,splits", "s": "^G&C="}
        )
    assert answer["query"] == {"interval": "1d", "events": "div,splits", "s": "^G&C="}
    assert answer["answer"] == [1, 2.5, None]


async def test_bytes_come_with_status_headers_and_the_url_that_served_them(
    source: FaultySource,
) -> None:
    async with HttpPool() as pool:
        answer = await pool.get_bytes(
            f"{source.url}/redirect", params={"to": "/json"}, headers={"User-Agent": "test"}
        )
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.url.path == "/json"
    assert answer.body.startswith(b"{")


async def test_header_lines_of_ten_thousand_bytes_are_read(source: FaultySource) -> None:
    async with HttpPool() as pool:
        assert await pool.get_json(f"{source.url}/long-header") == "ok"


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(source: FaultySource) -> None:
    async with HttpPool(default_policy=HostPolicy(max_body_bytes=100_000)) as pool:
        assert len((await pool.get_bytes(f"{source.url}/bytes/100000")).body) == 100_000
        with pytest.raises(BadAnswerError, match="more than 100000 bytes"):
            await pool.get_bytes(f"{source.url}/bytes/100001")


async def test_a_gzip_bomb_is_stopped_at_the_limit_not_after_it(source: FaultySource) -> None:
    async with HttpPool(default_policy=HostPolicy(max_body_bytes=2**20)) as pool:
        tracemalloc.start()
        try:
            with pytest.raises(BadAnswerError, match=r"/bomb sent more than 1048576 bytes"):
                await pool.get_bytes(f"{source.url}/bomb")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < BOMB_BYTES / 4
        assert await pool.get_json(f"{source.url}/json"), "the pool works on"

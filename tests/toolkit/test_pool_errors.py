"""Whatever goes wrong with a request is one typed error, which says what to do next."""

import asyncio

import pytest

from tests.toolkit.faulty_source import FaultySource
from trading_graph.toolkit.errors import (
    BadAnswerError,
    DataError,
    HttpStatusError,
    RateLimitError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.rate_limits import HostPolicy

ONCE = HostPolicy(attempts=1, breaker_failures=None)


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/status/404", HttpStatusError, r"/status/404 answered 404: .*check"),
        ("/status/400", HttpStatusError, r"answered 400: .*check"),
        ("/status/401", HttpStatusError, r"answered 401: .*key"),
        ("/status/304", HttpStatusError, r"answered 304"),
        ("/status/500", HttpStatusError, r"answered 500: try again later"),
        ("/status/503", HttpStatusError, r"answered 503: try again later"),
        ("/status/429?after=7", RateLimitError, r"429, too many requests: try again in 7 s"),
        ("/status/429", RateLimitError, r"429, too many requests: try again later"),
        ("/html", BadAnswerError, r"answered 200 with text/html.* not JSON"),
        ("/truncated", BadAnswerError, r"answered 200 with application/json.* not JSON"),
        ("/reset", SourceUnavailableError, r"broke off"),
        ("/broken-off", SourceUnavailableError, r"broke off"),
        ("/not-gzip", SourceUnavailableError, r"broke off"),
        ("/too-long-header", BadAnswerError, r"header line of more than 32 KiB"),
        ("/circle", SourceUnavailableError, r"redirects in circles"),
    ],
)
async def test_every_fault_is_one_typed_error_that_names_host_and_path(
    source: FaultySource, path: str, kind: type[DataError], words: str
) -> None:
    async with HttpPool(default_policy=ONCE) as pool:
        with pytest.raises(kind, match=words) as caught:
            await pool.get_json(f"{source.url}{path}")
        assert type(caught.value) is kind
        message = str(caught.value)
        assert message.startswith(source.url.removeprefix("http://") + path.partition("?")[0])
        assert "?" not in message
        assert message.endswith(".")
        assert "\n" not in message
        assert await pool.get_json(f"{source.url}/json"), "the pool works on"


async def test_a_status_error_carries_the_status_and_the_sources_own_words(
    source: FaultySource,
) -> None:
    async with HttpPool() as pool:
        with pytest.raises(HttpStatusError) as caught:
            await pool.get_json(f"{source.url}/status/404")
    assert caught.value.status == 404
    assert b"the source's own words" in caught.value.body


@pytest.mark.parametrize(
    ("pool", "path", "words"),
    [
        (HttpPool(sock_read_s=0.05, default_policy=ONCE), "/slow?s=60", "fell silent for 0.05 s"),
        (HttpPool(sock_read_s=0.05, default_policy=ONCE), "/stalls", "fell silent for 0.05 s"),
        (HttpPool(total_s=0.05), "/stalls", "did not finish its answer within 0.05 s"),
        (HttpPool(total_s=0.1), "/drips", "did not finish its answer within 0.1 s"),
        (HttpPool(total_s=0.05, pooled=False), "/slow?s=60", "within 0.05 s"),
    ],
    ids=["no headers", "body stalls", "total", "a byte at a time", "total, unpooled"],
)
async def test_a_slow_source_is_a_typed_error_that_says_which_limit_it_broke(
    source: FaultySource, pool: HttpPool, path: str, words: str
) -> None:
    async with pool:
        with pytest.raises(SourceTimeoutError, match=words) as caught:
            await pool.get_json(f"{source.url}{path}")
    assert isinstance(caught.value, TimeoutError)


async def test_waiting_too_long_for_a_free_connection_is_a_typed_error(
    source: FaultySource,
) -> None:
    async with HttpPool(limit_per_host=1, connect_s=0.1) as pool:
        holder = asyncio.create_task(pool.get_json(f"{source.url}/slow?s=0.4"))
        await asyncio.sleep(0)
        with pytest.raises(SourceUnavailableError, match="gave no connection in time"):
            await pool.get_json(f"{source.url}/json")
        assert await holder == "slow"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/v8?key=SECRET", r"^127\.0\.0\.1:1/v8 cannot be reached \(.*\): check"),
        ("ftp://127.0.0.1/v8?key=SECRET", r"^127\.0\.0\.1/v8 cannot be asked"),
    ],
    ids=["closed port", "not http"],
)
async def test_an_address_that_cannot_work_is_a_typed_error(url: str, words: str) -> None:
    async with HttpPool() as pool:
        with pytest.raises(SourceUnavailableError, match=words):
            await pool.get_json(url)


async def test_a_server_that_does_not_speak_http_is_a_bad_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, HttpPool() as pool:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BadAnswerError, match="not HTTP"):
            await pool.get_json(f"http://127.0.0.1:{port}/")


async def test_the_callers_own_cancellation_and_deadline_pass_through(source: FaultySource) -> None:
    async with HttpPool() as pool:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await pool.get_json(f"{source.url}/slow?s=60")
        assert not isinstance(caught.value, DataError)
        task = asyncio.create_task(pool.get_json(f"{source.url}/slow?s=60"))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

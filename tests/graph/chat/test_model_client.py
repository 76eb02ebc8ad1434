"""What goes wrong on the way to a model is told as by the client library's own transport."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import openai
import pytest

from trading_graph.graph.chat.client import ModelClient, model_client
from trading_graph.graph.errors import BadProxyError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
START = HEAD + b"7\r\ndata: {"
# What a server writes before it closes.
FAULTS = {
    "closed at once": b"",
    "closed in the head": b"HTTP/1.1 200 OK\r\nConte",
    "no HTTP": b"nonsense\r\n\r\n",
    "closed in the body": START,
    "no chunk": HEAD + b"zz\r\ndata:\r\n",
}


@asynccontextmanager
async def server(answer: bytes, *, reset: bool = False, hold: bool = False) -> AsyncIterator[str]:
    """One that answers every request with these bytes and closes, resets or holds the line."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if hold:
            await over.wait()
        if reset:
            line: socket.socket = writer.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    finally:
        over.set()
        listening.close()


async def error_of(http: httpx2.AsyncClient, url: str) -> Exception:
    """Ask for a streamed answer; gives the error that came of it."""
    async with openai.AsyncOpenAI(
        api_key="k", base_url=url, max_retries=0, timeout=0.2, http_client=http
    ) as client:
        with pytest.raises(openai.OpenAIError) as caught:
            await read(client)
    return caught.value


async def read(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Well?"}], stream=True
    )
    async for _ in stream:
        pass


async def same(url: str, expected: type[Exception]) -> None:
    assert type(await error_of(openai.DefaultAsyncHttpxClient(), url)) is expected
    assert type(await error_of(ModelClient(), url)) is expected


@pytest.mark.parametrize("answer", FAULTS.values(), ids=FAULTS)
async def test_a_connection_that_ends_is_no_timeout(answer: bytes) -> None:
    async with server(answer) as url:
        await same(url, openai.APIConnectionError)


@pytest.mark.parametrize("answer", [b"", START], ids=["at once", "in the body"])
async def test_a_connection_that_is_reset_is_no_timeout(answer: bytes) -> None:
    async with server(answer, reset=True) as url:
        await same(url, openai.APIConnectionError)


@pytest.mark.parametrize("answer", [b"", START], ids=["at once", "in the body"])
async def test_silence_is_a_timeout(answer: bytes) -> None:
    async with server(answer, hold=True) as url:
        await same(url, openai.APITimeoutError)


async def test_a_refused_connection_is_no_timeout() -> None:
    async with server(b"") as url:
        pass
    await same(url, openai.APIConnectionError)


async def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    async with server(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.removesuffix("/v1"))
        # Only the proxy could answer: nobody has this name.
        await same("http://model.invalid/v1", openai.PermissionDeniedError)


async def test_what_went_wrong_can_be_told_from_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cause(url: str) -> type[BaseException | None]:
        return type((await error_of(ModelClient(), url)).__cause__)

    async with server(b"") as url:
        assert await cause(url) is httpx2.ReadError
    assert await cause(url) is httpx2.ConnectError
    async with server(START) as url:
        assert await cause(url) is httpx2.ReadError
    async with server(FAULTS["no HTTP"]) as url:
        assert await cause(url) is httpx2.RemoteProtocolError
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", url.removesuffix("/v1"))  # nobody listens there any more
    assert await cause("http://model.invalid/v1") is httpx2.ProxyError


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxy and excepts no address."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


def test_a_proxy_that_cannot_be_used_is_one_sentence(no_proxy: pytest.MonkeyPatch) -> None:
    no_proxy.setenv("ALL_PROXY", "foo://127.0.0.1:9")
    with pytest.raises(BadProxyError, match=r"ALL_PROXY.*http://HOST:PORT or .*\.$") as caught:
        model_client("https://model.invalid/v1")
    assert "\n" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value), "a proxy's address may hold a password"


@pytest.mark.parametrize("proxy", ["foo://127.0.0.1:9", "socks5://127.0.0.1:9"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "http://localhost/v1"])
async def test_a_proxy_does_not_stop_what_needs_none(
    no_proxy: pytest.MonkeyPatch, proxy: str, url: str
) -> None:
    no_proxy.setenv("ALL_PROXY", proxy)
    await model_client(url).aclose()
    no_proxy.setenv("NO_PROXY", "model.invalid")
    await model_client("https://model.invalid/v1").aclose()
    no_proxy.setenv("NO_PROXY", "")
    no_proxy.setenv("HTTPS_PROXY", "127.0.0.1:9")
    await model_client("https://model.invalid/v1").aclose()


@asynccontextmanager
async def socks_server(hosts: list[bytes]) -> AsyncIterator[str]:
    """A SOCKS 5 proxy that answers every request for HTTP itself, and keeps the hosts' names."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        *_, length = await reader.readexactly(5)
        hosts.append(await reader.readexactly(length))
        await reader.readexactly(2)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_a_socks_proxy_is_asked(no_proxy: pytest.MonkeyPatch, scheme: str) -> None:
    hosts: list[bytes] = []
    async with socks_server(hosts) as place:
        no_proxy.setenv("ALL_PROXY", f"{scheme}://{place}")
        http = await asyncio.to_thread(model_client, "http://model.invalid/v1")
        # Only the proxy could answer: nobody has this name.
        error = await error_of(http, "http://model.invalid/v1")
        assert type(error) is openai.PermissionDeniedError
    assert hosts == [b"model.invalid"]


async def test_a_socks_proxy_that_is_not_there_is_named(no_proxy: pytest.MonkeyPatch) -> None:
    async with server(b"") as url:
        pass
    no_proxy.setenv("ALL_PROXY", url.replace("http", "socks5").removesuffix("/v1"))
    http = await asyncio.to_thread(model_client, "http://model.invalid/v1")
    error = await error_of(http, "http://model.invalid/v1")
    assert type(error) is openai.APIConnectionError
    assert type(error.__cause__) is httpx2.ProxyError

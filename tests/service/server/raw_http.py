"""Requests as raw bytes, which no client would send, and what is answered to them."""

import asyncio
import contextlib
import json
import re
from typing import Any
from urllib.parse import urlsplit

from tests.service.server.open_service import Service
from trading_graph.service.server.access import HEADERS, digest

TOKEN = "a-token-of-256-random-bits-perhaps"
DIGESTS = (digest("another"), digest(TOKEN))
GUARDED: dict[str, Any] = {"serve_token_sha256": DIGESTS}


async def raw(service: Service, content: bytes, within_s: float = 10.0) -> bytes:
    """Everything that is answered to some bytes until the connection is closed."""
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(content)
        async with asyncio.timeout(within_s):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def request(
    line: str | bytes, *headers: str | bytes, body: bytes = b"", host: str = "localhost"
) -> bytes:
    """A request that asks for the connection to be closed."""
    first = line if isinstance(line, bytes) else line.encode()
    more = [each if isinstance(each, bytes) else each.encode() for each in headers]
    length = [f"Content-Length: {len(body)}".encode()] if body else []
    lines = [first + b" HTTP/1.1", f"Host: {host}".encode(), b"Connection: close", *length, *more]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def post(body: bytes, *headers: str | bytes, path: str = "/v1/runs") -> bytes:
    return request(f"POST {path}", "Content-Type: application/json", *headers, body=body)


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    assert found, answer[:200]
    return int(found[1])


def problem(answer: bytes) -> dict[str, Any]:
    """The problem of an answer, which has every header that protects."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head, head
    for name, value in HEADERS.items():
        assert f"{name}: {value}".encode() in head, name
    document = json.loads(body)
    assert document["status"] == status(answer)
    assert set(document) >= {"type", "title", "detail"}
    return dict(document)


async def goes_on(service: Service) -> None:
    """The service answers, and nothing was queued."""
    await service.get("/readyz")
    assert (await service.get("/v1/runs"))["runs"] == []

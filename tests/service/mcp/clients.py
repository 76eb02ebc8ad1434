"""The library's own client, connected to a real server, and what it gets."""

import contextlib
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.patience import PATIENCE_S

PROGRAM = "from trading_graph.service.cli import main; main()"


@dataclass(frozen=True)
class Reply:
    """The reply of a tool: its text, its structured content, and whether it is an error."""

    text: str
    content: dict[str, Any]
    is_error: bool

    @property
    def characters(self) -> int:
        """Of all that a model may be given to read."""
        return len(self.text) + len(json.dumps(self.content, ensure_ascii=False))


async def ask(client: Client, tool: str, **arguments: Any) -> Reply:
    """Ask a tool; the client itself checks the answer against the tool's schema."""
    result = await client.call_tool(tool, arguments)
    (text,) = result.content
    assert isinstance(text, types.TextContent)
    return Reply(text.text, result.structured_content or {}, result.is_error)


@contextlib.asynccontextmanager
async def stdio_client(
    folder: Path, *words: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Client]:
    """A client of `trading-graph mcp` in a process of its own, which works in a folder."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-c", PROGRAM, "mcp", "--folder", str(folder), *words],
        env={**os.environ, **(environment or {})},
    )
    async with Client(server) as client:
        yield client


@contextlib.asynccontextmanager
async def http_client(url: str, token: str) -> AsyncIterator[Client]:
    """A client of the service at an address."""
    no_files = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # as the default reads, which blocks
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(
            headers=headers, timeout=PATIENCE_S, trust_env=False, verify=no_files
        ) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        yield client

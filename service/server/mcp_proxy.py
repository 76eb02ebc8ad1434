"""`/mcp`: questions of coding agents, passed on to an MCP server in a bounded process of its own.

A trace may come from anybody, and judging a large one keeps a CPU busy for seconds: neither happens
in the process that makes runs. The MCP server starts with the first question and listens on a Unix
socket that only this user can open; the rules of access are the service's own.
"""

import asyncio
import contextlib
import importlib.util
import logging
import shutil
import sys
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientSession,
    ClientTimeout,
    UnixConnector,
    web,
)

from trading_graph.service.server.inputs import read_body
from trading_graph.service.server.judging import judging_environment
from trading_graph.service.server.problems import Problem
from trading_graph.service.settings import Settings

_LOG = logging.getLogger(__name__)

PATH = "/mcp"
_MIB = 2**20
_MOST_BYTES = _MIB
"""Of a question."""
_MEMORY = 4096 * _MIB
"""Address space of the process, in bytes: a few traces of 100,000 spans, or one of a million."""
_START_S = 30.0
_ANSWER_S = 120.0
_AT_ONCE = 16
"""How many questions are under way at once."""

_PROGRAM = """\
import resource
for limit, most in ((resource.RLIMIT_AS, {memory}), (resource.RLIMIT_CORE, 0)):
    resource.setrlimit(limit, (most, most))
from trading_graph.service.mcp.socket_server import main
main()
"""
_HEADERS_IN = ("Accept", "Content-Type")
_HEADERS_OUT = ("Content-Type",)


class McpProcess:
    """The process of the MCP server; it is started when it is needed, and again after its end."""

    def __init__(self, settings: Settings, out: Path) -> None:
        self._settings = settings
        self._out = out
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._folder: Path | None = None
        self._client: ClientSession | None = None
        self._questions = 0

    async def pass_on(self, request: web.Request) -> web.Response:
        """Answer a question as the MCP server does; raises Problem."""
        if self._questions >= _AT_ONCE:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many questions are being answered; ask again in a few seconds.",
                headers={"Retry-After": "5"},
            )
        self._questions += 1
        try:
            body = await read_body(request, _MOST_BYTES)
            try:
                return await self._ask(request, body)
            except ClientConnectionError:
                # The process had ended before; a question may be asked again, it changes nothing.
                return await self._ask(request, body)
        except ClientError:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The MCP server ended while it answered; ask again, or about a smaller trace.",
                headers={"Retry-After": "1"},
            ) from None
        finally:
            self._questions -= 1

    async def _ask(self, request: web.Request, body: bytes) -> web.Response:
        """Send the question on, and the answer back; raises Problem, or ClientError."""
        client = await self._started()
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await _exchange(client, request, body)
        except TimeoutError:
            await self._end(client)
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"There was no answer within {_ANSWER_S:g} s; ask at a terminal, with "
                "`trading-graph mcp`.",
            ) from None
        except ClientError:
            await self._end(client)
            raise

    async def _started(self) -> ClientSession:
        """The client of the process, which runs; raises Problem."""
        async with self._starting:
            ended = self._process is None or self._process.returncode is not None
            if self._client is None or ended:
                await self.close()
                self._client = await self._start()
            return self._client

    async def _end(self, client: ClientSession) -> None:
        """End the process of a client, unless another has taken its place."""
        async with self._starting:
            if self._client is client:
                await self.close()

    async def _start(self) -> ClientSession:
        if await asyncio.to_thread(importlib.util.find_spec, "mcp") is None:
            raise Problem(
                HTTPStatus.NOT_IMPLEMENTED,
                "The service needs the extra [mcp] for this: pip install 'trading-graph[mcp]'",
            )
        self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="trading-graph-"))
        socket = str(self._folder / "mcp")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # import nothing from the folder of the runs
            "-c",
            _PROGRAM.format(memory=_MEMORY),
            socket,
            cwd=self._out,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=await asyncio.to_thread(self._environment),
        )
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                line = await self._process.stdout.readline()
        if not line:
            await self.close()
            _LOG.error("The MCP server did not start; standard error says why")
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The MCP server does not start; the service's log says why.",
            )
        connector = UnixConnector(path=socket, limit=_AT_ONCE)
        return ClientSession(connector=connector, timeout=ClientTimeout(total=None))

    def _environment(self) -> dict[str, str]:
        """What the process is told: the folders of the service and its Jaeger. Blocks."""
        return {
            **judging_environment(self._settings.jaeger_url),
            "TRADING_GRAPH_OUT": str(self._out.resolve()),
            "TRADING_GRAPH_PORTFOLIOS": str(self._settings.portfolios.resolve()),
        }

    async def close(self) -> None:
        """End the process; the next question starts another."""
        client, process, folder = self._client, self._process, self._folder
        self._client = self._process = self._folder = None
        if client is not None:
            await client.close()
        if process is not None:
            if process.returncode is None:
                process.kill()  # It only reads.
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _exchange(client: ClientSession, request: web.Request, body: bytes) -> web.Response:
    """Send the question on; raises ClientError. Answers are short, so none is streamed."""
    async with client.post(
        f"http://localhost{PATH}", data=body, headers=_passed_on(request.headers)
    ) as answer:
        return web.Response(
            status=answer.status,
            body=await answer.read(),
            headers={name: answer.headers[name] for name in _HEADERS_OUT if name in answer.headers},
        )


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that the protocol knows; no cookie and no token."""
    return {
        name: value
        for name, value in headers.items()
        if name.title() in _HEADERS_IN or name.lower().startswith("mcp-")
    }


def add_to(app: web.Application, settings: Settings, out: Path) -> None:
    """Serve `/mcp`, and end its process with the application."""
    process = McpProcess(settings, out)

    async def answer(request: web.Request) -> web.Response:
        return await process.pass_on(request)

    async def close(app: web.Application) -> None:
        await process.close()

    app.router.add_post(PATH, answer)
    app.on_cleanup.append(close)

"""Processes of a house, and the server that counts what they send."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

ROOT = Path(__file__).resolve().parents[3]


class CountingServer:
    """What arrived: requests and tokens by slot, and loads."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.tokens: Counter[int] = Counter()
        self.loads = 0
        self.url = ""

    async def sent(self, request: web.Request) -> web.Response:
        slot = int(request.query["slot"])
        self.requests[slot] += 1
        self.tokens[slot] += int(request.query["tokens"])
        return web.Response()

    async def load(self, _: web.Request) -> web.Response:
        self.loads += 1
        await asyncio.sleep(0.2)
        return web.Response(text="7")


@asynccontextmanager
async def counting_server() -> AsyncIterator[CountingServer]:
    counting = CountingServer()
    app = web.Application()
    app.add_routes([web.get("/sent", counting.sent), web.get("/load", counting.load)])
    async with TestServer(app) as server:
        counting.url = str(server.make_url("")).rstrip("/")
        yield counting


class Worker:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        document: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return document

    async def kill(self) -> None:
        self.process.kill()
        await self.process.communicate()  # To its end, so that the pipe is closed.

    async def ends_well(self) -> None:
        await self.process.communicate()
        assert self.process.returncode == 0


async def worker(database: str, server: str, word: str, number: int = 0) -> Worker:
    program = Path(__file__).with_name("worker_program.py")
    words = (str(program), database, server, word, str(number))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    return Worker(process)

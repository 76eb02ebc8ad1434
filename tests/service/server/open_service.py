"""A whole service on loopback for a test: offline, with latencies of milliseconds."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.patience import PATIENCE_S
from trading_graph.otel.redaction import Redactor
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.serving import listening, open_service
from trading_graph.service.settings import Settings, backend_choice

FINAL = ("done", "failed", "cancelled")
ASK: dict[str, Any] = {"symbol": "AAPL", "analysts": ["market"]}


@dataclass(frozen=True, slots=True)
class Service:
    """A service that listens, and a client of it."""

    url: str
    app: web.Application
    http: aiohttp.ClientSession

    @property
    def parts(self) -> ServiceContext:
        """What its handlers reach."""
        return self.app[SERVICE]

    async def get(self, path: str, status: int = 200, **headers: str) -> Any:
        """The JSON at a path."""
        async with self.http.get(path, headers=headers) as answer:
            assert answer.status == status, await answer.text()
            return json.loads(await answer.read())

    async def post(
        self, path: str, body: object = None, status: int | None = None, **headers: str
    ) -> Any:
        """What a post is answered; the status is looked at where it is given."""
        async with self.http.post(path, json=body, headers=headers) as answer:
            assert status is None or answer.status == status, await answer.text()
            return json.loads(await answer.read())

    async def start(self, status: int = 202, **more: Any) -> Any:
        """Ask for a small run."""
        return await self.post("/v1/runs", {**ASK, **more}, status)

    async def over(self, run_id: str) -> Any:
        """The run, once it is over."""
        return await self.until(run_id, lambda run: run["state"] in FINAL)

    async def until(self, run_id: str, holds: Callable[[Any], bool]) -> Any:
        """The run, once something holds of it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                run = await self.get(f"/v1/runs/{run_id}")
                if holds(run):
                    return run
                await asyncio.sleep(0.02)

    async def events(self, run_id: str, after: int = 0) -> list[dict[str, Any]]:
        """All events of a run past a number, to its end."""
        headers = {"Last-Event-ID": str(after)} if after else {}
        async with self.http.get(f"/v1/runs/{run_id}/events", headers=headers) as answer:
            return parsed(await answer.read())


def parsed(stream: bytes) -> list[dict[str, Any]]:
    """Server-sent events, each with its number."""
    found = []
    for block in stream.decode().split("\n\n"):
        if block.startswith("id: "):
            number, data = block.split("\n")
            found.append({"id": int(number[4:]), **json.loads(data.removeprefix("data: "))})
    return found


def settings_for(folder: Path, **changed: Any) -> Settings:
    """Settings whose files are all in one folder, for many quick requests."""
    usual: dict[str, Any] = {
        "chat_latency_s": 0.02,
        "fetch_latency_s": 0.005,
        "out": folder / "runs",
        "portfolios": folder / "portfolios",
        "log_file": folder / "logs" / "trading_graph.log",
        "spool": folder / "logs" / "spool",
        "serve_requests_per_s": 10_000,
        "serve_burst": 10_000,
        "serve_drain_s": 0,
    }
    return Settings(_env_file=None, **{**usual, **changed})


@contextlib.asynccontextmanager
async def opened(folder: Path, *, begun: bool = True, **changed: Any) -> AsyncIterator[Service]:
    """A service that works in a folder, and makes runs if it has `begun`; settings by name."""
    settings = settings_for(folder, **changed)
    redactor = Redactor(settings.secrets, environment=os.environ)
    choice = backend_choice(settings, offline=True)
    async with (
        open_service(settings, choice, settings.out, redactor, offline=True) as app,
        listening(app, "127.0.0.1", 0) as url,
        aiohttp.ClientSession(url) as http,
    ):
        service = Service(url, app, http)
        if begun:
            await has_begun(app)
        yield service


async def has_begun(app: web.Application) -> None:
    """Wait until a service makes runs."""
    async with asyncio.timeout(PATIENCE_S):
        while not app[SERVICE].queue.begun:  # noqa: ASYNC110 - only tests wait for it.
            await asyncio.sleep(0.01)

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "aiohttp==3.14.5",
#   "opentelemetry-instrumentation-aiohttp-client==0.66b1",
#   "opentelemetry-instrumentation-aiohttp-server==0.66b1",
#   "opentelemetry-sdk==1.45.1",
# ]
# ///
"""A gateway that asks a backend for prices: two processes, aiohttp on both sides, no model."""

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import ClientSession, TCPConnector, web
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
from recording import Job, provider_for, record, resource_spans
from workload import VARIANTS, Workload

PLACES = {"par": 3, "row": 3, "fake": 3, "lock": 3, "sem": 4, "pool": 4, "agents": 3}
START_S = 10.0


def free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


def serve_backend(port: int, variant: str) -> None:
    """Serve prices, and at the end what was recorded and what really happened."""
    _, exporter = provider_for("backend")
    AioHttpServerInstrumentor().instrument()
    workload = Workload(VARIANTS[variant])

    async def price(request: web.Request) -> web.Response:
        return web.Response(text=await workload.weather(request.match_info["place"]))

    async def recorded(request: web.Request) -> web.Response:
        spans = resource_spans(list(exporter.get_finished_spans()))
        return web.json_response({"spans": spans, "work": workload.work})

    app = web.Application()
    app.add_routes([web.get("/price/{place}", price), web.get("/recorded", recorded)])
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


@contextmanager
def backend(variant: str) -> Iterator[int]:
    """Run the backend in a process of its own; yields its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, __file__, "backend", str(port), variant])
    try:
        last = time.monotonic() + START_S
        while time.monotonic() < last:
            with socket.socket() as each:
                if each.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


async def serve_gateway(job: Job, upstream: int) -> tuple[web.AppRunner, int]:
    async def quote(request: web.Request) -> web.Response:
        connector = TCPConnector(limit=2 if job.variant.name == "pool" else 100)
        async with ClientSession(f"http://127.0.0.1:{upstream}", connector=connector) as session:

            async def price(place: str) -> str:
                async with session.get(f"/price/{place}") as answer:
                    return await answer.text()

            places = [f"place{number}" for number in range(PLACES[job.variant.name])]
            if job.variant.name == "row":
                prices = [await price(place) for place in places]
            elif job.variant.name == "agents":
                prices = [""]
                for place in places:
                    prices.append(await price(place + prices[-1]))
            else:
                prices = await asyncio.gather(*map(price, places))
        return web.json_response(prices)

    app = web.Application()
    app.add_routes([web.get("/quote", quote)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner, port


def instrument(job: Job) -> None:
    AioHttpServerInstrumentor().instrument(tracer_provider=job.provider)
    AioHttpClientInstrumentor().instrument(tracer_provider=job.provider)


async def run(job: Job) -> None:
    with backend(job.variant.name) as upstream:
        runner, port = await serve_gateway(job, upstream)
        await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/quote")
        await runner.cleanup()
        recorded: dict[str, Any] = json.loads(fetch(f"http://127.0.0.1:{upstream}/recorded"))
    job.elsewhere.extend(recorded["spans"])
    job.workload.work.extend((begin, end) for begin, end in recorded["work"])


if __name__ == "__main__":
    if sys.argv[1] == "backend":
        serve_backend(int(sys.argv[2]), sys.argv[3])
    else:
        record(run, instrument)

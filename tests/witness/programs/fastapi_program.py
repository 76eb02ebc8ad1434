# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "aiohttp==3.14.5",
#   "fastapi==0.165.0",
#   "httpx==0.28.1",
#   "msgspec==0.22.0",
#   "pandas==3.1.1",
#   "opentelemetry-instrumentation-fastapi==0.66b1",
#   "opentelemetry-sdk==1.45.1",
#   "uvicorn==0.54.0",
#   "uvloop==0.23.0",
# ]
# ///
"""A FastAPI service under uvicorn, which takes uvloop; a request asks for four places at once."""

from setting import told

SETTING = told()
SETTING.install_witness()

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from pathologies import CITIES, Work, aiohttp_client, ask, performance, rehearsal
from tracing import provider, tracer

TASKS = {"rehearsal": rehearsal(SETTING), "performance": performance(SETTING)}


@asynccontextmanager
async def desks(app: FastAPI) -> AsyncIterator[dict[str, dict[str, Work]]]:
    """Open a client for each task, for as long as the service runs."""
    rehearsed, performed = TASKS.values()
    async with aiohttp_client(rehearsed) as one, aiohttp_client(performed) as other:
        works = {"rehearsal": Work(rehearsed, one), "performance": Work(performed, other)}
        app.state.works = works
        yield {"works": works}


app = FastAPI(lifespan=desks)


async def weather(work: Work, city: str) -> str:
    with tracer.start_as_current_span(f"weather in {city}"):
        return await work.weather()


@app.get("/report/{name}")
async def report(name: str) -> list[str]:
    work = app.state.works[name]
    return await asyncio.gather(*(weather(work, city) for city in CITIES))


def visit(server: uvicorn.Server, port: int) -> None:
    """Ask for both reports, as soon as the service answers."""
    while not server.started:
        time.sleep(0.01)
    try:
        for name in TASKS:
            ask(f"http://127.0.0.1:{port}/report/{name}")
    finally:
        server.should_exit = True


if __name__ == "__main__":
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        visitor = threading.Thread(target=visit, args=(server, listening.getsockname()[1]))
        visitor.start()
        server.run(sockets=[listening])
        visitor.join()

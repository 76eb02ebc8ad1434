"""The life of the service: opened, listening, taking runs, drained and closed."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry

from graph.backend_choice import BackendChoice
from otel.redaction import Redactor
from service.choice import default_date
from service.engine import open_engine
from service.langsmith_mode import LangSmithMode
from service.server.app import make_app
from service.server.context import ServiceContext
from service.server.judging import Judging
from service.server.retention import forgetting
from service.server.run_maker import RunMaker
from service.server.run_queue import RunQueue
from service.settings import Settings
from service.store import open_store

_LOG = logging.getLogger(__name__)

STORE = "service.sqlite"
_REQUEST_S = 15.0
"""So long a connection may take to its first whole request; an idle one is closed after it too."""


@contextlib.asynccontextmanager
async def open_service(
    settings: Settings,
    choice: BackendChoice,
    out: Path,
    redactor: Redactor,
    langsmith: LangSmithMode,
) -> AsyncIterator[web.Application]:
    """Open everything, take up what was left, and close in the other order.

    Runs that do not end within the time to drain are left for the next start to go on with.
    """
    registry = CollectorRegistry()
    async with (
        open_store(out / STORE) as store,
        open_engine(
            settings,
            choice,
            out,
            redactor,
            langsmith,
            metric_readers=[PrometheusMetricReader(registry=registry)],
        ) as engine,
    ):
        day = default_date(choice.data)
        queue = RunQueue(
            store,
            RunMaker(engine, store, day),
            lambda error: redactor.text(str(error) or type(error).__name__),
            at_once=settings.serve_runs_at_once,
            in_line=settings.serve_runs_in_line,
        )
        service = ServiceContext(
            settings=settings,
            store=store,
            queue=queue,
            judging=Judging(),
            out=out,
            default_date=day,
            announced=f"model: {choice.model_label} · data: {choice.data_label}",
            registry=registry,
        )
        await queue.start()
        try:
            async with forgetting(store, out, settings.serve_keep_days):
                yield make_app(service, redactor)
        finally:
            if not await queue.drained(settings.serve_drain_s):
                _LOG.warning("%d runs go on at the next start.", queue.running)
                await engine.leave()
            await queue.close()


@contextlib.asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve the application, and give its address; raises OSError."""
    silent: set[object] = set()  # connections on which no whole request has come yet

    @web.middleware
    async def note(request: web.Request, handler: Callable[..., object]) -> object:
        silent.discard(request.protocol)
        return await handler(request)  # type: ignore[misc]

    app.middlewares.insert(0, note)  # type: ignore[arg-type]
    # A compressed body is refused and not inflated: see reading.py.
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=_REQUEST_S,
        auto_decompress=False,
        handler_cancellation=True,
        shutdown_timeout=2.0,
    )
    await runner.setup()
    loop = asyncio.get_running_loop()
    assert runner.server is not None
    new_protocol = runner.server

    def close_if_silent(made: web.RequestHandler) -> None:
        if made in silent:
            silent.discard(made)
            made.force_close()

    def protocol() -> asyncio.Protocol:
        made = new_protocol()
        loop.call_later(_REQUEST_S, close_if_silent, made)
        silent.add(made)
        return made

    try:
        server = await loop.create_server(protocol, host, port)
        async with server:
            address = server.sockets[0].getsockname()
            name = f"[{address[0]}]" if ":" in address[0] else address[0]
            yield f"http://{name}:{address[1]}"
            server.close()
    finally:
        await runner.cleanup()


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopped.set)
    try:
        await stopped.wait()
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)

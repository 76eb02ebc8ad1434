"""The life of the service: it opens, listens, takes runs, drains and closes.

Only one service works in a folder: a second one would make the runs of the first once more.
"""

import asyncio
import contextlib
import fcntl
import functools
import logging
import os
from collections.abc import AsyncIterator, Coroutine
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from aiohttp import web
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.otel.export import jaeger_is_named
from trading_graph.otel.redaction import Redactor
from trading_graph.service.errors import SettingsError, StoreUnavailableError
from trading_graph.service.langsmith import langsmith_mode
from trading_graph.service.lazy_import import load
from trading_graph.service.server.app import make_app
from trading_graph.service.server.clients import CONNECTIONS, allow_many_files
from trading_graph.service.server.connection import Connection
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.disk_room import DiskRoom
from trading_graph.service.server.feed import Feed
from trading_graph.service.server.health import HealthChecks
from trading_graph.service.server.judging import Judging
from trading_graph.service.server.portfolio_files import PortfolioFiles
from trading_graph.service.server.portfolio_queue import PortfolioQueue
from trading_graph.service.server.portfolio_request import Orders
from trading_graph.service.server.portfolios import Portfolios
from trading_graph.service.server.problems import REDACTOR
from trading_graph.service.server.proxies import as_client_made, networks
from trading_graph.service.server.receiving.opening import make_receiver
from trading_graph.service.server.receiving.preface import GrpcRefusal
from trading_graph.service.server.run_queue import RunQueue
from trading_graph.service.server.run_verdict import restore_verdicts
from trading_graph.service.server.service_metrics import ServiceMetrics
from trading_graph.service.server.trace_views import TraceViews
from trading_graph.service.server.uploads import open_uploads
from trading_graph.service.server.watches import Watches
from trading_graph.service.settings import Settings
from trading_graph.service.store import (
    Retention,
    RunFiles,
    Store,
    StoredRun,
    forget_old,
    open_store,
    restore_runs,
)
from trading_graph.service.store.sqlite_file import set_damaged_aside

_LOG = logging.getLogger(__name__)

STORE = "service.sqlite"
_UPLOADS = 4
"""How many uploads of the largest size are kept for those who look at them."""
_GRACE_S = 2.0
"""Time for requests to end when the service closes, in seconds."""


@contextlib.asynccontextmanager
async def open_service(
    settings: Settings,
    choice: BackendChoice,
    out: Path,
    redactor: Redactor,
    *,
    offline: bool,
) -> AsyncIterator[web.Application]:
    """Open everything, queue the runs that an earlier process left, and close in reverse order.

    The service accepts runs at once and makes them as soon as the engine is loaded. If the engine
    cannot be opened, its error is raised in the block. The next start resumes the runs that are not
    over at the end; see `drain`. With `offline` LangSmith gets nothing. Raises SettingsError.
    """
    langsmith = langsmith_mode(settings, offline=offline)
    registry = CollectorRegistry()
    metrics = ServiceMetrics(registry)

    async def make_runs() -> None:
        # In a thread: this takes seconds, and the service answers meanwhile.
        engine = await asyncio.to_thread(load, "service.run.engine")
        run_maker = await asyncio.to_thread(load, "service.server.run_maker")
        open_engine = functools.partial(
            engine.open_engine,
            settings,
            choice,
            out,
            redactor,
            langsmith,
            metric_readers=[PrometheusMetricReader(registry=registry)],
        )
        await run_maker.make_runs(queue, portfolio_queue, store, open_engine)

    run_files = RunFiles(out)
    async with (
        lock_folder(out),
        _open_whole_store(out / STORE, run_files) as (store, restored),
        open_uploads(out, _UPLOADS * settings.serve_upload_mib * 2**20) as uploads,
    ):

        def explain(error: Exception) -> str:
            return redactor.text(str(error) or type(error).__name__)

        room = DiskRoom.of_mib(out, settings.serve_free_mib)
        feed = Feed()
        queue = RunQueue(
            store,
            run_files,
            out,
            room,
            explain,
            publish=feed.publish,
            note_end=metrics.note_end,
            at_once=settings.serve_runs_at_once,
            in_line=settings.serve_runs_in_line,
        )
        needs_jaeger = not offline or "jaeger_url" in settings.model_fields_set or jaeger_is_named()
        health = HealthChecks(settings, store, queue, feed, room, needs_jaeger=needs_jaeger)
        files = PortfolioFiles(settings.portfolios, out)
        portfolio_queue = PortfolioQueue(
            files, out, explain, in_line=settings.serve_portfolios_in_line
        )
        judging = Judging(settings.jaeger_url)
        receiver = make_receiver(settings, store, out, redactor, feed.publish)
        watches = Watches(
            store,
            receiver,
            settings.jaeger_url,
            always=settings.serve_watch,
            keep_days=settings.serve_keep_days,
        )
        service = ServiceContext(
            settings=settings,
            store=store,
            queue=queue,
            feed=feed,
            health=health,
            room=room,
            judging=judging,
            views=TraceViews(judging),
            watches=watches,
            portfolios=Portfolios(
                settings, files, Orders(settings, choice, langsmith, out), portfolio_queue
            ),
            receiver=receiver,
            uploads=uploads,
            out=out,
            choice=choice,
            registry=registry,
        )
        await queue.take_up()
        await portfolio_queue.take_up()
        try:
            keep = Retention(settings.serve_keep_days, settings.serve_keep_gib)
            old = forget_old(store, run_files, out, keep, portfolio_queue.ended)
            verdicts = restore_verdicts(store, out, restored)
            async with _beside(make_runs(), old, health.publish(), verdicts):
                try:
                    await receiver.start()
                    await watches.start()
                    yield make_app(service, redactor, metrics)
                finally:
                    await watches.close()
                    await receiver.close()
        finally:
            await portfolio_queue.close()
            await queue.close()


@contextlib.asynccontextmanager
async def _open_whole_store(
    path: Path, files: RunFiles
) -> AsyncIterator[tuple[Store, list[StoredRun]]]:
    """Open the store, a new one in the place of a damaged one, with the runs of all records.

    The runs beside it are those that it lacked, and whose verdicts it still lacks. Raises
    StoreUnavailableError or OSError.
    """
    aside = await asyncio.to_thread(set_damaged_aside, path)
    if aside is not None:
        _LOG.warning("The store was damaged; it is now %s, and is built again.", aside)
    async with open_store(path) as store:
        states = await store.states()
        records = await asyncio.to_thread(lambda: list(files.read(states)))
        if restored := await restore_runs(store, records):
            _LOG.warning("Runs that the store lacked, brought by their records: %d.", len(restored))
        yield store, restored


@contextlib.asynccontextmanager
async def _beside(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do things beside the block and cancel them at the end; if one fails, so does the block."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


@contextlib.asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve the application, and give its address; raises SettingsError."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=_GRACE_S)
    await runner.setup()
    assert runner.server is not None
    allow_many_files()
    settings = app[SERVICE].settings
    make_request, trusted = runner.server.request_factory, networks(settings.serve_proxies)

    # Before the request looks for its route: the base path is no part of that.
    def make_as_client_made(*parts: Any) -> web.Request:
        request = make_request(*parts)
        assert isinstance(request, web.Request)
        return as_client_made(request, trusted, settings.serve_base_path)

    runner.server.request_factory = make_as_client_made
    make = functools.partial(
        Connection, runner.server, app[REDACTOR], app[CONNECTIONS], GrpcRefusal()
    )
    loop = asyncio.get_running_loop()
    try:
        try:
            server = await loop.create_server(make, host, port)
        except OSError as error:
            raise SettingsError(
                f"The service cannot listen at {host}, port {port}: "
                f"{os.strerror(error.errno) if error.errno else error}; choose another with "
                "--host or --port."
            ) from None
        try:
            address = server.sockets[0].getsockname()
            name = f"[{address[0]}]" if ":" in address[0] else address[0]
            yield f"http://{name}:{address[1]}"
        finally:
            # Without `wait_closed`: it would wait for the connections, which the runner closes.
            server.close()
    finally:
        await runner.cleanup()


async def drain(app: web.Application, hurried: asyncio.Event) -> None:
    """Take no new runs, and let those under way end, until their time is up or `hurried` is set.

    Meanwhile followers of a run see its end, and the service reports that it is not ready.
    """
    service = app[SERVICE]
    service.portfolios.queue.stop_taking()
    ended = asyncio.create_task(service.queue.drain(service.settings.serve_drain_s))
    hurry = asyncio.create_task(hurried.wait())
    await asyncio.wait((ended, hurry), return_when=asyncio.FIRST_COMPLETED)
    for task in (ended, hurry):
        task.cancel()
    await asyncio.gather(ended, hurry, return_exceptions=True)


LOCK = "service.lock"


@contextlib.asynccontextmanager
async def lock_folder(out: Path) -> AsyncIterator[None]:
    """Lock the folder against other services; raises StoreUnavailableError or OSError.

    The system releases the lock when the process ends, however it ends.
    """
    lock = await asyncio.to_thread(_lock, out)
    try:
        yield
    finally:
        await asyncio.to_thread(lock.close)


def _lock(out: Path) -> TextIOWrapper:
    out.mkdir(parents=True, exist_ok=True)
    lock = (out / LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StoreUnavailableError(
            f"Another service works in {out}; stop it, or give this one another folder with --out."
        ) from None
    except BaseException:
        lock.close()
        raise
    return lock

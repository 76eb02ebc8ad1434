"""A real HTTP server on 127.0.0.1 that runs beside the program, in a thread with its own loop.

It serves the embedded data and the offline model, so that an offline run uses the same client, pool
and parsers as a live one, and really waits. The thread keeps the server's work off the program's
event loop. It starts with an empty context: no span of a run is its parent.
"""

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Self

from aiohttp import web

HOST = "127.0.0.1"

# A pool that makes a connection for every request opens hundreds of them in one instant.
_BACKLOG = 1024

# At the end, running requests get this many seconds before they are cancelled.
_GRACE_S = 0.1


@dataclass(frozen=True, slots=True)
class _Listening:
    port: int
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event


class LoopbackServer:
    """Serves one aiohttp application on a free port of 127.0.0.1, between `start` and `stop`.

    `make_app` is called in the server's thread before its event loop runs, so it may read files.
    `start` and `stop` block and refuse to run on an event loop: call them by `asyncio.to_thread`
    there. The server is a context manager, and can be started again.
    """

    def __init__(
        self, make_app: Callable[[], web.Application], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._make_app = make_app
        self._tls = tls
        self._thread: Thread | None = None
        self._listening: _Listening | None = None

    @property
    def url(self) -> str:
        """The base URL without a trailing slash; RuntimeError while the server is not running."""
        if self._listening is None:
            raise RuntimeError("The loopback server has no address yet: start it first.")
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{HOST}:{self._listening.port}"

    def start(self) -> None:
        """Start the server and return when it listens; raises what `make_app` raises."""
        _refuse_running_loop("start")
        if self._thread is not None:
            raise RuntimeError(f"The loopback server runs already, at {self.url}: stop it first.")
        outcome: Future[_Listening] = Future()
        thread = Thread(target=self._run, args=(outcome,), name="loopback-server", daemon=True)
        thread.start()
        try:
            self._listening = outcome.result()
        except BaseException:
            thread.join()
            raise
        self._thread = thread

    def stop(self) -> None:
        """Stop the server, cancel running requests, and wait for its thread; idempotent."""
        _refuse_running_loop("stop")
        thread, listening = self._thread, self._listening
        if thread is None or listening is None:
            return
        self._thread = self._listening = None
        with suppress(RuntimeError):  # its loop is closed already
            listening.loop.call_soon_threadsafe(listening.stop.set)
        thread.join()

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the server."""
        self.stop()

    def _run(self, outcome: Future[_Listening]) -> None:
        try:
            asyncio.run(self._serve(self._make_app(), outcome))
        except BaseException as error:
            if outcome.done():
                raise
            outcome.set_exception(error)

    async def _serve(self, app: web.Application, outcome: Future[_Listening]) -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, HOST, 0, backlog=_BACKLOG, ssl_context=self._tls)
            await site.start()
            port: int = runner.addresses[0][1]
            stop = asyncio.Event()
            outcome.set_result(_Listening(port, asyncio.get_running_loop(), stop))
            await stop.wait()
        finally:
            await runner.cleanup()


def _refuse_running_loop(action: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        f"LoopbackServer.{action}() would block the running event loop: "
        f"use `await asyncio.to_thread(server.{action})`."
    )

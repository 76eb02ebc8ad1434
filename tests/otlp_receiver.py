"""A backend that takes OTLP over HTTP on loopback; it keeps headers and the names of spans."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from toolkit.loopback import LoopbackServer


class OtlpReceiver:
    """Answers every post with `status`, and hangs until `released` is set.

    `paths` and `headers` are of all posts, `names` of the spans that were taken.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.names: list[str] = []
        self.status = 200
        self.released = threading.Event()
        self.released.set()

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve on loopback; gives the URL."""
        server = LoopbackServer(self._make_app)
        server.start()
        try:
            yield server.url
        finally:
            self.released.set()
            server.stop()

    def _make_app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/{path:.*}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        await asyncio.to_thread(self.released.wait)
        self.paths.add(request.path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.status == 200:
            self.names += [
                span.name
                for resource in message.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        return web.Response(status=self.status)

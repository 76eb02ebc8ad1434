"""A source on loopback with every fault a test asks for; it counts what reaches it."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter
from weakref import WeakSet

from aiohttp import web

BOMB_BYTES = 50 * 2**20
BOMB = gzip.compress(bytes(BOMB_BYTES))


@dataclass
class FaultySource:
    """A server with every fault; it counts connections and concurrent requests on its side."""

    url: str = ""
    connections: set[tuple[str, int]] = field(default_factory=set)
    at_once: int = 0
    at_once_max: int = 0
    arrived: list[tuple[str, float]] = field(default_factory=list)
    """Path and time of each request, in order."""
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Statuses and headers with which `/flaky` answers first, one each; then it answers."""
    _connections: "WeakSet[asyncio.BaseTransport]" = field(default_factory=WeakSet)

    async def wait_for(self, times: int) -> None:
        """Wait until so many requests have arrived."""
        for _ in range(1000):
            if len(self.arrived) >= times:
                return
            await asyncio.sleep(0.005)
        raise TimeoutError(f"only {len(self.arrived)} of {times} requests arrived")

    def times(self, path: str) -> list[float]:
        """When the requests for a path arrived."""
        return [when for target, when in self.arrived if target == path]

    def make_app(self) -> web.Application:
        @web.middleware
        async def count(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            assert request.transport is not None
            self.connections.add(request.transport.get_extra_info("peername"))
            self.arrived.append((request.path, perf_counter()))
            self.at_once += 1
            self.at_once_max = max(self.at_once_max, self.at_once)
            try:
                return await handler(request)
            finally:
                self.at_once -= 1

        app = web.Application(middlewares=[count])
        app.router.add_get("/json", self.json)
        app.router.add_get("/slow", self.slow)
        app.router.add_get("/headers", self.headers)
        app.router.add_get("/status/{code}", self.status)
        app.router.add_get("/flaky", self.flaky)
        app.router.add_get("/fresh-only", self.fresh_only)
        app.router.add_get("/too-long-header", self.too_long_header)
        app.router.add_get("/drips", self.drips)
        app.router.add_get("/html", self.html)
        app.router.add_get("/truncated", self.truncated)
        app.router.add_get("/bomb", self.bomb)
        app.router.add_get("/bytes/{count}", self.bytes)
        app.router.add_get("/stalls", self.stalls)
        app.router.add_get("/reset", self.reset)
        app.router.add_get("/broken-off", self.broken_off)
        app.router.add_get("/not-gzip", self.not_gzip)
        app.router.add_get("/long-header", self.long_header)
        app.router.add_get("/redirect", self.redirect)
        app.router.add_get("/circle", self.circle)
        return app

    async def json(self, request: web.Request) -> web.Response:
        return web.json_response({"query": dict(request.query), "answer": [1, 2.5, None]})

    async def slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("s", "0.02")))
        return web.json_response("slow")

    async def headers(self, request: web.Request) -> web.Response:
        return web.json_response({name.lower(): value for name, value in request.headers.items()})

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"error": "the source's own words"},
            status=int(request.match_info["code"]),
            headers={"Retry-After": request.query.get("after", "")},
        )

    async def flaky(self, request: web.Request) -> web.Response:
        if not self.refusals:
            return web.json_response("at last")
        status, headers = self.refusals.pop(0)
        return web.Response(status=status, headers=headers)

    async def fresh_only(self, request: web.Request) -> web.Response:
        """Answers on a new connection, and breaks a kept one, as a server that closes it does."""
        transport = request.transport
        assert transport is not None
        if transport in self._connections:
            transport.abort()
        self._connections.add(transport)
        return web.json_response("fresh")

    async def drips(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100000"})
        await answer.prepare(request)
        for _ in range(1000):
            await answer.write(b" ")
            await asyncio.sleep(0.02)
        return answer

    async def html(self, request: web.Request) -> web.Response:
        return web.Response(text="<html>consent, please</html>", content_type="text/html")

    async def truncated(self, request: web.Request) -> web.Response:
        return web.Response(text='{"chart": {"result": [', content_type="application/json")

    async def bomb(self, request: web.Request) -> web.Response:
        return web.Response(body=BOMB, headers={"Content-Encoding": "gzip"})

    async def bytes(self, request: web.Request) -> web.Response:
        return web.Response(body=bytes(int(request.match_info["count"])))

    async def stalls(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"[")
        await asyncio.sleep(60)
        return answer

    async def reset(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def broken_off(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"[1, 2")
        assert request.transport is not None
        request.transport.close()
        return answer

    async def not_gzip(self, request: web.Request) -> web.Response:
        return web.Response(body=b"plain text", headers={"Content-Encoding": "gzip"})

    async def long_header(self, request: web.Request) -> web.Response:
        return web.json_response("ok", headers={"X-Policy": "x" * 10_000})

    async def too_long_header(self, request: web.Request) -> web.Response:
        return web.json_response("no", headers={"X-Policy": "x" * 40_000})

    async def redirect(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    async def circle(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/circle")

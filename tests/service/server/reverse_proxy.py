"""A reverse proxy on loopback that gives one service a part of its addresses, as nginx does."""

import contextlib
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


def below(url: str, base_path: str, strays: list[str]) -> Callable[[], web.Application]:
    """Makes a proxy that takes the base path off, and tells the service; see `forward`.

    A request that is not below the base path is answered 404, and put among the strays.
    """

    async def forward(request: web.Request) -> web.StreamResponse:
        if not request.raw_path.startswith(f"{base_path}/"):
            strays.append(f"{request.method} {request.raw_path}")
            return web.Response(status=404, text="This is another service.")
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP
        }
        headers |= {
            "X-Forwarded-For": request.remote or "",
            "X-Forwarded-Host": request.host,
            "X-Forwarded-Proto": "http",
            "X-Forwarded-Prefix": base_path,
        }
        path = request.raw_path.removeprefix(base_path)
        async with request.app[CLIENT].request(
            request.method,
            f"{url}{path}",
            headers=headers,
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            passed = [
                (name, value)
                for name, value in answer.headers.items()
                if name.lower() not in HOP_BY_HOP
            ]
            response = web.StreamResponse(status=answer.status)
            response.headers.clear()
            for name, value in passed:
                response.headers.add(name, value)
            with contextlib.suppress(aiohttp.ClientConnectionError, ConnectionResetError):
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
            return response

    async def open_client(app: web.Application) -> AsyncIterator[None]:
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as client:
            app[CLIENT] = client
            yield

    def make_app() -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.cleanup_ctx.append(open_client)
        app.router.add_route("*", "/{path:.*}", forward)
        return app

    return make_app


CLIENT = web.AppKey("client", aiohttp.ClientSession)

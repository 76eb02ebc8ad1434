"""What can go wrong with an answer on its way, for servers that speak a live source's format."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable

from aiohttp import web

FAULTS = (
    "latency",
    "rate_limited",
    "unauthorized",
    "unavailable",
    "truncated",
    "html",
    "slow_body",
    "big_headers",
    "gzip_bomb",
    "reset",
)
HARMLESS = ("latency", "big_headers")
"""With these an answer still comes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BOMB = gzip.compress(bytes(16 * 2**20))


async def spoilt_answer(fault: str, request: web.Request, handler: Handler) -> web.StreamResponse:
    """The answer of a handler with a fault of `FAULTS`."""
    match fault:
        case "latency":
            await asyncio.sleep(0.05)
            return await handler(request)
        case "rate_limited":
            return web.Response(status=429, headers={"Retry-After": "30"}, text="Too Many Requests")
        case "unauthorized":
            refusal = {"finance": {"error": {"code": "Unauthorized", "description": "bad crumb"}}}
            return web.json_response(refusal, status=401)
        case "unavailable":
            return web.Response(status=503, text="down")
        case "html":
            return web.Response(text="<html>Sign in</html>", content_type="text/html")
        case "gzip_bomb":
            return web.Response(body=_BOMB, headers={"Content-Encoding": "gzip"})
        case "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
    answer = await handler(request)
    assert isinstance(answer, web.Response)
    if fault == "big_headers":
        answer.headers["X-Padding"] = "x" * 10_000
        return answer
    whole = answer.body
    assert isinstance(whole, bytes)
    if fault == "truncated":
        return web.Response(body=whole[: len(whole) // 2], content_type=answer.content_type)
    assert fault == "slow_body", fault
    slow = web.StreamResponse(headers={"Content-Length": str(len(whole))})
    await slow.prepare(request)
    await slow.write(whole[:1])
    await asyncio.sleep(30)
    return slow

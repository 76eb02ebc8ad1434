"""The models' HTTP client: the client library's own over aiohttp, with its failures told apart.

aiohttp parses in C what the library's usual transport parses in Python. The library's adapter to it
calls every lost or refused connection a timeout, and lets an answer that is not HTTP through as an
error of aiohttp, which nothing above expects; both would be lies in the trace.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
import httpx2
from openai import DefaultAioHttpClient

from trading_graph.graph.errors import BadProxy


def model_client() -> "ModelClient":
    """A client that asks through the proxies of the environment; raises BadProxy."""
    proxies = getproxies()
    used = [proxies[name] for name in ("http", "https", "all") if name in proxies]
    try:
        # What names no scheme is taken for http://; SOCKS is not aiohttp's.
        if any(urlsplit(each).scheme not in ("http", "https") for each in used if "://" in each):
            raise ValueError
        return ModelClient()
    except ValueError:
        raise BadProxy(
            "A proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; give "
            "it as http://HOST:PORT."
        ) from None


class ModelClient(DefaultAioHttpClient):
    """Sends as the library's client does; raises an httpx2.TransportError of the right kind."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; what its answer's stream raises is told apart as well."""
        with _told_apart(request):
            response = await super().send(request, **options)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Stream(response.stream, request)
        return response


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _told_apart(self._request):
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _told_apart(request: httpx2.Request) -> Iterator[None]:
    try:
        yield
    except httpx2.TransportError as error:
        cause = error.__cause__
        if isinstance(cause, aiohttp.ClientError) and not isinstance(cause, TimeoutError):
            raise _kind(cause)(str(cause), request=request) from cause
        raise
    except aiohttp.ClientError as error:
        raise _kind(error)(str(error), request=request) from error


def _kind(error: aiohttp.ClientError) -> type[httpx2.TransportError]:
    match error:
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return httpx2.ProxyError
        case aiohttp.ClientConnectorError():
            return httpx2.ConnectError
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return httpx2.ReadError
        case _:
            return httpx2.RemoteProtocolError

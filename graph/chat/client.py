"""The HTTP client between the models of a run and their service, with errors of the right kind."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
import httpx2
from openai import DefaultAioHttpClient

from trading_graph.graph.errors import BadProxyError


def model_client() -> "ModelClient":
    """A client that uses the proxies of the environment; raises BadProxyError."""
    proxies = getproxies()
    urls = [proxies[name] for name in ("http", "https", "all") if name in proxies]
    try:
        # An address without a scheme means http://; aiohttp has no SOCKS.
        if any(urlsplit(url).scheme not in ("http", "https") for url in urls if "://" in url):
            raise ValueError
        return ModelClient()
    except ValueError:
        raise BadProxyError(
            "A proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; give "
            "it as http://HOST:PORT."
        ) from None


class ModelClient(DefaultAioHttpClient):
    """The client library's own client over aiohttp, with errors of the right kind.

    aiohttp parses in C what the library's usual transport parses in Python. But the library's
    adapter calls every lost or refused connection a timeout, and lets aiohttp's own error through
    for an answer that is not HTTP; both would be false in the trace. This client raises the
    `httpx2.TransportError` that fits.
    """

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; errors of the answer's stream are translated as well."""
        with _transport_errors(request):
            response = await super().send(request, **options)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _ModelStream(response.stream, request)
        return response


class _ModelStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _transport_errors(self._request):
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _transport_errors(request: httpx2.Request) -> Iterator[None]:
    try:
        yield
    except httpx2.TransportError as error:
        cause = error.__cause__
        if isinstance(cause, aiohttp.ClientError) and not isinstance(cause, TimeoutError):
            raise _error_kind(cause)(str(cause), request=request) from cause
        raise
    except aiohttp.ClientError as error:
        raise _error_kind(error)(str(error), request=request) from error


def _error_kind(error: aiohttp.ClientError) -> type[httpx2.TransportError]:
    match error:
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return httpx2.ProxyError
        case aiohttp.ClientConnectorError():
            return httpx2.ConnectError
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            return httpx2.ReadError
        case _:
            return httpx2.RemoteProtocolError

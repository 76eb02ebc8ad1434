"""The models' HTTP client: the client library's own over aiohttp, with its failures told apart.

aiohttp parses in C what the library's usual transport parses in Python. The library's adapter to it
calls every lost or refused connection a timeout, and lets an answer that is not HTTP through as an
error of aiohttp, which nothing above expects; both would be lies in the trace.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx2
from openai import DefaultAioHttpClient


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
    except httpx2.TimeoutException as error:
        cause = error.__cause__
        if isinstance(cause, aiohttp.ClientError) and not isinstance(cause, TimeoutError):
            raise httpx2.NetworkError(str(cause), request=request) from cause
        raise
    except aiohttp.ClientError as error:
        raise httpx2.RemoteProtocolError(str(error), request=request) from error

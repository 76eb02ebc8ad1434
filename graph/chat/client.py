"""The HTTP client between the models of a run and their service, with errors of the right kind.

A service is silent when it sends no byte of an answer; keep-alives and comments are bytes. There is
a limit for the time until an answer's first byte, which starts anew while the service sends
something to another request, since it may serve one request at a time. And there is a limit for the
time between two bytes.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
from openai import DefaultAioHttpClient

from trading_graph.graph.agent_time import until
from trading_graph.graph.backend_choice import OPENAI_URL, TimeLimits
from trading_graph.graph.errors import BadProxyError
from trading_graph.otel.redirects import is_followed

CONNECT_S = 15.0


class ForeignRedirectError(httpx2.TransportError):
    """The service's address redirects to another host, which gets no prompt."""


def model_client(base_url: str | None = None, limits: TimeLimits | None = None) -> "ModelClient":
    """A client for a service, through the proxy that the environment names for its address.

    Raises BadProxyError where that proxy cannot be used; other proxies are nobody's concern.
    """
    proxy = _proxy(base_url or OPENAI_URL)
    # Certificates of the environment hold, its other proxies do not.
    options: dict[str, Any] = {"verify": httpx2.create_ssl_context(), "trust_env": False}
    try:
        if proxy is not None and urlsplit(proxy).scheme.startswith("socks"):
            socks = importlib.import_module("trading_graph.graph.chat.socks_proxy")
            options["transport"] = socks.SocksTransport(proxy, options["verify"])
        elif proxy is not None:
            options["proxy"] = proxy
        return ModelClient(limits, **options)
    except ValueError:
        raise BadProxyError(
            "A proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used; give "
            "it as http://HOST:PORT or socks5://HOST:PORT."
        ) from None


class ModelClient(DefaultAioHttpClient):
    """The client library's own client over aiohttp, with errors of the right kind.

    aiohttp parses in C what the library's usual transport parses in Python. But the library's
    adapter calls every lost or refused connection a timeout, and lets aiohttp's own error through
    for an answer that is not HTTP; both would be false in the trace. This client raises the
    `httpx2.TransportError` that fits.
    """

    def __init__(self, limits: TimeLimits | None = None, **options: Any) -> None:
        super().__init__(**options, event_hooks={"response": [_refuse_foreign_redirect]})
        self.limits = limits or TimeLimits()
        self.last_life = 0.0
        """When a byte of any answer came last, by the loop's clock."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; errors of the answer's stream are translated as well."""
        loop = asyncio.get_running_loop()
        start = loop.time()

        def first_byte_due() -> float:
            return max(start, self.last_life) + self.limits.first_byte_s

        with _transport_errors(request):
            async with until(first_byte_due):
                response = await super().send(request, **options)
        self.last_life = loop.time()
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _ModelStream(response.stream, request, self, first_byte_due)
        return response


class _ModelStream(httpx2.AsyncByteStream):
    def __init__(
        self,
        stream: httpx2.AsyncByteStream,
        request: httpx2.Request,
        client: ModelClient,
        first_byte_due: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._request = request
        self._client = client
        self._first_byte_due = first_byte_due

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop, client = asyncio.get_running_loop(), self._client
        between_s = client.limits.between_bytes_s
        with _transport_errors(self._request):
            parts = aiter(self._stream)
            async with until(self._first_byte_due):
                part = await anext(parts, None)
            while part is not None:
                client.last_life = loop.time()
                yield part
                async with asyncio.timeout(between_s):
                    part = await anext(parts, None)

    async def aclose(self) -> None:
        await self._stream.aclose()


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address, with its scheme."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or proxy_bypass(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    # An address without a scheme means http://.
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


async def _refuse_foreign_redirect(response: httpx2.Response) -> None:
    """Keep prompts from another host than the service's; raises ForeignRedirectError."""
    location = response.headers.get("Location")
    if location is None or not response.has_redirect_location:
        return
    if not is_followed(str(response.url), urljoin(str(response.url), location)):
        raise ForeignRedirectError("It redirects to another host.", request=response.request)


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
    except TimeoutError as error:
        raise httpx2.ReadTimeout("The service is silent.", request=request) from error


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

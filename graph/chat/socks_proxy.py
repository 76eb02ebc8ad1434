"""A way to a model's service through a SOCKS proxy; imported only where there is one."""

import ssl
from typing import Any

import aiohttp
import httpx2
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
from openai._vendor.httpx_aiohttp import AiohttpTransport

# These two names say that the proxy looks up the service's address, which it does here always.
_SCHEMES = {"socks": "socks5", "socks5h": "socks5", "socks4a": "socks4"}


class SocksTransport(AiohttpTransport):
    """The client library's transport over aiohttp, through a proxy; raises ValueError."""

    def __init__(self, proxy: str, context: ssl.SSLContext) -> None:
        scheme, _, place = proxy.partition("://")
        url = f"{_SCHEMES.get(scheme, scheme)}://{place}"

        def session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession(
                connector=ProxyConnector.from_url(url, rdns=True, ssl=context)
            )

        super().__init__(verify=context, trust_env=False, client=session)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; raises httpx2.ProxyError where the proxy does not play its part."""
        try:
            response: Any = await super().handle_async_request(request)
        except (ProxyError, ProxyConnectionError, ProxyTimeoutError) as error:
            raise httpx2.ProxyError(str(error), request=request) from error
        assert isinstance(response, httpx2.Response)
        return response
